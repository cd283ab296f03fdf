"""A reading of many headers, told of and kept on the way, so that it can go on where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import Planned
from alignsvc.run.planning.reading_headers import ReadSoFar
from alignsvc.run.records import events

#: JSON values of a reading.
Json = dict[str, int | float]
#: What a reading that is stopped may lose; shorter ones leave nothing behind.
BETWEEN_S = 10.0

#: Keeps headers in the store of a run.
Keep = Callable[[Sequence[ExposureHeader]], None]


class HeaderProgress:
    """Hears how far a reading of headers is.

    Parameters
    ----------
    listener : Listener
        Is told the same without the headers.
    keep : callable or None
        Is given what was read, every ten seconds; None: nothing may be kept.
    clock : callable
        Seconds that only go forward.
    """

    def __init__(
        self,
        listener: events.Listener,
        keep: Keep | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener, self._keep, self._clock = listener, keep, clock
        self._waiting: list[ExposureHeader] = []
        self._kept_s = clock()

    def __call__(self, so_far: ReadSoFar) -> None:
        """Take notice of it."""
        self._listener(events.HeadersRead(so_far.n_done, so_far.n_total, so_far.seconds))
        if self._keep is None:
            return
        self._waiting += so_far.new
        if self._clock() - self._kept_s < BETWEEN_S:
            return
        self._keep(tuple(self._waiting))
        self._waiting, self._kept_s = [], self._clock()


def planned_json(planned: Planned | None) -> Json | None:
    """Return how many headers were read in what time, as JSON values; None if none were."""
    if planned is None:
        return None
    return {
        "headers_read": planned.n_read,
        "headers_unchanged": planned.n_kept,
        "reading_s": planned.reading_s,
        "planning_s": planned.planning_s,
    }
