"""Tasks and workers of a made-up run, as a store would have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from alignsvc.domain.outcome import TaskStatus
from alignsvc.io.record_pieces import Records
from alignsvc.io.task_ends import TaskEnd, TaskSum
from alignsvc.io.worker_samples import WorkerSample, WorkersThen
from alignsvc.run.seeing.work_json import sample_columns, task_columns

START_S = 1_790_000_000.0
#: Between the driver that dies and the one that goes on.
GAP_S = 240.0
STAGES = (("resample", 0.6), ("merge", 0.3), ("detect", 0.4), ("measure", 1.1))


def task_ends(
    n_workers: int, names: Sequence[str], passes: int = 2, start_s: float = START_S
) -> list[TaskEnd]:
    """Return ends of tasks of all names, stage after stage, with a gap before the last pass."""
    random = np.random.default_rng(2)
    free = np.full(n_workers, start_s)
    ends = []
    for number in range(1, passes + 1):
        free[:] = free.max() + (GAP_S if number == passes else 3.0)
        for stage, seconds in STAGES:
            free[:] = free.max() + 1.0
            for k, name in enumerate(names):
                worker = int(np.argmin(free))
                took = seconds * (0.7 + 0.6 * random.random())
                failed = stage == "measure" and k % 50 == 7
                ends.append(
                    TaskEnd(
                        *(stage, number, name, f"node{worker // 8:02d}/{worker}"),
                        *(free[worker], free[worker] + took),
                        TaskStatus.FAILED if failed else TaskStatus.OK,
                        reason="empty" if failed else "",
                        peak_bytes=int(4e8 + 1e8 * random.random()),
                    )
                )
                free[worker] += took
    return sorted(ends, key=lambda one: one.ended_s)


def worker_samples(ends: Sequence[TaskEnd], n_workers: int) -> list[WorkerSample]:
    """Return samples of two drivers; workers come one by one, and nobody asks in a solve."""
    random = np.random.default_rng(5)
    first, last = ends[0].began_s, max(one.ended_s for one in ends)
    ended = np.array([one.ended_s for one in ends])
    samples = []
    for k, time_s in enumerate(np.arange(first, last, 5.0).tolist()):
        near = np.abs(ended - time_s).min()
        if near > 20.0:
            continue
        memory = np.sort(4e8 + 2e8 * random.random(n_workers)).astype(int).tolist()
        then = WorkersThen(
            *(min(n_workers, 1 + k), min(n_workers, 1 + k) if near < 2.0 else 0),
            *(min(n_workers, 1 + k), memory[0], memory[n_workers // 2], memory[-1], 1_000_000_000),
        )
        epoch = 1 + int(time_s > ends[len(ends) // 2 - 1].ended_s + 20.0)
        waiting = int((ended > time_s).sum())
        driver = int(2e8 + 3e6 * k)
        samples.append(
            WorkerSample(epoch, time_s, time_s, driver, waiting, then if k % 9 != 8 else None)
        )
    return samples


def work(n_workers: int, names: Sequence[str], **kept: Any) -> dict[str, Any]:
    """Return the parts of a picture that tell of tasks and workers."""
    ends = task_ends(n_workers, names)
    tasks: Records[TaskEnd, TaskSum] = Records(records=tuple(ends), **kept)
    found: Records[WorkerSample, WorkerSample] = Records(
        records=tuple(worker_samples(ends, n_workers))
    )
    return {"tasks": task_columns(tasks), "workers": sample_columns(found)}
