"""What two workers gain, next to two processes that share nothing and do the same work each.

``python tests/benchmarks/bench_two_workers.py [SKY]``: without a folder the sky is simulated.
On a machine with two cores that has nothing else to do: seven minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from alignsvc.io import journal
from alignsvc.io.journal_store import Journal
from alignsvc.io.objects import LocalObjects
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

SET = Path(__file__).resolve().parents[2] / "configs" / "simulations" / "dither20_full.yaml"
#: Passes of a run that ends soon, and of one whose start and end are a small part of it.
SHORT, LONG = 2, 6
_RUN = "import sys; from alignsvc.cli.main import main; sys.argv[1:] = ['run', {!r}]; main()"


@dataclass(frozen=True)
class Stage:
    """A stage of a pass."""

    name: str
    pass_number: int


@dataclass(frozen=True)
class Run:
    """What a run took: from its process's beginning to its end, and each stage of it, s of wall."""

    wall_s: float
    cpu_s: float
    stages: Mapping[Stage, float]

    def of(self, name: str = "", *, after_pass: int = -1) -> float:
        """Return the wall of a stage, of all of them if none is named, in later passes only."""
        return sum(
            took
            for stage, took in self.stages.items()
            if name in ("", stage.name) and stage.pass_number > after_pass
        )


class Started:
    """A run in a process of its own.

    Parameters
    ----------
    folder : Path
        Of the run and its configuration; made.
    sky : Path
    n_passes : int
    n_workers : int
        0 = serial.
    """

    def __init__(self, folder: Path, sky: Path, n_passes: int, n_workers: int) -> None:
        folder.mkdir(parents=True)
        self._run = folder / "run"
        config = {
            "run": {"directory": str(self._run), "keep_mosaics": "none"},
            "images": {"paths": [f"{sky}/*.fits"]},
            "alignment": {
                "geometry": "rscale",
                "max_iterations": [n_passes, min(2, n_passes)],
                "eps_shift": 1e-9,
            },
            "output": {"wcs": "head", "mosaic": "none", "report": "none", "history": "none"}
            | {"write_unconverged": True},
            "cluster": {"backend": "local", "workers": n_workers}
            if n_workers
            else {"backend": "serial"},
        }
        path = folder / "run.yaml"
        path.write_text(yaml.safe_dump(config))
        self._log = (folder / "log.txt").open("w")
        self._began_s = time.monotonic()
        # Not `subprocess.run`: the system counts CPU for who waits for this very process.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN.format(str(path))], stdout=self._log, stderr=self._log
        )

    def ended(self) -> Run:
        """Wait for its end, and return what it took."""
        _, status, used = os.wait4(self._process.pid, 0)
        wall_s = time.monotonic() - self._began_s
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._log.close()
        stages: Counter[Stage] = Counter()
        begun_s = 0.0
        for entry in Journal(LocalObjects(self._run), time.time).entries():
            if isinstance(entry.event, journal.StageStarted):
                begun_s = entry.time_s
            elif isinstance(entry.event, journal.StageFinished):
                stage = Stage(entry.event.stage, entry.event.pass_number)
                stages[stage] += entry.time_s - begun_s
        return Run(wall_s, used.ru_utime + used.ru_stime, stages)


@dataclass(frozen=True)
class Gains:
    """One process, two at once that do the same each, and a run on two workers."""

    alone: Run
    pair: tuple[Run, Run]
    workers: Run

    def row(self, what: str, name: str = "", *, after_pass: int | None = None) -> str:
        """Return a line of the table; `after_pass` None: the whole run, start and end and all."""

        def of(run: Run) -> float:
            return run.wall_s if after_pass is None else run.of(name, after_pass=after_pass)

        alone, two = of(self.alone), of(self.workers)
        pair = sum(map(of, self.pair)) / 2
        gains = 2 * alone / pair, alone / two
        return (
            f"| {what} | {alone:.2f} | {pair:.2f} | {two:.2f} | {gains[0]:.2f} | {gains[1]:.2f} | "
            f"{gains[1] / gains[0]:.2f} |"
        )


def measured(sky: Path, n_passes: int) -> Gains:
    """Run all three, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        alone = Started(folder / "alone", sky, n_passes, 0).ended()
        both = [Started(folder / f"one-of-two-{k}", sky, n_passes, 0) for k in (1, 2)]
        first, second = (one.ended() for one in both)
        workers = Started(folder / "workers", sky, n_passes, 2).ended()
    return Gains(alone, (first, second), workers)


def rows(gains: Gains, n_passes: int) -> list[str]:
    """Return the lines of runs of so many passes."""
    title = f"{n_passes} passes"
    lines = [
        gains.row(f"{title}: the run"),
        gains.row(f"{title}: its stages", after_pass=-1),
        gains.row(f"{title}: stages after the first pass", after_pass=1),
    ]
    names = {stage.name: None for stage in gains.alone.stages if stage.pass_number > 1}
    lines += [gains.row(f"{title}: of these {name}", name, after_pass=1) for name in names]
    cpu_s = gains.alone.cpu_s, sum(one.cpu_s for one in gains.pair) / 2, gains.workers.cpu_s
    told = " | ".join(f"{one:.2f}" for one in cpu_s)
    return [*lines, f"| {title}: CPU | {told} | | | {cpu_s[1] / cpu_s[2]:.2f} |"]


def main(folder: str = "") -> str:
    """Return the table."""
    with tempfile.TemporaryDirectory() as scratch:
        sky = Path(folder or scratch)
        if not folder:
            simulate_to(sky, sky_settings(yaml.safe_load(SET.read_text())))
        with tempfile.TemporaryDirectory() as unmeasured:  # whatever is compiled only once
            Started(Path(unmeasured) / "first", sky, SHORT, 0).ended()
        lines = [line for n in (SHORT, LONG) for line in rows(measured(sky, n), n)]
    return "\n".join(
        [
            "Seconds of wall, 20 exposures of 2048 x 2048 px; efficiency: the gain of two workers "
            "over that of two processes which share nothing.",
            "",
            "| what | one process | each of two at once | two workers | gain of two processes | "
            "of two workers | efficiency |",
            "|---|---|---|---|---|---|---|",
            *lines,
        ]
    )


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
