"""The headers of all inputs: those that a run keeps looked at, the others read, by processes.

They are read where the plan is made, before there is a run whose workers could: its identity and
its directory follow from them, and `check` and `submit` plan without any worker. So processes of
this machine read them, more than it has cores where most of the work is waiting for a server. What
is read can be kept on the way, and a reading that was stopped goes on from there.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from alignsvc.errors import DataError
from alignsvc.io.exposure_files import (
    ExposureCandidate,
    FailedExposure,
    FoundFiles,
    group_id,
    grouped,
)
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.headers_read import HeadersRead, UnchangedHeaders
from alignsvc.io.image_settings import GroupByKeyword, ImageSettings
from alignsvc.io.journal import Planned
from alignsvc.io.places import is_url

T = TypeVar("T")
R = TypeVar("R")

#: A process starts in about a second and reads a header in about 3 ms; from a server in 0.1 s.
_WORTH_A_PROCESS, _WORTH_A_PROCESS_FAR = 300, 20
#: Processes for each core that wait for a server, and most of them: each takes some 100 MB.
_WAITING_PER_CORE, _MOST_WAITING = 4, 16
_CHUNK, _CHUNK_FAR = 50, 5


@dataclass(frozen=True, slots=True, eq=False)
class ReadSoFar:
    """How far a reading of headers is.

    Parameters
    ----------
    new : tuple of ExposureHeader
        Sound ones, read since it was told last.
    n_done, n_total : int
        Of those that are to be read.
    seconds : float
        Since it began.
    """

    new: tuple[ExposureHeader, ...]
    n_done: int
    n_total: int
    seconds: float


class ReadingListener(Protocol):
    """Anything that can be told how far a reading is."""

    def __call__(self, so_far: ReadSoFar) -> None:
        """Take notice of it."""
        ...


def untold(so_far: ReadSoFar) -> None:
    """Take no notice."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the headers of the inputs say.

    Parameters
    ----------
    headers : tuple of ExposureHeader
        Of sound exposures, in order of id.
    failed : tuple of FailedExposure
        Files that are not there among them.
    told : Planned
        How many headers were read and understood anew, how many were known, and in what time.
    notes : tuple of str
        What the user should know of it.
    """

    headers: tuple[ExposureHeader, ...]
    failed: tuple[FailedExposure, ...]
    told: Planned
    notes: tuple[str, ...] = ()

    @property
    def is_long(self) -> bool:
        """Whether there are so many that the time it took is worth telling."""
        return len(self.headers) + len(self.failed) >= _WORTH_A_PROCESS


@dataclass(frozen=True, slots=True)
class HeaderReader:
    """Reads headers, in processes of its own where many are to be read.

    Parameters
    ----------
    settings : ImageSettings
    processes : int
        At the most, of those that do not wait for a server; 0 = all is read here.
    told : ReadingListener
        Hears how far it is, after every few headers.
    """

    settings: ImageSettings
    processes: int = 0
    told: ReadingListener = untold

    def __call__(self, found: FoundFiles, known: HeadersRead | None = None) -> Reading:
        """Return what headers say, the same in whatever process they are read.

        Raises
        ------
        ConfigError
            Files that `group_by` cannot group.
        """
        start = time.perf_counter()
        known = known or HeadersRead()
        notes = [known.note] if known.note else []
        pool = _Pool(self.processes, any(map(is_url, found.ids)), notes)
        unchanged = known.unchanged_among(found.ids)
        candidates = grouped(self._group_ids(found, unchanged, pool))
        kept = {one.id: header for one in candidates if (header := unchanged.header_of(one))}
        missing = [one for one in candidates if one.id not in kept]
        read: list[ExposureHeader | FailedExposure] = []
        for part in pool.parts(partial(read_headers, settings=self.settings), missing):
            read += part
            new = tuple(one for one in part if isinstance(one, ExposureHeader))
            self.told(ReadSoFar(new, len(read), len(missing), time.perf_counter() - start))
        by_id = dict(zip((one.id for one in missing), read, strict=True))
        all_found = [kept.get(one.id) or by_id[one.id] for one in candidates]
        return Reading(
            tuple(one for one in all_found if isinstance(one, ExposureHeader)),
            (*found.failed, *(one for one in all_found if isinstance(one, FailedExposure))),
            Planned(len(missing), len(kept), time.perf_counter() - start, 0.0),
            tuple(notes),
        )

    def _group_ids(
        self, found: FoundFiles, unchanged: UnchangedHeaders, pool: _Pool
    ) -> dict[str, str]:
        """Return the id of each file's exposure; files are opened where only a keyword tells it."""
        if not isinstance(self.settings.group_by, GroupByKeyword):
            return {file: group_id(file, own, self.settings) for file, own in found.ids.items()}
        known = unchanged.group_ids()
        files = [(file, own) for file, own in found.ids.items() if file not in known]
        parts = pool.parts(partial(read_group_ids, settings=self.settings), files)
        read = {file: key for part in parts for file, key in part}
        return {file: known.get(file) or read[file] for file in found.ids}


