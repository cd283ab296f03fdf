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
#: What dask calls the event of a nanny that killed its worker for what it occupied.
_KILLED_FOR_MEMORY = "worker-restart-memory"


@dataclass(frozen=True, slots=True)
class Running:
    """A task on a worker.

    Parameters
    ----------
    name : TaskName
        In dask.
    seconds : float
        Since it began.
    worker : str
        The address.
    is_said : bool
        Whether the worker said that it runs it; if not, the task is the next one there, and the
        seconds are those for which the worker has said nothing at all.
    """

    name: TaskName
    seconds: float
    worker: str
    is_said: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Worker:
    """A worker.

    Parameters
    ----------
    address : str
    threads : int
        How many tasks it can run at one time.
    memory_bytes : int
        What it occupied when it last said so.
    limit_bytes : int
        What it may occupy; 0 if nothing limits it.
    """

    address: str
    threads: int
    memory_bytes: int = 0
    limit_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the workers are at one moment.

    Parameters
    ----------
    running : tuple of Running
    workers : tuple of Worker
        In order of address.
    idle : tuple of str
        Those of workers that have nothing to do.
    short_of_memory : frozenset of str
        Those of workers that were killed for the memory that they took.
    stranded : tuple of TaskName
        What waits for workers that are gone, and would for ever (`_stranded`).
    """

    running: tuple[Running, ...]
    workers: tuple[Worker, ...]
    idle: tuple[str, ...] = ()
    short_of_memory: frozenset[str] = frozenset()
    stranded: tuple[TaskName, ...] = ()

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
        idle = tuple(address for address in self.idle if address not in addresses)
        return replace(self, workers=left, idle=idle)


def take_pulse(dask_scheduler: Scheduler) -> Pulse:
    """Return how the workers are; runs in the scheduler."""
    workers = tuple(dask_scheduler.workers.values())
    running = tuple(task for worker in workers for task in _running_on(worker, time.time()))
    idle = tuple(sorted(worker.address for worker in workers if not worker.processing))
    killed = frozenset(said["worker"] for _, said in dask_scheduler.get_events(_KILLED_FOR_MEMORY))
    every = tuple(sorted(_worker(one) for one in workers))
    return Pulse(running, every, idle, killed, _stranded(dask_scheduler))


def _stranded(dask_scheduler: Scheduler) -> tuple[TaskName, ...]:
    """Return the tasks that dask keeps to addresses that no worker has, though others may do them.

    That others are allowed it looks at when a task becomes ready. If no worker at all is there at
    that moment, the task waits, and of the workers that come only those are considered that have
    one of its addresses (`bulk_schedule_unrunnable_after_adding_worker` of distributed 2026.8): a
    worker that is started again has a new one.
    """
    if not dask_scheduler.running:
        return ()
    return tuple(
        task.key
        for task in dask_scheduler.unrunnable
        if task.loose_restrictions and not dask_scheduler.valid_workers(task)
    )


def _worker(one: WorkerState) -> Worker:
    occupied = int(one.metrics.get("memory", 0))
    return Worker(one.address, one.nthreads, occupied, int(one.memory_limit or 0))


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
        yield Running(task.key, seconds, worker.address, is_said=task in worker.executing)
