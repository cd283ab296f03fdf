"""Errors of the file system, told by what the operator does next."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from alignsvc.errors import ResourceError, RunStoreError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn errors of the file system into errors that say what the operator does next."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"{where}: the disk is full; free some space there, then resume"
            ) from error
        if error.errno in _FORBIDDEN:
            raise RunStoreError(
                f"{where}: not permitted ({error.strerror}); wanted a directory where this "
                "user may write and make hard links"
            ) from error
        raise RunStoreError(f"{where}: {error.strerror or error}") from error
