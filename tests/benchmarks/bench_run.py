"""A whole pass of stack8, stage by stage from the receipts; and what a task costs an executor."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from harness import Comparison, Job, compare

from alignsvc import api
from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.io.objects import LocalObjects
from alignsvc.run import events

SKY = Path(__file__).resolve().parents[2] / "configs/simulations/stack8.yaml"
N_TASKS = 40


@dataclass(frozen=True)
class Nothing:
    """A task that does nothing; `turn` makes its key new."""

    number: int
    turn: int

    @property
    def key(self) -> TaskKey:
        """Its identity."""
        return TaskKey("nothing", str(self.number), digest_of("nothing", self.number, self.turn))

    def __call__(self) -> TaskOutcome:
        """Do nothing."""
        return TaskOutcome(self.key, TaskStatus.OK)


def executors() -> list[Comparison]:
    """Wall time of empty tasks, receipts written, over that of the receipts alone."""
    found = []
    for name, settings in (("serial", {}), ("local", {"workers": 2})):
        with tempfile.TemporaryDirectory() as folder:
            objects = LocalObjects(Path(folder))
            turns = iter(range(1000))
            with cluster_backend(name, settings)(RunContext(objects)) as executor:

                def ours(executor=executor, turns=turns) -> object:
                    turn = next(turns)
                    return list(executor.run(Nothing(n, turn) for n in range(N_TASKS)))

                def floor(objects=objects, turns=turns) -> None:
                    turn = next(turns)
                    for n in range(N_TASKS):
                        objects.put_if_absent(f"floor/{turn}-{n}", b"0" * 400)

                job = Job(f"an empty task, {name}", "its receipt written alone", "ms/task",
                          ours, floor, N_TASKS)  # fmt: skip
                found.append(compare(job, 3, time.perf_counter))
    return found


def stages() -> str:
    """Return the table of one run's stages: summed seconds of its tasks, by stage."""
    seconds: dict[str, list[float]] = defaultdict(list)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.TaskEnded):
            seconds[event.stage].append(event.outcome.seconds)

    with tempfile.TemporaryDirectory() as folder:
        sky, run = Path(folder) / "sky", Path(folder) / "run"
        api.simulate(SKY, sky)
        config = Path(folder) / "run.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "images": {"paths": [f"{sky}/*.fits"]},
                    "run": {"directory": str(run)},
                    "cluster": {"backend": "serial"},
                }
            )
        )
        start = time.perf_counter()
        result = api.align(config, api.RunOptions(listener=listen))
        wall = time.perf_counter() - start
        passes = len(result.history)
    layout = yaml.safe_load(SKY.read_text())
    count = layout["layout"]["count"]
    mpix = count * float(np.prod(layout["camera"]["shape"])) / 1e6
    total = sum(sum(some) for some in seconds.values())
    rows = [
        f"| {stage} | {len(some)} | {sum(some):.2f} | {sum(some) / mpix / passes:.3f} | "
        f"{100 * sum(some) / wall:.0f} % |"
        for stage, some in seconds.items()
    ]
    rows.append(
        f"| driver: solve, headers, report | | {wall - total:.2f} | "
        f"{(wall - total) / mpix / passes:.3f} | {100 * (1 - total / wall):.0f} % |"
    )
    return "\n".join(
        [
            f"A whole run of stack8, serial: {count} exposures, {mpix:.2f} Mpix, {passes} passes,"
            f" {wall:.1f} s.",
            "",
            "| stage | tasks | s | s/Mpix and pass | share |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )
