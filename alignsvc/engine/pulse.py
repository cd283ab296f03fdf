"""How the workers of a scheduler are: how many, and what each has been running for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from dask.typing import Key
from distributed.scheduler import Scheduler, WorkerState

#: A task's name in dask (`distributed` calls it a key).
TaskName: TypeAlias = Key


@dataclass(frozen=True, slots=True)
class Running:
    """A task on a worker: its name in dask, seconds since it began, the worker's address."""

    name: TaskName
    seconds: float
    worker: str


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """A worker: its address, and how many tasks it can run at one time."""

    address: str
    threads: int


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the workers are at one moment."""

    running: tuple[Running, ...]
    workers: tuple[Worker, ...]

    @property
    def threads(self) -> int:
        """How many tasks can run at one time."""
        return sum(worker.threads for worker in self.workers)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the workers, in order."""
        return tuple(worker.address for worker in self.workers)

    def without(self, addresses: frozenset[str]) -> Pulse:
        """Return how the other workers are."""
        left = tuple(worker for worker in self.workers if worker.address not in addresses)
        return replace(self, workers=left)


def take_pulse(dask_scheduler: Scheduler) -> Pulse:
    """Return how the workers are; runs in the scheduler."""
    workers = tuple(dask_scheduler.workers.values())
    running = tuple(task for worker in workers for task in _running_on(worker, time.time()))
    return Pulse(running, tuple(sorted(Worker(one.address, one.nthreads) for one in workers)))


def known(names: tuple[TaskName, ...], dask_scheduler: Scheduler) -> tuple[TaskName, ...]:
    """Return those of the tasks that the scheduler still has; runs in the scheduler."""
    return tuple(name for name in names if name in dask_scheduler.tasks)


def _running_on(worker: WorkerState, now_s: float) -> Iterator[Running]:
    """Yield what a worker runs, for how long.

    It says so with each heartbeat. One that is busy in C without letting go of the interpreter
    says nothing more: the time since its last word counts too, also for what it then may have
    begun, on threads that nothing was said of: what comes first of that which it was given, by
    priority and, among equals, in turn (`run_id` counts what the scheduler hands out).
    """
    silence_s = max(0.0, now_s - worker.last_seen)
    given = sorted(worker.processing, key=lambda task: (task.priority or (), task.run_id or 0))
    said = [task for task in given if task in worker.executing]
    begun = [task for task in given if task not in worker.executing]
    for task in said + begun[: max(0, worker.nthreads - len(said))]:
        seconds = worker.executing.get(task, 0.0) + silence_s
        yield Running(task.key, seconds, worker.address)
