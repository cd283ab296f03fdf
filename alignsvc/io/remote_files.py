"""Input files behind URLs: found by listing, read by ranges, whole where a server has none.

Nothing is written to a disk. All that is read while a file is open is of one version of it.
"""

from __future__ import annotations

import fnmatch
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, NoReturn, cast

from obstore import exceptions

from alignsvc.errors import ConfigError, DataError, RunStoreError, TransientError
from alignsvc.io.bucket_clients import (
    NO_CREDENTIALS,
    again,
    client_for,
    has_no_credentials,
    object_key,
    plain,
    refusal,
)
from alignsvc.io.buckets import BucketObjects, Purpose
from alignsvc.io.places import STORE_SCHEMES, UrlPlace
from alignsvc.io.reading_ahead import read_ahead
from alignsvc.reasons import FailureKind

#: Read ahead while headers are read.
_BUFFER = 1 << 17
#: Most in one request, and requests at once: a bucket can give more than one connection carries.
_PART = 1 << 22
_AT_ONCE = 4
_GZIP = b"\x1f\x8b"
_PATTERN_SIGNS = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file behind a URL, as its server describes it.

    Parameters
    ----------
    place : UrlPlace
    size : int
        Bytes.
    etag : str or None
        Names the version; None if the server names none.
    """

    place: UrlPlace
    size: int
    etag: str | None


def remote_file(place: UrlPlace) -> RemoteFile:
    """Ask the server for a file, not for its content.

    Raises
    ------
    DataError
        MISSING, or UNREADABLE: refused.
    TransientError
        The server does not answer, or answers that it cannot at present.
    RunStoreError
        There are no credentials.
    """
    try:
        # Once: the client itself repeats what it may. A server that is not there is to be told of
        # soon, before thousands of files are asked for.
        found = client_for(_origin(place)).head(object_key(place))
    except (exceptions.BaseError, FileNotFoundError) as error:
        _raise(place, error)
    # A weak tag promises no equal bytes, and no server matches it.
    etag = found["e_tag"]
    return RemoteFile(place, int(found["size"]), None if (etag or "W/").startswith("W/") else etag)


@contextmanager
def raw_remote(file: RemoteFile) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes as they are; errors as of `remote_file`.

    Raises
    ------
    DataError
        CHANGED: another version of the file has taken its place.
    """
    ranges = _Ranges(file)
    with io.BufferedReader(ranges, _BUFFER) as stream:
        try:
            stream.peek(1)
        except exceptions.NotSupportedError:
            pass  # a plain server that sends files whole
        else:
            yield cast(BinaryIO, stream)
            return
    yield io.BytesIO(_asked(file, None))


@contextmanager
def opened_remote(file: RemoteFile) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes after decompression; errors as of `raw_remote`."""
    with raw_remote(file) as raw:
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        if not is_gzip:
            yield raw
            return
        try:
            plain_bytes = gzip.decompress(raw.read())
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                FailureKind.UNREADABLE,
                f"{file.place}: not readable as gzip ({error}); copy the file again or leave it "
                "out",
            ) from error
    yield io.BytesIO(plain_bytes)


def is_pattern(url: str) -> bool:
    """Return whether a URL stands for several files."""
    return _PATTERN_SIGNS.search(url) is not None


def matching(url: str) -> list[str]:
    """Return the URLs of the objects that a pattern stands for, sorted.

    ``*`` and ``[...]`` match within a part of the name, ``**`` any number of parts; names that
    begin with a dot are left out.

    Raises
    ------
    ConfigError
        The server cannot list its files, or refuses.
    TransientError
        It does not answer.
    """
    place = UrlPlace(url)
    if place.scheme not in STORE_SCHEMES:
        raise ConfigError(
            f"images.paths: {place}: files behind {place.scheme}:// cannot be listed; name each "
            "of them"
        )
    parts = place.key.split("/")
    fixed = next(i for i, part in enumerate(parts) if is_pattern(part))
    top = UrlPlace("/".join((_origin(place), *parts[:fixed])))
    wanted = re.compile("".join(_expressions(parts[fixed:])) + r"\Z")
    try:
        names = BucketObjects(top, Purpose.INPUTS).list("")
    except RunStoreError as error:
        raise ConfigError(f"images.paths: {place}: {error}") from error
    except TransientError as error:
        raise TransientError(f"images.paths: {place}: {error}") from error
    return [f"{top}/{name}" for name in names if wanted.match(name)]


def _expressions(parts: list[str]) -> Iterator[str]:
    for i, part in enumerate(parts):
        is_last = i == len(parts) - 1
        if part == "**":
            yield r"(?:[^/.][^/]*/)*" + (r"[^/.][^/]*" if is_last else "")
            continue
        inner = fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z")
        # What fnmatch lets match anything must stay within one part of the name.
        inner = inner.replace(".*", "[^/]*")
        yield (r"(?!\.)" if not part.startswith(".") else "") + inner + ("" if is_last else "/")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a file that is kept, and where it begins."""

    start: int
    content: bytes

    def has(self, at: int) -> bool:
        """Return whether a byte is in it."""
        return self.start <= at < self.start + len(self.content)


