"""The notebooks of `docs/notebooks` as files: what git keeps of them, and what they say.

Git keeps no outputs, no counters and no metadata of editors, and each line of a cell on a line of
its own, so that a change to a notebook is read like any other. Run as
``python docs/notebook_files.py`` after editing one in JupyterLab: it strips them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).with_name("notebooks")

#: What a program that opens a notebook needs to know of it.
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook: its id, whether it is code, and its text."""

    id: str
    is_code: bool
    text: str


def notebook_paths() -> list[Path]:
    """Return the files of all notebooks, in the order of their names."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def cells_of(path: Path) -> Iterator[Cell]:
    """Yield the cells of a notebook, in order."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield Cell(cell["id"], cell["cell_type"] == "code", "".join(cell["source"]))


def stripped(text: str) -> str:
    """Return the text of a notebook's file as git keeps it."""
    found = json.loads(text)
    kept = {
        "cells": [_kept(cell) for cell in found["cells"]],
        "metadata": _METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def markdown_of(path: Path) -> str:
    """Return a notebook as one text: its prose, with its code as blocks between."""
    parts = (f"```python\n{one.text}\n```" if one.is_code else one.text for one in cells_of(path))
    return "\n\n".join(parts)


def _kept(cell: Any) -> dict[str, object]:
    text = "".join(cell["source"])
    kept = {
        "cell_type": cell["cell_type"],
        "id": cell["id"],
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return {**kept, "execution_count": None, "outputs": []} if _is_code(cell) else kept


def _is_code(cell: Any) -> bool:
    return bool(cell["cell_type"] == "code")


if __name__ == "__main__":
    for file in notebook_paths():
        file.write_text(stripped(file.read_text(encoding="utf-8")), encoding="utf-8")
