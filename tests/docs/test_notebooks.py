"""Notebooks run from top to bottom, and git keeps nothing of them but what people wrote."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import notebook_files
import pytest
from told_names import is_key, is_name, keys_in, names_in, require_configuration

NOTEBOOKS = {path.stem: path for path in notebook_files.notebook_paths()}
NOTHING: Mapping[str, str] = MappingProxyType({})
every = pytest.mark.parametrize("name", sorted(NOTEBOOKS))


def run_cells(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, instead: Mapping[str, str] = NOTHING
) -> None:
    """Execute the cells of a notebook in one namespace, in a folder of their own.

    Where a text of `instead` stands in a cell, which must be, stands what it gives.
    """
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace: dict[str, object] = {"__name__": "__main__"}
    left = dict(instead)
    for cell in notebook_files.cells_of(NOTEBOOKS[name]):
        if not cell.is_code:
            continue
        text = cell.text
        for old in [old for old in left if old in text]:
            text = text.replace(old, left.pop(old))
        exec(compile(text, f"{name}.ipynb, cell {cell.id}", "exec"), namespace)  # noqa: S102
    assert not left


@every
def test_git_keeps_no_outputs_and_no_metadata(name: str) -> None:
    text = NOTEBOOKS[name].read_text(encoding="utf-8")
    assert notebook_files.stripped(text) == text, "python docs/notebook_files.py strips it"
    ids = [cell.id for cell in notebook_files.cells_of(NOTEBOOKS[name])]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    assert len(text) < 30_000


def test_what_a_program_adds_to_a_notebook_is_stripped() -> None:
    (path,) = [NOTEBOOKS["quickstart"]]
    text = path.read_text(encoding="utf-8")
    used = json.loads(text)
    for cell in used["cells"]:
        cell["metadata"] = {"collapsed": True}
        if cell["cell_type"] == "code":
            cell["execution_count"] = 3
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}]
    used["metadata"]["kernelspec"]["name"] = "mine"
    assert notebook_files.stripped(json.dumps(used)) == text


@every
def test_what_a_notebook_names_is_there(name: str) -> None:
    prose, code = [], []
    for cell in notebook_files.cells_of(NOTEBOOKS[name]):
        (code if cell.is_code else prose).append(cell.text)
    assert [key for key in sorted(keys_in("\n".join(prose))) if not is_key(key)] == []
    assert [one for one in sorted(names_in("\n".join(code))) if not is_name(one)] == []
    assert code[0].startswith(("import", "from"))


@every
def test_configurations_in_a_notebook_are_configurations(name: str) -> None:
    cells = [cell for cell in notebook_files.cells_of(NOTEBOOKS[name]) if cell.is_code]
    texts = [text for cell in cells for text in _yaml_texts(cell.text)]
    assert texts
    for text in texts:
        require_configuration(text)


def _yaml_texts(code: str) -> list[str]:
    """Return the configurations that a cell writes; what it fills in counts as a word."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(part.value) if isinstance(part, ast.Constant) else "correlate"
                for part in node.values
            ]
            if "\nimages:" in (text := "".join(parts)):
                found.append(text)
    return found


def test_the_quickstart_runs_on_smaller_exposures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = {"count: 4": "count: 3", "shape: [256, 256]": "shape: [128, 128]"}
    run_cells("quickstart", tmp_path, monkeypatch, smaller)
    assert (tmp_path / "alignsvc-quickstart" / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NOTEBOOKS) - {"on_a_cluster"}))
def test_a_notebook_runs_from_top_to_bottom(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cells(name, tmp_path, monkeypatch)


@pytest.mark.cluster
def test_the_notebook_with_workers_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_cells("on_a_cluster", tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart"])
def test_a_notebook_may_be_run_again_in_the_same_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        run_cells(name, tmp_path, monkeypatch)