class _Ranges(io.RawIOBase):
    """A file as a stream; each read is a request, a large one several at once.

    Who reads FITS goes back to the beginning several times, and a buffer reads a bit more after
    each large read: the first piece and the one after a large read are kept, so that an image on
    its own takes two trips.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self._file = file
        self._at = 0
        # By where they begin.
        self._first = self._after = _Piece(0, b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        for piece in (self._first, self._after):
            kept = piece.content[self._at - piece.start :] if piece.has(self._at) else b""
            if kept:
                return self._put(buffer, 0, kept)
        end = min(self._at + len(buffer), self._file.size)
        is_large = len(buffer) > _BUFFER
        last = min(end + _BUFFER, self._file.size) if is_large else end
        parts = [(at, min(at + _PART, end)) for at in range(self._at, end, _PART)]
        if parts:
            parts[-1] = (parts[-1][0], last)
        start, filled = self._at, 0
        for content in read_ahead(partial(_asked, self._file), parts, _AT_ONCE):
            room = len(buffer) - filled
            filled += self._put(buffer, filled, content)
            if len(content) > room:
                self._after = _Piece(self._at, content[room:])
        if start == 0 and not is_large:
            self._first = _Piece(0, bytes(buffer[:filled]))
        return filled

    def _put(self, buffer: Any, at: int, content: bytes) -> int:
        """Put as much into a buffer as it has room for, and go on as far; return how much."""
        n = min(len(content), len(buffer) - at)
        buffer[at : at + n] = content[:n]
        self._at += n
        return n


def _asked(file: RemoteFile, part: tuple[int, int] | None) -> bytes:
    options: dict[str, Any] = {} if file.etag is None else {"if_match": file.etag}
    if part is not None:
        options["range"] = part
    client = client_for(_origin(file.place))
    try:
        found, content = again(lambda: _read(client.get(object_key(file.place), options=options)))
    except exceptions.NotSupportedError:  # ranges, by a plain server: for `raw_remote`
        raise
    except exceptions.PreconditionError as error:
        raise _changed(file) from error
    except (exceptions.BaseError, FileNotFoundError) as error:
        _raise(file.place, error)
    if int(found.meta["size"]) != file.size:
        raise _changed(file)
    return content


def _read(found: Any) -> tuple[Any, bytes]:
    """Return an answer with all of its content, of which any part may be lost."""
    return found, bytes(found.bytes())


def _changed(file: RemoteFile) -> DataError:
    return DataError(
        FailureKind.CHANGED,
        f"{file.place}: it changed while it was read; see that nobody writes it, and run again",
    )


def _raise(place: UrlPlace, error: Exception) -> NoReturn:
    """Raise what an error of the client means for an input."""
    if isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        raise DataError(
            FailureKind.MISSING,
            f"{place}: the file does not exist (404); mend the URL or leave it out",
        ) from error
    status = refusal(error)
    if status is not None:
        raise DataError(
            FailureKind.UNREADABLE,
            f"{place}: the server refuses to give it ({status}); see that the file may be read "
            "with the credentials in the environment, or leave it out",
        ) from error
    if has_no_credentials(error):
        raise RunStoreError(f"{place}: {NO_CREDENTIALS}") from error
    raise TransientError(
        f"{place}: the server did not answer well, asked several times ({plain(error)}); see that "
        "it is up and can be reached, then try again"
    ) from error


def _origin(place: UrlPlace) -> str:
    return f"{place.scheme}://{place.bucket}"
