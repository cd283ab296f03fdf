"""Files as bytes: sizes, lengths after decompression; and what went wrong with them."""

from __future__ import annotations

import errno
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from alignsvc.errors import DataError, NotYet, TransientError
from alignsvc.reasons import FailureKind

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
#: A network file system that stumbles, rather than a file that is bad.
_TRANSIENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EMFILE}


def refuse_url(path: str) -> None:
    """Raise `NotYet` if `path` is a URL."""
    if _URL.match(path):
        raise NotYet(
            f"images.paths: {path}: reading from URLs is not offered yet; copy the files to a "
            "folder that every worker sees and name that"
        )


def size_of(path: str) -> int:
    """Return the bytes of a file on disk, more than none.

    Raises
    ------
    DataError
        MISSING, EMPTY, or UNREADABLE: no permission.
    NotYet
        `path` is a URL.
    """
    refuse_url(path)
    try:
        size = Path(path).stat().st_size
    except FileNotFoundError as error:
        raise DataError(
            FailureKind.MISSING, f"{path}: the file does not exist; mend the path or leave it out"
        ) from error
    except OSError as error:
        raise as_data_error(path, error) from error
    if size == 0:
        raise DataError(
            FailureKind.EMPTY, f"{path}: the file is empty (0 bytes); copy it again or leave it out"
        )
    return size


def length_of(path: str, wanted: int) -> int:
    """Return the file's length in bytes after decompression; `wanted` spares counting them."""
    with Path(path).open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0, os.SEEK_END)
        length = raw.tell()
        if not is_gzip:
            return length
        # gzip ends with its member's length modulo 2^32: right for one member, and cheap.
        raw.seek(-4, os.SEEK_END)
        if int.from_bytes(raw.read(4), "little") == wanted % (1 << 32):
            return wanted
    total = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                total += len(chunk)
    except (OSError, EOFError, zlib.error):
        return total
    return total


@contextmanager
def raw_stream(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes, after decompression."""
    with Path(path).open("rb") as raw:
        if raw.read(2) == _GZIP:
            raw.seek(0)
            with gzip.open(raw) as stream:
                yield cast(BinaryIO, stream)
        else:
            raw.seek(0)
            yield raw


def as_data_error(path: str, error: OSError) -> DataError | TransientError:
    """Return what to raise for an error of the file system or of the FITS reader."""
    if error.errno in _TRANSIENT:
        return TransientError(f"{path}: {error}")
    return unreadable(path, str(error))


def unreadable(path: str, what: str) -> DataError:
    """Return the error of a file that is there but is no sound FITS file."""
    # What the reader advises its programmers in further sentences is of no use here.
    plain = " ".join(what.split()).partition(". ")[0].rstrip(".") or "no reason given"
    return DataError(
        FailureKind.UNREADABLE,
        f"{path}: not readable as FITS: {plain}; copy the file again or leave it out",
    )
