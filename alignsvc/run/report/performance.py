"""How long a run took, and how many pixels went through it in that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import DriverStarted
from alignsvc.io.journal_store import Entry
from alignsvc.run.status.stage_times import StageTime
from alignsvc.wording import counted

#: Stages whose tasks read an exposure each, whole.
_OF_EXPOSURES = frozenset({"resample", "measure", "reject"})


@dataclass(frozen=True, slots=True)
class StageRate:
    """A stage in all passes together.

    Parameters
    ----------
    stage : str
    wall_s : float
        While it went on.
    work_s : float
        Of all its tasks.
    n_tasks, n_reused : int
        Tasks, and those that an earlier driver had done.
    megapixels : float or None
        Of exposures that its tasks read; None where they read no whole exposures.
    """

    stage: str
    wall_s: float
    work_s: float
    n_tasks: int
    n_reused: int
    megapixels: float | None

    @property
    def mpix_per_s(self) -> float | None:
        """Megapixels for each second that passed."""
        return self.megapixels / self.wall_s if self.megapixels and self.wall_s > 0 else None

    @property
    def cells(self) -> tuple[str, ...]:
        """Of the page: time that passed, and megapixels for each second of it."""
        rate = self.mpix_per_s
        return (f"{self.wall_s:.1f}", "" if rate is None else f"{rate:.2g}")


RATE_HEAD = ("s that passed", "Mpix/s")


@dataclass(frozen=True, slots=True)
class Performance:
    """A whole run.

    Parameters
    ----------
    began_s, ended_s : float
        Seconds since 1970: its first journal entry, and its report.
    n_drivers : int
        That worked on it, one after the other.
    n_pixels : int
        Of all sound exposures.
    stages : tuple of StageRate
        In the order in which they first came.
    """

    began_s: float
    ended_s: float
    n_drivers: int
    n_pixels: int
    stages: tuple[StageRate, ...]

    def line(self) -> str:
        """Return it in a sentence."""
        busy_s = sum(one.wall_s for one in self.stages)
        rate = f", {self.n_pixels / 1e6 / busy_s:.2g} Mpix/s for all passes" if busy_s > 0 else ""
        return (
            f"from {_when(self.began_s)} to {_when(self.ended_s)}: "
            f"{self.ended_s - self.began_s:.1f} s, of which {busy_s:.1f} s in stages, by "
            f"{counted(self.n_drivers, 'driver')}; {self.n_pixels / 1e6:.1f} Mpix of "
            f"exposures{rate}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "drivers": self.n_drivers,
            "pixels": self.n_pixels,
            "stages": [
                {
                    "stage": one.stage,
                    "wall_s": one.wall_s,
                    "work_s": one.work_s,
                    "tasks": one.n_tasks,
                    "reused": one.n_reused,
                    "mpix_per_s": one.mpix_per_s,
                }
                for one in self.stages
            ],
        }


def performance_of(
    entries: Sequence[Entry],
    stages: Sequence[StageTime],
    headers: Sequence[ExposureHeader],
    now_s: float,
) -> Performance:
    """Return how long a run took, by its journal.

    Parameters
    ----------
    entries : sequence of Entry
        Of its journal, all.
    stages : sequence of StageTime
    headers : sequence of ExposureHeader
        Of its sound exposures.
    now_s : float
    """
    pixels = [wcs.shape[0] * wcs.shape[1] for header in headers for wcs in header.wcs]
    each = sum(pixels) / 1e6 / len(headers) if headers else 0.0
    names = list(dict.fromkeys(one.stage for one in stages))
    return Performance(
        began_s=entries[0].time_s if entries else now_s,
        ended_s=now_s,
        n_drivers=sum(isinstance(entry.event, DriverStarted) for entry in entries),
        n_pixels=sum(pixels),
        stages=tuple(_rate(name, stages, each) for name in names),
    )


def _rate(stage: str, stages: Sequence[StageTime], mpix_each: float) -> StageRate:
    times = [one for one in stages if one.stage == stage]
    ended = [one for one in times if one.ended_s is not None]
    n_tasks, n_reused = sum(one.n_tasks for one in ended), sum(one.n_reused for one in ended)
    return StageRate(
        stage,
        sum(one.ended_s - one.began_s for one in ended if one.ended_s is not None),
        sum(one.work_s for one in ended),
        n_tasks,
        n_reused,
        mpix_each * (n_tasks - n_reused) if stage in _OF_EXPOSURES else None,
    )


def _when(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
