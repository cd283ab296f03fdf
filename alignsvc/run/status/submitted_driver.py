"""The driver that `alignsvc submit` started last: what its place says of it, asked for briefly.

Nobody's status depends on a batch system that answers: what cannot be found out is told as such.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from alignsvc.config.build import build_cluster
from alignsvc.engine.driver_places import (
    DriverJob,
    DriverPlace,
    DriverStanding,
    DriverState,
    driver_place,
)
from alignsvc.errors import AlignError, ResourceError
from alignsvc.io.driver_record import DriverRecord, read_driver_record
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.run.records.stored import stored_config

#: From a run and its driver to what is known of that now; raises nothing.
AskDriver: TypeAlias = Callable[[Place, DriverRecord], DriverState]

#: Seconds between two questions of who watches: at first, and at the most.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 60.0
#: How long an answer is believed while none follows.
_BELIEVED_S = 600.0
#: What looking for the drivers of many runs may take in all, and the last question besides.
_ALL_S = 20.0


@dataclass(frozen=True, slots=True)
class SubmittedDriver:
    """A driver that was submitted, and what is known of it.

    Parameters
    ----------
    record : DriverRecord
    has_begun : bool
        Whether a driver has begun since it was submitted.
    state : DriverState or None
        What its place says; None where nobody asked, as of a run that is driven or has ended.
    """

    record: DriverRecord
    has_begun: bool
    state: DriverState | None = None

    @property
    def is_there(self) -> bool:
        """Whether it waits for its turn or runs, as far as one knows."""
        return self.state is not None and self.state.is_there

    @property
    def words(self) -> str:
        """How it is, in a sentence; empty if nobody asked."""
        if self.state is None:
            return ""
        told = f" ({self.state.words})" if self.state.words else ""
        match self.state.standing:
            case DriverStanding.WAITS:
                return f"queued as {self.record}: {self.state.words or 'waits for its turn'}"
            case DriverStanding.RUNS if self.has_begun:
                return f"{self.record} is there{told}, but does not drive the run"
            case DriverStanding.RUNS:
                return f"{self.record} has begun{told}, and has yet to take up the run"
            case DriverStanding.UNKNOWN:
                return f"stopped, or {self.record} waits for its turn: not known{told}"
            case _ if self.has_begun:
                return f"stopped; {self.record} is gone{told}"
            case _:
                return f"{self.record} is gone{told}, and its driver never began; see its output"

    def line(self) -> str:
        """Return where it was submitted, in a sentence."""
        return f"submitted as {self.record}, output in {self.record.log or 'its place'}"

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            **driver_json(self.record),
            "began": self.has_begun,
            "standing": None if self.state is None else self.state.standing.value,
            "words": None if self.state is None else self.state.words,
        }


def driver_json(driver: DriverRecord) -> dict[str, object]:
    """Return what `submit` started, as JSON values."""
    return {
        "place": driver.place,
        "job": driver.job,
        "log": driver.log,
        "time_s": driver.time_s,
    }


def submitted_driver(run: Place, begun_s: float, ask: AskDriver | None) -> SubmittedDriver | None:
    """Return the driver that was submitted last, None if the run never was.

    Parameters
    ----------
    run : Place
    begun_s : float
        When a driver last began, s since 1970.
    ask : AskDriver or None
        None = its place is not asked.
    """
    record = read_driver_record(RunLocations(run).objects)
    if record is None:
        return None
    state = None if ask is None else ask(run, record)
    return SubmittedDriver(record, begun_s >= record.time_s, state)


def ask_driver(run: Place, record: DriverRecord) -> DriverState:
    """Return what its place says of a driver; unknown, with the reason, where it cannot be asked.

    Parameters
    ----------
    run : Place
    record : DriverRecord
    """
    try:
        return _place(run, record).state_of(DriverJob(record.job, record.log))
    except AlignError as error:
        return DriverState(DriverStanding.UNKNOWN, str(error))


def remove_driver(run: Place, record: DriverRecord) -> None:
    """Have a driver ended that waits for its turn or has just begun.

    Raises
    ------
    AlignError
        That is not possible from here.
    """
    _place(run, record).remove(DriverJob(record.job, record.log))


def _place(run: Place, record: DriverRecord) -> DriverPlace:
    config = stored_config(run)
    if config.cluster.backend != record.place:
        raise ResourceError(
            f"it was submitted to {record.place}, and cluster.backend is now "
            f"{config.cluster.backend}"
        )
    return driver_place(record.place, build_cluster(config, None))


class AskingSeldom:
    """Asks for one run, as who watches it does: every ten seconds, later every minute.

    An answer that fails to come takes nothing back, for ten minutes.

    Parameters
    ----------
    elapsed : callable
        Seconds that only go forward.
    ask : AskDriver
    """

    def __init__(self, elapsed: Callable[[], float], ask: AskDriver = ask_driver) -> None:
        self._elapsed, self._ask = elapsed, ask
        self._record: DriverRecord | None = None
        self._said = self._heard = DriverState(DriverStanding.UNKNOWN)
        self._pause_s = 0.0
        self._asked_s = self._said_s = elapsed()

    def __call__(self, run: Place, record: DriverRecord) -> DriverState:
        """Return what is known of the driver."""
        now_s = self._elapsed()
        if record != self._record:
            self._record, self._pause_s = record, _FIRST_PAUSE_S
            self._said = self._heard = self._ask(run, record)
            self._asked_s = self._said_s = now_s
        elif now_s - self._asked_s >= self._pause_s:
            self._take(self._ask(run, record), now_s)
        return self._said

    def _take(self, said: DriverState, now_s: float) -> None:
        self._asked_s = now_s
        is_same, self._heard = said == self._heard, said
        self._pause_s = min(1.5 * self._pause_s, _LONGEST_PAUSE_S) if is_same else _FIRST_PAUSE_S
        is_known = said.standing is not DriverStanding.UNKNOWN
        if is_known or now_s - self._said_s > _BELIEVED_S:
            self._said, self._said_s = said, now_s if is_known else self._said_s


class AskingManyBriefly:
    """Asks for many runs one after the other, until that has taken too long.

    Parameters
    ----------
    elapsed : callable
        Seconds that only go forward.
    ask : AskDriver
    """

    def __init__(
        self, elapsed: Callable[[], float] = time.monotonic, ask: AskDriver = ask_driver
    ) -> None:
        self._elapsed, self._ask = elapsed, ask
        self._taken_s = 0.0

    def __call__(self, run: Place, record: DriverRecord) -> DriverState:
        """Return what is known of the driver of a run."""
        if self._taken_s > _ALL_S:
            return DriverState(DriverStanding.UNKNOWN, "not asked: earlier answers took too long")
        began_s = self._elapsed()
        try:
            return self._ask(run, record)
        finally:
            self._taken_s += self._elapsed() - began_s
