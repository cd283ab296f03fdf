"""A file behind a URL as a stream of ranges, all of one version of it.

Parts may be asked for before they are read: who works on what came first waits less for the rest.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NoReturn

from obstore import exceptions

from alignsvc.errors import DataError, RunStoreError, TransientError
from alignsvc.io.bucket_clients import (
    NO_CREDENTIALS,
    again,
    client_for,
    has_no_credentials,
    object_key,
    plain,
    refusal,
)
from alignsvc.io.places import UrlPlace
from alignsvc.io.reading_ahead import Readers, read_ahead
from alignsvc.reasons import FailureKind

#: Read ahead while headers are read.
_BUFFER = 1 << 17
#: Most in one request, and requests at once: a bucket can give more than one connection carries.
_PART = 1 << 22
_AT_ONCE = 4
#: Small pieces of a file that are kept: the headers of as many HDUs.
_KEPT_PIECES = 256


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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a file that is kept, and where it begins."""

    start: int
    content: bytes

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.content)


@dataclass(frozen=True, slots=True, eq=False)
class _Coming:
    """A piece of a file that was asked for: bytes `start` to `end`."""

    start: int
    end: int
    content: Future[bytes]


class RangeStream(io.RawIOBase):
    """A file as a stream; each read is a request, a large one several at once.

    Who reads FITS goes back to each header several times, and a buffer reads a bit more after each
    large read: small pieces, and the one after a large read, are kept, so that an image on its own
    takes two trips, and of several each one more for its header.

    Parameters
    ----------
    file : RemoteFile
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self.file = file
        self._at = 0
        self._kept: list[_Piece] = []  # those that were read last at the end
        self._after = _Piece(0, b"")
        self._coming: list[_Coming] = []
        self._asked_to: dict[int, int] = {}

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, and return which."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.file.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        """Return which byte is read next."""
        return self._at

    def close(self) -> None:
        """Let go of all that is kept, and of what is still on its way."""
        for one in self._coming:
            one.content.cancel()
        self._coming.clear()
        self._kept.clear()
        self._after = _Piece(0, b"")
        super().close()

    @property
    def kept_bytes(self) -> int:
        """What is kept, and what was asked for and not yet read."""
        kept = sum(len(one.content) for one in (*self._kept, self._after))
        return kept + sum(one.end - one.start for one in self._coming)

    def ask_for(self, start: int, end: int) -> None:
        """Begin to read bytes that are wanted soon, and once; what fails is asked for again then.

        What was asked for from the same byte on is not asked for again: who reads FITS keeps the
        pixels.
        """
        at, end = self._asked_to.get(start, start), min(end, self.file.size)
        self._asked_to[start] = max(at, end)
        while (kept := self._kept_at(at)) is not None:
            at = kept.end
        for part in _parts(at, end):
            content = _readers(os.getpid()).submit(asked, self.file, part)
            self._coming.append(_Coming(*part, content))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as one piece or one question goes; return how far that is."""
        kept = self._kept_at(self._at)
        if kept is not None:
            return self._put(buffer, 0, memoryview(kept.content)[self._at - kept.start :])
        return self._come_into(buffer) or self._read_into(buffer)

    def _read_into(self, buffer: Any) -> int:
        """Ask for as much as there is room for, less what is on its way already, and a bit more."""
        bound = min((c.start for c in self._coming if c.start > self._at), default=self.file.size)
        end = min(self._at + len(buffer), bound)
        is_large = len(buffer) > _BUFFER
        last = min(end + _BUFFER, bound) if is_large else end
        parts = list(_parts(self._at, end))
        if parts:
            parts[-1] = (parts[-1][0], last)
        start, filled = self._at, 0
        for content in read_ahead(partial(asked, self.file), parts, _AT_ONCE):
            room = len(buffer) - filled
            filled += self._put(buffer, filled, content)
            if len(content) > room:
                self._after = _Piece(self._at, content[room:])
        if filled and not is_large:
            self._kept = [
                *self._kept[1 - _KEPT_PIECES :],
                _Piece(start, bytes(buffer[:filled])),
            ]
        return filled

    def readall(self) -> bytes:
        """Return the rest, in as few trips as a large read takes."""
        content = bytearray(max(self.file.size - self._at, 0))
        filled, view = 0, memoryview(content)
        while filled < len(content):
            filled += self.readinto(view[filled:])
        return bytes(content)

    def _kept_at(self, at: int) -> _Piece | None:
        """Return a piece that is kept and has a byte."""
        kept = (*self._kept, self._after)
        return next((one for one in kept if one.start <= at < one.end), None)

    def _come_into(self, buffer: Any) -> int:
        """Wait for what was asked for and has the byte that is read next, as far as it goes.

        It is let go of at its end. What did not come is asked for again by whoever reads it, and
        who is told what is wrong.
        """
        one = next((one for one in self._coming if one.start <= self._at < one.end), None)
        if one is None:
            return 0
        try:
            content = memoryview(one.content.result())
        except Exception:  # noqa: BLE001 - whatever it is, it is met again in a moment
            self._coming.remove(one)
            return 0
        filled = self._put(buffer, 0, content[self._at - one.start :])
        if self._at == one.end:
            self._coming.remove(one)
        return filled

    def _put(self, buffer: Any, at: int, content: bytes | memoryview) -> int:
        """Put as much into a buffer as it has room for, and go on as far; return how much."""
        n = min(len(content), len(buffer) - at)
        buffer[at : at + n] = content[:n]
        self._at += n
        return n


def buffered(stream: RangeStream) -> io.BufferedReader:
    """Return a stream that is closed with its buffer."""
    return io.BufferedReader(stream, _BUFFER)


def _parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts in which bytes are asked for."""
    return ((at, min(at + _PART, end)) for at in range(start, end, _PART))


@lru_cache(maxsize=1)
def _readers(process: int) -> Readers:
    """Return the threads of a process that read what is wanted soon: a fork inherits none."""
    del process
    return Readers(_AT_ONCE)


def asked(file: RemoteFile, part: tuple[int, int] | None) -> bytes:
    """Return a part of a file, or all of it; errors as of `remote_file`.

    Raises
    ------
    DataError
        CHANGED: another version of the file has taken its place.
    NotSupportedError
        The server sends files whole.
    """
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
