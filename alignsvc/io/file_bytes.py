"""Input files as bytes: sizes, lengths after decompression; and what went wrong with them."""

from __future__ import annotations

import errno
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from alignsvc.errors import DataError, TransientError
from alignsvc.io.places import UrlPlace, place_of
from alignsvc.io.remote_files import opened_remote, raw_remote
from alignsvc.io.remote_ranges import RangeStream, remote_file
from alignsvc.reasons import FailureKind

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
#: A network file system that stumbles, rather than a file that is bad.
_TRANSIENT = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EINTR, errno.EMFILE}


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file of the inputs, open for reading: on a disk or behind a URL.

    Parameters
    ----------
    path : str
        As the inputs name it.
    size : int
        Bytes as it is stored.
    remote : BinaryIO or None
        The stream of a file behind a URL, decompressed; None = it is on a disk.
    """

    path: str
    size: int
    remote: BinaryIO | None = None

    @property
    def source(self) -> str | BinaryIO:
        """What the FITS reader opens: a path, which it can map into memory, or a stream."""
        return self.path if self.remote is None else self.remote

    def ask_for(self, start: int, end: int) -> None:
        """Begin to read bytes that are wanted soon, if they lie far away and can be asked for."""
        if isinstance(self.remote, io.BufferedReader) and isinstance(self.remote.raw, RangeStream):
            self.remote.raw.ask_for(start, end)

    def length(self, wanted: int) -> int:
        """Return the length in bytes after decompression; `wanted` spares counting them."""
        if self.remote is None:
            return _length_of(self.path, wanted)
        return self.remote.seek(0, os.SEEK_END)

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Open it for reading its bytes, after decompression."""
        if self.remote is not None:
            self.remote.seek(0)
            yield self.remote
            return
        with Path(self.path).open("rb") as raw:
            if raw.read(2) == _GZIP:
                raw.seek(0)
                with gzip.open(raw) as stream:
                    yield cast(BinaryIO, stream)
            else:
                raw.seek(0)
                yield raw


@contextmanager
def opened_input(path: str) -> Iterator[InputFile]:
    """Open a file of the inputs, named by a path or a URL.

    Raises
    ------
    DataError
        MISSING, EMPTY, or UNREADABLE: no permission.
    TransientError
        The server of a URL does not answer.
    """
    place = place_of(path)
    if not isinstance(place, UrlPlace):
        yield InputFile(path, _size_of(path))
        return
    file = remote_file(place)
    _require_some(path, file.size)
    with opened_remote(file) as stream:
        yield InputFile(path, file.size, stream)


@contextmanager
def stored_bytes(path: str) -> Iterator[BinaryIO]:
    """Open a file of the inputs for reading it as it is stored; errors as of `opened_input`."""
    place = place_of(path)
    if not isinstance(place, UrlPlace):
        _size_of(path)
        with Path(path).open("rb") as stream:
            yield stream
        return
    file = remote_file(place)
    _require_some(path, file.size)
    with raw_remote(file) as remote:
        yield remote


def _size_of(path: str) -> int:
    """Return the bytes of a file on disk, more than none."""
    try:
        size = Path(path).stat().st_size
    except FileNotFoundError as error:
        raise DataError(
            FailureKind.MISSING, f"{path}: the file does not exist; mend the path or leave it out"
        ) from error
    except OSError as error:
        raise as_data_error(path, error) from error
    _require_some(path, size)
    return size


def _require_some(path: str, size: int) -> None:
    if size == 0:
        raise DataError(
            FailureKind.EMPTY, f"{path}: the file is empty (0 bytes); copy it again or leave it out"
        )


def _length_of(path: str, wanted: int) -> int:
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
