"""The runs below a directory: one line each, whatever state they are in."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alignsvc.errors import AlignError, ConfigError
from alignsvc.io.journal_store import Journal
from alignsvc.io.locations import CONFIG, JOURNAL, RunLocations
from alignsvc.io.places import Place, UrlPlace
from alignsvc.io.stores import objects_at
from alignsvc.run.records.journal_view import ExposureCounts, JournalView, of_unended
from alignsvc.run.records.run_directory import never_began
from alignsvc.run.status.run_status import RunStanding, age_text, status_of
from alignsvc.run.status.submitted_driver import AskDriver, AskingManyBriefly
from alignsvc.wording import counted

#: Between two columns.
_GAP = "  "


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run that was found.

    Parameters
    ----------
    directory : Place
    id : str
        What its corrected headers call it; empty before it has begun, or where it cannot be read.
    standing : str
        As of `RunStanding`, or ``unreadable``.
    passes : int
        That are solved.
    counts : ExposureCounts
    silence_s : float or None
        Seconds since its last sign of life; None if there never was one.
    trouble : str
        Why it cannot be read: it is damaged, or of another format.
    driver : str
        What is known of a driver that was submitted and does not drive it; empty = nothing.
    """

    directory: Place
    id: str = ""
    standing: str = "unreadable"
    passes: int = 0
    counts: ExposureCounts = field(default_factory=ExposureCounts)
    silence_s: float | None = None
    trouble: str = ""
    driver: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return it in words, column by column; the last ones may be missing."""
        name = (str(self.directory), self.id or "-")
        if self.trouble:
            return (*name, f"{self.standing}: {self.trouble}")
        counts = self.counts
        ended = ((counts.skipped, "skipped"), (counts.failed, "failed"))
        unended = of_unended(is_going=self._is_going)
        well = ((counts.going, unended), (counts.aligned, "aligned"))
        exposures = [f"{n} {how}" for n, how in (*(one for one in well if one[0]), *ended)]
        silence = "" if self.silence_s is None else f"{age_text(self.silence_s)} ago"
        passes = counted(self.passes, "pass", "passes")
        return (*name, self.standing, passes, ", ".join(exposures), silence, self.driver)

    @property
    def _is_going(self) -> bool:
        return any(self.standing == one and one.is_going for one in RunStanding)

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        return {
            "directory": str(self.directory),
            "id": self.id,
            "standing": self.standing,
            "passes": self.passes,
            "exposures": self.counts.as_json(is_going=self._is_going),
            "silence_s": self.silence_s,
            "trouble": self.trouble,
            "driver": self.driver,
        }


def run_lines(found: Sequence[ListedRun]) -> list[str]:
    """Return runs in lines, what is of one kind below each other."""
    rows = [one.cells() for one in found]
    # What ends a row has no column of its own to fill.
    widths = [
        max((len(row[k]) for row in rows if k < len(row) - 1), default=0)
        for k in range(max(map(len, rows), default=0))
    ]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def list_runs(root: Place, now_s: float | None = None) -> tuple[ListedRun, ...]:
    """Return the runs below a directory, or a prefix of a bucket, itself included, by their names.

    Parameters
    ----------
    root : Place
    now_s : float or None
        Seconds since 1970; None = now.

    Raises
    ------
    ConfigError
        There is no such directory.
    """
    if isinstance(root, Path) and not root.is_dir():
        raise ConfigError(f"{root}: no such directory; give one below which runs are")
    now_s = time.time() if now_s is None else now_s
    found = _runs_on_disk(root) if isinstance(root, Path) else _runs_in_bucket(root)
    ask = AskingManyBriefly()
    return tuple(_listed(run, now_s, ask) for run in found)


def _runs_on_disk(root: Path) -> Iterator[Path]:
    """Yield the run directories; what is inside of one is not looked at, nor links followed."""
    for folder, below, files in os.walk(root.absolute()):
        below.sort()
        if CONFIG in files and _is_run(Path(folder), below):
            below.clear()
            yield Path(folder)


def _runs_in_bucket(root: UrlPlace) -> Iterator[UrlPlace]:
    objects = objects_at(root)
    below = objects.folders("")
    if objects.exists(CONFIG) and _is_run(root, below):
        yield root
        return
    for folder in below:
        yield from _runs_in_bucket(root.joinpath(folder))


def _is_run(folder: Place, below: Sequence[str]) -> bool:
    """Return whether a folder with a configuration is a run, and not somebody's own folder."""
    if JOURNAL.rstrip("/") in below:
        return True
    return never_began(folder)


def _listed(run: Place, now_s: float, ask: AskDriver) -> ListedRun:
    try:
        journal = Journal(RunLocations(run).objects, time.time)
        view = JournalView().read_on(journal.entries())
        status = status_of(run, view, now_s, ask)
    except (AlignError, ValueError, KeyError) as error:
        return ListedRun(run, trouble=str(error).removeprefix(f"{run}: "))
    return ListedRun(
        run,
        status.state.run_id,
        status.standing.value,
        len(status.state.solved_passes),
        status.counts,
        status.silence_s,
        driver="" if status.submitted is None else status.submitted.words,
    )
