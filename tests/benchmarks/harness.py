"""Costs next to a peer's or a floor's, measured in turn in one process; medians and spread."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = (
    *("alignsvc", "numpy", "scipy", "astropy", "drizzle", "reproject"),
    *("sep", "photutils", "distributed"),
)


@dataclass(frozen=True)
class Comparison:
    """What the same job costs us and another.

    Parameters
    ----------
    what, peer, unit : str
        The unit is of `ours` and `theirs`, which hold one number a repeat.
    ours, theirs : float array, shape (repeats,)
    note : str
    """

    what: str
    peer: str
    unit: str
    ours: np.ndarray
    theirs: np.ndarray
    note: str = ""

    @property
    def row(self) -> str:
        """A line of the table; the ratio is the median of the pairs' own."""
        ratios = self.ours / self.theirs
        low, high = np.percentile(ratios, [16, 84])
        medians = f"{np.median(self.ours):.3g} | {np.median(self.theirs):.3g}"
        spread = f"{np.median(ratios):.2f} ({low:.2f}-{high:.2f})"
        return (
            f"| {self.what} | {self.unit} | {self.peer} | {medians} | {spread} | "
            f"{len(ratios)} | {self.note} |"
        )


@dataclass(frozen=True)
class Job:
    """One job in two ways, and how many units of work it is."""

    what: str
    peer: str
    unit: str
    ours: Callable[[], object]
    theirs: Callable[[], object]
    n: float
    note: str = ""


def compare(
    job: Job, repeats: int = 7, clock: Callable[[], float] = time.process_time
) -> Comparison:
    """Do both ways once unmeasured, then in turn; whoever begins changes each time."""
    job.ours(), job.theirs()
    took = np.empty((repeats, 2))
    for repeat in range(repeats):
        for way in (repeat % 2, 1 - repeat % 2):
            start = clock()
            (job.ours, job.theirs)[way]()
            took[repeat, way] = (clock() - start) / job.n
    factor = {"us": 1e6, "ms": 1e3, "s": 1.0}[job.unit.partition("/")[0]]
    return Comparison(job.what, job.peer, job.unit, *(factor * took.T), job.note)


def table(comparisons: list[Comparison]) -> str:
    """Return the Markdown of all comparisons."""
    head = (
        "| what | unit | peer or floor | ours | peer's | ratio (16-84 %) | repeats | note |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *(one.row for one in comparisons)])


def circumstances() -> str:
    """Return date, Python, versions and load: without them a time says nothing."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    day = datetime.now(UTC).date().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before"
    return f"{day}, {load}, Python {platform.python_version()}, {platform.machine()}; {versions}."


def with_part(text: str, part: str, measured: str) -> str:
    """Return the results with what stands between a part's marks replaced; the rest is by hand.

    Raises
    ------
    ValueError
        There are no marks of that name, or more than one pair.
    """
    begin, end = (f"<!-- {part}: {edge} -->" for edge in ("begin", "end"))
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ValueError(f"results: wanted one line {begin}, then one {end}")
    before, after = text.partition(begin)[0], text.partition(end)[2]
    return f"{before}{begin}\n{measured}\n{end}{after}"
