"""The headers of all inputs: those that a run keeps looked at, the others read, by processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from alignsvc.errors import DataError
from alignsvc.io.exposure_files import ExposureCandidate, FailedExposure
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.headers_read import HeadersRead
from alignsvc.io.image_settings import ImageSettings

#: A process starts in about a second and reads a header in about 3 ms.
_WORTH_A_PROCESS = 300
_CHUNK = 50


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the headers of the inputs say.

    Parameters
    ----------
    headers : tuple of ExposureHeader
        Of sound exposures, in the order of the candidates.
    failed : tuple of FailedExposure
    n_read : int
        Exposures whose headers were read and understood anew.
    seconds : float
        That it took, wall clock.
    notes : tuple of str
        What the user should know of it.
    """

    headers: tuple[ExposureHeader, ...]
    failed: tuple[FailedExposure, ...]
    n_read: int
    seconds: float
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
        At the most; 1 = all is read here.
    """

    settings: ImageSettings
    processes: int = 1

    def __call__(
        self, candidates: Sequence[ExposureCandidate], known: HeadersRead | None = None
    ) -> Reading:
        """Return what headers say, the same in whatever process they are read."""
        start = time.perf_counter()
        known = known or HeadersRead()
        kept = {one.id: header for one in candidates if (header := known.header_of(one))}
        missing = [one for one in candidates if one.id not in kept]
        notes = [known.note] if known.note else []
        found = dict(zip((one.id for one in missing), self._read(missing, notes), strict=True))
        all_found = [kept.get(one.id) or found[one.id] for one in candidates]
        return Reading(
            tuple(one for one in all_found if isinstance(one, ExposureHeader)),
            tuple(one for one in all_found if isinstance(one, FailedExposure)),
            len(missing),
            time.perf_counter() - start,
            tuple(notes),
        )

    def _read(
        self, candidates: Sequence[ExposureCandidate], notes: list[str]
    ) -> list[ExposureHeader | FailedExposure]:
        n = min(self.processes, len(candidates) // _WORTH_A_PROCESS)
        if n > 1 and not multiprocessing.current_process().daemon:
            try:
                return list(self._by_processes(candidates, n))
            except BrokenProcessPool:
                notes.append(
                    "a process that read headers has died, so they were read in this one; if a "
                    "script called alignsvc, put the call below `if __name__ == '__main__':`"
                )
        return read_headers(candidates, self.settings)

    def _by_processes(
        self, candidates: Sequence[ExposureCandidate], n: int
    ) -> Iterator[ExposureHeader | FailedExposure]:
        chunks = [candidates[k : k + _CHUNK] for k in range(0, len(candidates), _CHUNK)]
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        with ProcessPoolExecutor(n, mp_context=spawn) as pool:
            for part in pool.map(read_headers, chunks, [self.settings] * len(chunks)):
                yield from part


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


def cores() -> int:
    """Return how many processes this one may run at a time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
