"""Where the machine code of compiled functions is kept on the disk; known without the compiler."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

#: What ends the names of files of machine code.
SUFFIX = ".nbc"
#: What they bear for the kind and version of Python.
PYTHON = sys.implementation.cache_tag


def folders_of(source: Path) -> tuple[Path, ...]:
    """Return where the code of a source file is looked for, and kept in the first that takes it.

    That is beside the source and, for who may not write there, in the user's folder for such
    things; with ``NUMBA_CACHE_DIR`` it is there and nowhere else.
    """
    file = source.absolute()
    apart = f"{file.parent.name}-{hashlib.sha256(bytes(file.parent)).hexdigest()[:12]}"
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        return (Path(given).absolute() / apart,)
    # Without a home "~" stays as it is, where `Path.expanduser` raises.
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111
    of_user = [home / "alignsvc" / "compiled" / apart] if home.is_absolute() else []
    return (file.parent / "__pycache__", *of_user)


def is_any_kept() -> bool:
    """Return whether anything of this package was compiled here before, by this Python."""
    folders = folders_of(Path(__file__).parent / "displacement" / "surfaces.py")
    return any(next(one.glob(f"*.{PYTHON}.*{SUFFIX}"), None) for one in folders)
