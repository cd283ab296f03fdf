"""Notebooks run in a kernel as people have it, from top to bottom, and show their figures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
#: How many figures each shows; on_a_cluster has the monitor's widget besides.
SHOWN = {
    "correlation_and_models": 2,
    "on_a_cluster": 1,
    "quickstart": 4,
    "reading_results": 4,
    "your_own_data": 1,
}


def test_every_notebook_is_looked_at() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(SHOWN)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_notebook_runs_in_a_kernel_and_its_page_shows_all(
    name: str, tmp_path: Path, browser: Any
) -> None:
    pytest.importorskip("nbconvert", reason="nbconvert is not installed: no notebook was run")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: no notebook was run")
    shutil.copy(FOLDER / f"{name}.ipynb", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", f"{name}.ipynb"],
        cwd=tmp_path,
        env={**os.environ, **_own_folders(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = browser.new_page(viewport={"width": 1280, "height": 1600})
    page.goto((tmp_path / f"{name}.html").as_uri(), wait_until="domcontentloaded")
    assert page.locator(".jp-OutputArea-output img").count() == SHOWN[name]
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    page.close()
    has_widget = "application/vnd.jupyter.widget-view+json" in (
        tmp_path / f"{name}.html"
    ).read_text(encoding="utf-8")
    assert has_widget == (name == "on_a_cluster")


def _own_folders(folder: Path) -> dict[str, str]:
    """Return the environment of a Jupyter that reads and writes nothing of this user's."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return {name: str(folder / ".jupyter" / name.lower()) for name in names}
