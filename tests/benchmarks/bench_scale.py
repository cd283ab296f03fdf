"""Where one driver ends: what exposures, tasks and workers cost it, and what follows for millions.

The plan, the driver's steps, the engine and the scheduler are the real ones; workers are stand-ins
whose tasks wait as long as predicted (`scale_workers.py`). CPU time of each process: other work on
the machine makes a wall time longer, and a CPU time a little (caches, shared cores).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
import scale_driver
import scale_engine
from bench_driver_memory import planned, simulated
from scale_driver import OF_WORKERS, SOLVE, Driver
from scale_engine import Engine

from alignsvc.run.needs.prediction import predicted

#: Stand-ins at a time, and what is asked about.
WORKERS = (10, 100, 1000)
EXPOSURES, MANY_WORKERS = (10_000, 100_000, 1_000_000), 1000


@dataclass(frozen=True)
class Work:
    """What workers have to do for an exposure in a full pass, by the prediction of a plan.

    Parameters
    ----------
    tasks, seconds : float
        Of the raster's exposures and tiles, for each exposure.
    """

    tasks: float
    seconds: float

    @classmethod
    def of_raster(cls, side: int) -> Work:
        """Return that of a raster of exposures of 4 Mpix that overlap by half."""
        with tempfile.TemporaryDirectory() as folder:
            simulated(Path(folder))
            plan = planned(Path(folder), side)
        stages = [one for one in predicted(plan).stages if one.counts.of_a_pass]
        n = len(plan.exposures)
        return cls(
            sum(one.counts.of_a_pass for one in stages) / n,
            sum(one.counts.of_a_pass * one.seconds for one in stages) / n,
        )


def steps(found: Sequence[Driver]) -> str:
    """Return the table of the driver's own steps."""
    rows = [
        f"| | {' | '.join(f'{one.n:,}' for one in found)} |",
        "|---" * (1 + len(found)) + "|",
    ]
    for step in found[0].cpu_s:
        cells = [
            f"{1000 * one.cpu_s[step] / one.n:.2f}" if step in one.cpu_s else "" for one in found
        ]
        rows.append(f"| {step}, CPU ms an exposure | {' | '.join(cells)} |")
    for what in found[0].bytes:
        cells = [f"{one.bytes[what] / one.n:,.0f}" for one in found]
        rows.append(f"| {what}, bytes an exposure | {' | '.join(cells)} |")
    rows.append(f"| tiles | {' | '.join(f'{one.tiles:,}' for one in found)} |")
    rows.append(f"| highest memory, MB | {' | '.join(f'{one.peak_mb:.0f}' for one in found)} |")
    return "\n".join(rows)


def tasks(found: Sequence[Engine]) -> str:
    """Return the table of tasks and workers."""
    return "\n".join([scale_engine.HEAD, *(one.row for one in found)])


def extrapolated(driver: Sequence[Driver], engine: Engine, work: Work) -> str:
    """Return what a pass of many exposures is, by the constants of the largest measured."""
    last = driver[-1]
    own_s = sum(s for step, s in last.cpu_s.items() if step not in (SOLVE, *OF_WORKERS)) / last.n
    solved = [one for one in driver if SOLVE in one.cpu_s]
    n = np.log([one.n for one in solved])
    power, at_one = np.polyfit(n, np.log([one.cpu_s[SOLVE] for one in solved]), 1)
    slope_mb = (last.peak_mb - driver[0].peak_mb) / (last.n - driver[0].n)
    apart_s, together_s = task_cost(engine)
    titles = (
        *("exposures", "tasks of a pass", "workers' time, 1,000 of them", "driver: tasks"),
        *("driver: own steps", f"solve, as n^{power:.2f}", "memory of the driver"),
        "states of a pass in the journal",
    )
    rows = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for count in EXPOSURES:
        cells = (
            f"{count:,}",
            f"{work.tasks * count:,.0f}",
            hours(work.seconds * count / MANY_WORKERS),
            hours(work.tasks * count * apart_s),
            hours(own_s * count),
            hours(float(np.exp(at_one) * count**power)),
            f"{(driver[0].peak_mb + slope_mb * (count - driver[0].n)) / 1000:.1f} GB",
            f"{last.bytes['journal: states of a pass'] / last.n * count / 1e6:,.0f} MB",
        )
        rows.append(f"| {' | '.join(cells)} |")
    mean_s = work.seconds / work.tasks
    return "\n".join(
        [
            f"A full pass has {work.tasks:.2f} tasks of {mean_s:.2f} s in the mean for each "
            f"exposure of 4 Mpix. A task takes {1000 * apart_s:.1f} ms of the busier of driver and "
            f"scheduler, {1000 * together_s:.1f} ms of both: one driver keeps "
            f"{mean_s / apart_s:,.0f} workers busy if the scheduler is a process of its own, "
            f"{mean_s / together_s:,.0f} if it is in the driver's.",
            "",
            *rows,
        ]
    )


def task_cost(engine: Engine) -> tuple[float, float]:
    """Return what a task takes of the busier of driver and scheduler, and of both, CPU s."""
    each = np.array([engine.short.driver_s, engine.short.scheduler_s]) / engine.n_short
    return float(each.max()), float(each.sum())


def hours(seconds: float) -> str:
    """Return a time in a unit that suits it."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def text(driver: Sequence[Driver], engine: Sequence[Engine], work: Work) -> str:
    """Return all of it."""
    return "\n\n".join([steps(driver), tasks(engine), extrapolated(driver, engine[-1], work)])


def main() -> str:
    """Measure, and return all of it."""
    engine = scale_engine.main(WORKERS)
    return text(scale_driver.main(), engine, Work.of_raster(32))


if __name__ == "__main__":
    os.nice(5)
    print(main())