@dataclass(frozen=True, slots=True)
class _Pool:
    """Where headers are read: in this process, or by others.

    Parameters
    ----------
    processes : int
        As of `HeaderReader`.
    is_far : bool
        Whether files lie behind URLs.
    notes : list of str
        Is added to if processes die.
    """

    processes: int
    is_far: bool
    notes: list[str]

    def parts(self, work: Callable[[list[T]], list[R]], items: list[T]) -> Iterator[list[R]]:
        """Yield what comes of items, some at a time and in order."""
        chunk = _CHUNK_FAR if self.is_far else _CHUNK
        chunks = [items[k : k + chunk] for k in range(0, len(items), chunk)]
        n_done = 0
        n = n_processes(self.processes, len(items), is_far=self.is_far)
        if n > 1 and not multiprocessing.current_process().daemon:
            try:
                for part in _by_processes(work, chunks, n):
                    n_done += 1
                    yield part
            except BrokenProcessPool:
                self.notes.append(
                    "a process that read headers has died, so they were read in this one; if a "
                    "script called alignsvc, put the call below `if __name__ == '__main__':`"
                )
        for one in chunks[n_done:]:
            yield work(one)


def n_processes(cores: int, n_items: int, *, is_far: bool) -> int:
    """Return how many processes are worth while for so many headers; 1 or less = none.

    Those that wait for a server leave room for others on a core.
    """
    if not is_far:
        return min(cores, n_items // _WORTH_A_PROCESS)
    return min(cores * _WAITING_PER_CORE, _MOST_WAITING, n_items // _WORTH_A_PROCESS_FAR)


def _by_processes(
    work: Callable[[list[T]], list[R]], chunks: list[list[T]], n: int
) -> Iterator[list[R]]:
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(n, mp_context=spawn) as pool:
        try:
            yield from pool.map(work, chunks)
        except BaseException:  # also of who asks for no more: what waits is not to be done
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_headers(
    candidates: Sequence[ExposureCandidate], settings: ImageSettings
) -> list[ExposureHeader | FailedExposure]:
    """Return what the headers of each exposure say, or why it cannot be used; in order."""
    found: list[ExposureHeader | FailedExposure] = []
    for candidate in candidates:
        try:
            found.append(inspect_exposure(candidate, settings))
        except DataError as error:
            found.append(FailedExposure.from_error(candidate.id, error))
    return found


def read_group_ids(
    files: Sequence[tuple[str, str]], settings: ImageSettings
) -> list[tuple[str, str]]:
    """Return each file with the id of its exposure, of files with the ids that they have alone."""
    return [(file, group_id(file, own_id, settings)) for file, own_id in files]


def cores() -> int:
    """Return how many processes this one may run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
