"""What the import contracts cannot say: sub-packages of others, and what an import pulls in."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "alignsvc"


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("module", ["astropy.io", "zarr", "yaml"])
def test_only_the_layers_that_touch_files_import(module: str) -> None:
    allowed = {"astropy.io": {"io"}, "zarr": {"io"}, "yaml": {"config", "engine"}}[module]
    users = {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        for name in imported(file)
        if name == module or name.startswith(f"{module}.")
    }
    assert users <= allowed


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import alignsvc", "numpy"),
        ("import alignsvc", "dask"),
        ("import alignsvc.cli.main", "numpy"),
        ("import alignsvc.cli.main", "dask"),
        ("import alignsvc.numerics.displacement.measure", "dask"),
        ("import alignsvc.numerics.resampling.resamplers.drizzle", "dask"),
        ("import alignsvc.numerics.solve.joint_fit", "zarr"),
        ("import alignsvc.api", "distributed"),
        ("import alignsvc.api", "matplotlib"),
        ("import alignsvc.plots", "matplotlib.pyplot"),
    ],
)
def test_an_import_stays_light(statement: str, forbidden: str) -> None:
    code = f"import sys; {statement}; sys.exit({forbidden!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_plots_without_matplotlib_say_how_to_get_it() -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from alignsvc import plots"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.stderr.splitlines()[-1] == (
        "ImportError: alignsvc.plots draws with matplotlib, which is not here: "
        "pip install 'alignsvc[plots]'"
    )


def test_importing_leaves_no_trace_in_the_working_directory(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", "import alignsvc.api"], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []
