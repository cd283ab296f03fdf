"""What an empty task costs an executor."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from harness import Comparison, Job, compare

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.io.objects import LocalObjects

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
