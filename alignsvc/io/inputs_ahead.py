"""Exposures far away that a process will work on next: read while it still works.

Nothing follows from what is read here. Whoever opens a file asks for its version first, as if
nobody had read ahead, and takes what there is of that version. What fails here is dropped without
a word, because the task that wants it reads it again, and it is that task's failure.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from alignsvc.domain.exposure import ExposureRef
from alignsvc.io.fits_blocks import scan_hdus
from alignsvc.io.places import UrlPlace, is_url
from alignsvc.io.reading_ahead import Readers
from alignsvc.io.remote_ranges import RangeStream, RemoteFile, buffered, remote_file

#: How often it is looked what comes next, while nothing does.
_LOOK_S = 0.05
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class FarFile:
    """Planes of an exposure in a file behind a URL.

    Parameters
    ----------
    url : str
    hdus : tuple of int
        In the order in which they are read.
    """

    url: str
    hdus: tuple[int, ...]


FarFiles: TypeAlias = tuple[FarFile, ...]


def far_files(exposure: ExposureRef) -> FarFiles:
    """Return the planes of an exposure that lie behind URLs; none if it lies on a disk."""
    planes = [plane for chip in exposure.chips for plane in reversed(chip.planes)]
    urls = dict.fromkeys(plane.uri for plane in planes if is_url(plane.uri))
    return tuple(
        FarFile(url, tuple(plane.hdu for plane in planes if plane.uri == url)) for url in urls
    )


@dataclass(frozen=True, slots=True, eq=False)
class Working:
    """A task that a process works on.

    Parameters
    ----------
    own : tuple of FarFile
        What it reads; nothing is read ahead while it reads nothing of that kind.
    find_next : callable
        Returns what the next task reads, None if there is none yet. Is called in a thread.
    most_bytes : float
        How much of that may be read.
    """

    own: FarFiles
    find_next: Callable[[], FarFiles | None]
    most_bytes: float


class _Span(NamedTuple):
    """Bytes of a file."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """Files of one task, and all that was asked of them."""

    files: FarFiles
    streams: dict[str, Future[RangeStream]]


class InputsAhead:
    """What was read for the task after the one that a process works on: one exposure's at most.

    A file is let go of by whoever takes it; all of them when another task begins than was
    expected, or when their own has ended. So what becomes of tasks that were expected, and are
    then done elsewhere, changes nothing.
    """

    def __init__(self) -> None:
        self._working: Working | None = None
        self._goes_on = False
        self._ahead = _Ahead((), {})
        self._lock = threading.Lock()

    @contextmanager
    def while_working(self, working: Working) -> Iterator[None]:
        """Let a task find what was read for it."""
        if self._ahead.files != working.own:
            self.forget()
        with self._lock:
            self._working, self._goes_on = working, False
        try:
            yield
        finally:
            with self._lock:
                self._working, goes_on = None, self._goes_on
            if not goes_on:
                self.forget()

    def go_on(self) -> None:
        """Begin with what comes next: the task has all that it reads of its own."""
        with self._lock:
            working = self._working
            if working is None or not working.own or self._goes_on:
                return
            self._goes_on = True
        self.forget()
        _readers(os.getpid()).submit(self._find_and_read, working)

    def take(self, file: RemoteFile) -> RangeStream | None:
        """Return a file with all that was asked of it; None if nothing was, of this version."""
        with self._lock:
            asked = self._ahead.streams.pop(file.place.url, None)
        if asked is None or asked.cancel():
            return None
        try:
            stream = asked.result()
        except Exception:  # noqa: BLE001 - whatever it is, who opens the file will meet it
            return None
        if stream.file != file:
            stream.close()
            return None
        stream.seek(0)
        return stream

    def forget(self) -> bool:
        """Let go of all that was read; return whether there was anything."""
        with self._lock:
            ahead, self._ahead = self._ahead, _Ahead((), {})
        for asked in ahead.streams.values():
            if not asked.cancel():
                asked.add_done_callback(_close)
        return bool(ahead.streams)

    def _find_and_read(self, working: Working) -> None:
        """Wait until it is known what comes next, and read that."""
        while self._working is working:
            files = working.find_next()
            if files is not None:
                self._read(working, _Ahead(files, {one.url: Future() for one in files}))
                return
            time.sleep(_LOOK_S)

    def _read(self, working: Working, ahead: _Ahead) -> None:
        with self._lock:
            if self._working is not working:
                return
            self._ahead, streams = ahead, dict(ahead.streams)
        left = working.most_bytes
        for file in ahead.files:
            asked = streams[file.url]
            if not asked.set_running_or_notify_cancel():
                continue
            try:
                stream = _asked_for(file, left)
            except BaseException as error:  # noqa: BLE001 - of whoever waits for it, if anybody
                asked.set_exception(error)
            else:
                left -= stream.kept_bytes
                asked.set_result(stream)


def _asked_for(file: FarFile, most_bytes: float) -> RangeStream:
    """Return a file whose headers are read and whose planes are on their way, up to a limit.

    Raises
    ------
    LookupError
        The server names no version: what is read could be of another than what is opened.
    HeaderError
        It is not FITS.
    AlignError
        As of `remote_file`.
    """
    found = remote_file(UrlPlace(file.url))
    if found.etag is None:
        raise LookupError(f"{file.url}: the server names no version")
    stream = RangeStream(found)
    buffer = buffered(stream)  # which closes the stream unless it is detached
    spans = [*_spans(buffer, found.size, file.hdus)]
    buffer.detach()
    for start, end in spans:
        room = max(0, int(most_bytes) - stream.kept_bytes)
        stream.ask_for(start, min(end, start + room))
    return stream


def _spans(buffer: io.BufferedReader, size: int, hdus: tuple[int, ...]) -> Iterator[_Span]:
    """Yield where the data of HDUs lie; of a file that is compressed, all of it."""
    if buffer.read(len(_GZIP)) == _GZIP:
        yield _Span(0, size)
        return
    found = [*scan_hdus(buffer)]
    for index in hdus:
        start = found[index].data_offset
        yield _Span(start, start + found[index].data_size)


def _close(asked: Future[RangeStream]) -> None:
    if asked.exception() is None:
        asked.result().close()


@lru_cache(maxsize=1)
def _readers(process: int) -> Readers:
    """Return the thread of a process that looks what comes next: a fork inherits none."""
    del process
    return Readers(1)


_INPUTS = InputsAhead()


def inputs_ahead() -> InputsAhead:
    """Return what this process reads ahead."""
    return _INPUTS
