"""Where the driver of a run that was handed in goes: one file for each kind of place.

A place is named like the cluster backend whose workers the driver uses: its only field is that
backend, so that what is said under ``cluster`` is said once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from alignsvc.engine.base import ClusterBackend
from alignsvc.registry import Registry


@dataclass(frozen=True, slots=True)
class DriverRun:
    """A run that is prepared and waits for its driver.

    Parameters
    ----------
    where : str
        Its directory or URL, as ``alignsvc resume`` takes it wherever the driver starts.
    run_id : str
    logs : Path
        A directory for what the driver prints; this machine and the driver's reach it. It may not
        exist yet.
    """

    where: str
    run_id: str
    logs: Path


@dataclass(frozen=True, slots=True)
class DriverJob:
    """A driver that was started.

    Parameters
    ----------
    id : str
        By which its place knows it.
    log : str
        Where its output goes: a path, or what shows it; empty if nobody knows.
    """

    id: str
    log: str = ""


class DriverStanding(StrEnum):
    """How things are with a driver that was started somewhere, as its place says."""

    WAITS = "waits"  #: for its turn
    RUNS = "runs"
    GONE = "gone"  #: its place knows it no more
    UNKNOWN = "unknown"  #: nobody can tell


@dataclass(frozen=True, slots=True)
class DriverState:
    """What its place says of a driver.

    Parameters
    ----------
    standing : DriverStanding
    words : str
        In the place's own words, like ``PENDING (Resources)``; of an unknown one, why. May be
        empty.
    """

    standing: DriverStanding
    words: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it waits or runs, as far as one knows."""
        return self.standing in (DriverStanding.WAITS, DriverStanding.RUNS)


class DriverPlace(Protocol):
    """Starts drivers where they outlive the client; a frozen dataclass with the field `backend`.

    What a driver runs is ``alignsvc resume WHERE``: it takes the lease, and goes on where the
    journal ends, so that a second one does no harm.
    """

    def script(self, run: DriverRun) -> str:
        """Return the job script, manifest or command line that `start` would hand in."""
        ...

    def start(self, run: DriverRun) -> DriverJob:
        """Start a driver and return at once.

        Raises
        ------
        ConfigError
            The program that takes it, or a package, is not here.
        ResourceError
            It was not taken.
        """
        ...

    def state_of(self, job: DriverJob) -> DriverState:
        """Return whether a driver waits for its turn, runs, or is gone; asked for a short while.

        Raises
        ------
        AlignError
            Nobody can tell: its place does not answer, or cannot be asked from here.
        """
        ...

    def remove(self, job: DriverJob) -> None:
        """Have a driver ended that waits for its turn or has just begun; return at once.

        Raises
        ------
        AlignError
            That is not possible from here.
        """
        ...


DRIVER_PLACES: Registry[DriverPlace] = Registry("driver place", "alignsvc.engine.driver_places")


def driver_place(name: str, backend: ClusterBackend) -> DriverPlace:
    """Return where drivers go that use `backend`, whose name is `name`."""
    return DRIVER_PLACES.build(name, {"backend": backend})
