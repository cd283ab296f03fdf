"""Whether a run can have the directory that its configuration names."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from alignsvc.errors import RunStoreError


def absolute_directory(directory: str) -> Path:
    """Return the run directory that a configuration means, wherever it is read from."""
    return Path(directory).expanduser().absolute()


def require_usable(run: Path) -> None:
    """Raise RunStoreError unless files can be made in `run`, or it can be made.

    Known before any header is read. Permissions do not tell all (a kernel's own file systems,
    quotas), so that an empty directory is made and taken away again.
    """
    try:
        there = next(path for path in (run, *run.parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        tempfile.TemporaryDirectory(prefix=".alignsvc-", dir=there).cleanup()
    except OSError as error:
        raise unusable(run, error) from error


def unusable(run: Path, error: OSError) -> RunStoreError:
    """Return the error of a run directory that cannot be used."""
    return RunStoreError(
        f"run.directory: {run} cannot be used: {error.strerror}; name a directory where this "
        "user may write"
    )
