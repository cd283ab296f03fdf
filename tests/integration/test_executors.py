"""The same tasks, here or on workers: whatever single tasks and workers do, the others arrive."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import dask.config
import numpy as np
import psutil
import pytest
from dask.utils import parse_timedelta
from distributed import Client, Future, LocalCluster, get_worker
from distributed.scheduler import Scheduler

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import (
    Executor,
    RunContext,
    TaskDoubled,
    TaskEnded,
    TaskEvent,
    TaskRetried,
    WorkersSeen,
)
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.dask_workers import DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.pulse import Pulse, Running, take_pulse
from alignsvc.engine.retry import RetryPolicy
from alignsvc.engine.serial import SerialExecutor
from alignsvc.engine.stragglers import StragglerRule
from alignsvc.errors import DataError, NothingToMeasure, ResourceError, TransientError
from alignsvc.io.objects import LocalObjects
from alignsvc.io.receipts import Receipt, product_is_whole, write_receipt
from alignsvc.reasons import FailureKind, SkipReason


@dataclass(frozen=True)
class Toy:
    """Writes its number; what befalls it is up to its class."""

    number: int
    root: Path

    @property
    def key(self) -> TaskKey:
        return TaskKey("toy", f"toy {self.number}", digest_of(type(self).__name__, self.number))

    def __call__(self) -> TaskOutcome:
        self.befalls()
        name = f"products/{self.number}.txt"
        LocalObjects(self.root).put(name, str(self.number).encode())
        return TaskOutcome(
            self.key, TaskStatus.OK, product=name, facts=(("n", float(self.number)),)
        )

    def befalls(self) -> None:
        """Nothing."""


class Unreadable(Toy):
    def befalls(self) -> None:
        raise DataError(FailureKind.UNREADABLE, f"exposure {self.number}: not FITS")


class Sparse(Toy):
    def befalls(self) -> None:
        raise NothingToMeasure(SkipReason.TOO_FEW_SOURCES, f"exposure {self.number}: 1 source")


class Broken(Toy):
    def befalls(self) -> None:
        _ = 1 / 0


class Poison(Toy):
    def befalls(self) -> None:
        os._exit(13)


class Hung(Toy):
    def befalls(self) -> None:
        self.tell_where()
        time.sleep(600)

    def tell_where(self) -> None:
        """Leave word of the worker that hangs from now on."""
        LocalObjects(self.root).put(f"hung/{os.getpid()}", get_worker().address.encode())


class HungOnce(Hung):
    """Hangs where it is tried first."""

    def befalls(self) -> None:
        if LocalObjects(self.root).put_if_absent(f"tried/{self.number}", b""):
            super().befalls()


class HungInC(Hung):
    """Keeps the interpreter to itself, so that its worker falls silent."""

    def befalls(self) -> None:
        self.tell_where()
        ctypes.PyDLL(None).sleep(600)


class Slow(Toy):
    def befalls(self) -> None:
        time.sleep(0.2)


class Homely(Toy):
    """Does best where another of its number was; says which process it was in."""

    @property
    def home(self) -> int:
        return self.number % 2

    def __call__(self) -> TaskOutcome:
        return replace(super().__call__(), facts=(("pid", float(os.getpid())),))


class SlowAtHome(Homely):
    """Takes a while, so that some wait at each home."""

    def befalls(self) -> None:
        time.sleep(0.2)


class OutOfMemory(Toy):
    def befalls(self) -> None:
        raise MemoryError("wanted 1 TiB")


class Greedy(Toy):
    """Asks for as many bytes as its number says; touches none of them."""

    def befalls(self) -> None:
        np.empty(self.number, np.uint8)


class DiesAfterItsReceipt(Toy):
    """Its worker dies when all is written and nothing is told."""

    def __call__(self) -> TaskOutcome:
        outcome = super().__call__()
        if write_receipt(LocalObjects(self.root), Receipt(outcome)):
            os._exit(13)
        return outcome


class FullDisk(Toy):
    def befalls(self) -> None:
        raise ResourceError("the disk is full")


class FlakyOnce(Toy):
    """Goes well on its second try."""

    def befalls(self) -> None:
        if LocalObjects(self.root).put_if_absent(f"tried/{self.number}", b""):
            raise TransientError("the store did not answer")


class AlwaysFlaky(Toy):
    def befalls(self) -> None:
        raise TransientError("the store did not answer")


#: What may pass is tried again at once.
QUICKLY = RetryPolicy(first_wait_s=0.01)


class Events:
    """Remembers what the executor tells."""

    def __init__(self) -> None:
        self.seen: list[TaskEvent] = []

    def __call__(self, event: TaskEvent) -> None:
        self.seen.append(event)

    @property
    def n_reused(self) -> int:
        return sum(isinstance(event, TaskEnded) and event.is_reused for event in self.seen)

    @property
    def retried(self) -> list[TaskRetried]:
        return [event for event in self.seen if isinstance(event, TaskRetried)]


@dataclass(frozen=True)
class HurriedPulse:
    """Time flies where a task hangs, and there only.

    How slow a machine is, or a worker that has just been started, decides nothing: a second that
    a hung task is seen to run counts as many minutes, one of any other task as a second.
    """

    root: Path

    def __call__(self, dask_scheduler: Scheduler) -> Pulse:
        objects = LocalObjects(self.root)
        hung = {objects.get(name).decode() for name in objects.list("hung/")}
        pulse = take_pulse(dask_scheduler)
        return replace(
            pulse,
            running=tuple(
                replace(one, seconds=2000 * one.seconds) if one.worker in hung else one
                for one in pulse.running
            ),
        )


@dataclass(frozen=True)
class CrowdedPulse(HurriedPulse):
    """All that lies on a worker that hangs is late, what waits there before what hangs."""

    def __call__(self, dask_scheduler: Scheduler) -> Pulse:
        objects = LocalObjects(self.root)
        hung = {objects.get(name).decode() for name in objects.list("hung/")}
        late = tuple(
            Running(task.key, 2000.0, worker.address)
            for worker in dask_scheduler.workers.values()
            if worker.address in hung
            for task in reversed(tuple(worker.processing))
        )
        return replace(take_pulse(dask_scheduler), running=late)


def blames_memory(dask_scheduler: Scheduler) -> Pulse:
    """Take a pulse as if each worker that is gone had been killed by its nanny."""
    for time_s, said in dask_scheduler.get_events("all"):
        if said.get("action") == "remove-worker" and time_s:
            killed = {"worker": said["worker"], "pid": 0, "rss": 1 << 40}
            dask_scheduler.log_event("worker-restart-memory", killed)
    return take_pulse(dask_scheduler)


class Workshop:
    """One cluster for the whole module; each test has a run directory and a listener."""

    def __init__(self, executor: DaskExecutor) -> None:
        self.shared = executor

    def executor(self, root: Path, events: Events, settings: DaskSettings) -> DaskExecutor:
        context = RunContext(LocalObjects(root), root.name, events)
        return DaskExecutor(self.shared._client, context, settings, lambda: None)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    backend = cluster_backend("local", {"workers": 2})
    objects = LocalObjects(tmp_path_factory.mktemp("workshop"))
    # Workers as the command line has them; how else they begin, see the drivers below.
    context = RunContext(objects, has_own_process=True)
    with backend(context) as executor:
        assert isinstance(executor, DaskExecutor)
        yield Workshop(executor)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture(params=["serial", "local"])
def executor(
    request: pytest.FixtureRequest, workshop: Workshop, tmp_path: Path, events: Events
) -> Executor:
    if request.param == "serial":
        return SerialExecutor(RunContext(LocalObjects(tmp_path), tmp_path.name, events), QUICKLY)
    return workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2, policy=QUICKLY))


@pytest.fixture
def impatient(
    workshop: Workshop, tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> DaskExecutor:
    """An executor that will not wait for tasks that hang."""
    monkeypatch.setattr("alignsvc.engine.dask_workers.take_pulse", HurriedPulse(tmp_path))
    settings = DaskSettings(poll_s=0.2, task_timeout_s=1000.0)
    return workshop.executor(tmp_path, events, settings)


def by_subject(outcomes: list[TaskOutcome]) -> list[TaskOutcome]:
    return sorted((replace(o, seconds=0.0) for o in outcomes), key=lambda o: o.key.subject)


def test_every_third_task_fails_and_the_others_arrive(executor: Executor, tmp_path: Path) -> None:
    kinds = (Toy, Toy, Unreadable)
    outcomes = list(executor.run(kinds[n % 3](n, tmp_path) for n in range(30)))
    assert len(outcomes) == 30
    assert sum(outcome.is_ok for outcome in outcomes) == 20
    assert {o.reason for o in outcomes if not o.is_ok} == {FailureKind.UNREADABLE}
    assert len(LocalObjects(tmp_path).list("products/")) == 20


def test_each_end_has_its_name(executor: Executor, tmp_path: Path) -> None:
    kinds = (Toy, Unreadable, Sparse, Broken)
    outcomes = by_subject(list(executor.run(kind(n, tmp_path) for n, kind in enumerate(kinds))))
    ends = [(outcome.status, outcome.reason) for outcome in outcomes]
    assert ends == [
        (TaskStatus.OK, ""),
        (TaskStatus.FAILED, FailureKind.UNREADABLE),
        (TaskStatus.SKIPPED, SkipReason.TOO_FEW_SOURCES),
        (TaskStatus.FAILED, FailureKind.INTERNAL),
    ]
    assert "ZeroDivisionError: division by zero (in befalls, test_executors.py:" in str(outcomes[3])


def test_each_end_tells_when_and_where_and_workers_are_seen(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    before_s = time.time()
    list(executor.run(Slow(n, tmp_path) for n in range(14)))
    list(executor.run(Slow(n, tmp_path) for n in range(14)))  # receipts answer
    ends = [event for event in events.seen if isinstance(event, TaskEnded)]
    assert len(ends) == 28
    for event in ends:
        assert event.work is not None
        assert before_s <= event.work.began_s <= event.work.ended_s <= time.time()
        assert (event.work.ended_s - event.work.began_s >= 0.2) is not event.is_reused
    seen = [event for event in events.seen if isinstance(event, WorkersSeen)]
    if isinstance(executor, SerialExecutor):
        assert {event.work.worker for event in ends if event.work} == {""}
        assert seen[0] == WorkersSeen(1, 1, 1, is_here=True)
    else:
        host = socket.gethostname()
        assert {event.work.worker for event in ends if event.work} == {f"{host}/0", f"{host}/1"}
        assert {one.n_known for one in seen} == {2}
        assert any(one.n_running > 0 and one.n_busy > 0 for one in seen)
        assert all(one.limit_bytes > min(one.memory_bytes) > 0 for one in seen)


def test_bad_data_are_never_tried_again(executor: Executor, events: Events, tmp_path: Path) -> None:
    list(executor.run([Unreadable(0, tmp_path), Sparse(1, tmp_path), Broken(2, tmp_path)]))
    assert events.retried == []


def test_here_and_on_workers_the_outcomes_are_the_same(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    ends = []
    for root in (tmp_path / "serial", tmp_path / "local"):
        context = RunContext(LocalObjects(root), root.name, events)
        one: Executor = SerialExecutor(context)
        if root.name == "local":
            one = workshop.executor(root, events, DaskSettings())
        kinds = (Toy, Sparse, Unreadable)
        ends.append(by_subject(list(one.run(kinds[n % 3](n, root) for n in range(12)))))
    assert ends[0] == ends[1]


def test_what_was_done_is_not_done_again(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    kinds = (Toy, Sparse, Unreadable)
    tasks = [kinds[n % 3](n, tmp_path) for n in range(9)]
    first = by_subject(list(executor.run(tasks)))
    assert events.n_reused == 0
    assert by_subject(list(executor.run(tasks))) == first
    assert events.n_reused == 9


def test_a_task_whose_product_is_gone_is_done_again(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    tasks = [Toy(n, tmp_path) for n in range(4)]
    outcomes = by_subject(list(executor.run(tasks)))
    LocalObjects(tmp_path).delete(outcomes[2].product)
    list(executor.run(tasks))
    assert events.n_reused == 3
    assert product_is_whole(LocalObjects(tmp_path), outcomes[2])


def test_an_unforeseen_error_is_tried_again_in_the_next_run(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    for _ in range(2):
        assert not next(iter(executor.run([Broken(0, tmp_path)]))).is_ok
    assert events.n_reused == 0


def test_a_transient_error_is_tried_again(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    outcomes = list(executor.run([FlakyOnce(n, tmp_path) for n in range(3)]))
    assert all(outcome.is_ok for outcome in outcomes)
    assert len(events.retried) == 3
    assert "did not answer" in events.retried[0].why


def test_a_transient_error_that_stays_stops_the_run(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="did not answer"):
        list(executor.run([AlwaysFlaky(0, tmp_path)]))


def test_a_task_without_enough_memory_is_tried_alone_then_fails_by_what_to_set(
    executor: Executor, events: Events, tmp_path: Path
) -> None:
    tasks = [OutOfMemory(n, tmp_path) if n == 1 else Toy(n, tmp_path) for n in range(6)]
    outcomes = {one.key: one for one in executor.run(tasks)}
    lost = outcomes.pop(tasks[1].key)
    assert lost.reason == FailureKind.MEMORY
    assert "1 TiB" in lost.message
    assert "cluster.memory_limit" in lost.message
    assert all(outcome.is_ok for outcome in outcomes.values())
    assert [event.key for event in events.retried] == [tasks[1].key]


def test_a_task_that_takes_more_than_its_share_has_all_memory_when_it_is_alone(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """No worker is killed for it: it is told that memory ends, by the system."""
    client = workshop.shared._client
    share = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit).popitem()[1]
    before = client.run(os.getpid)
    tasks = [Greedy(int(factor * share), tmp_path) for factor in (0.001, 1.1, 4.0)]
    settings = DaskSettings(poll_s=0.2, memory_when_alone=2.0)
    outcomes = {one.key: one for one in workshop.executor(tmp_path, events, settings).run(tasks)}
    assert [outcomes[task.key].reason for task in tasks] == ["", "", FailureKind.MEMORY]
    assert {event.key for event in events.retried} == {task.key for task in tasks[1:]}
    assert client.run(os.getpid) == before


def test_a_full_disk_stops_the_run(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="full"):
        list(executor.run([FullDisk(0, tmp_path)]))
    # ... and what comes after is not harmed by it.
    assert next(iter(executor.run([Toy(1, tmp_path)]))).is_ok


def test_tasks_are_drawn_as_places_come_free(executor: Executor, tmp_path: Path) -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[Toy]:
        for number in range(40):
            drawn.append(number)
            yield Toy(number, tmp_path)

    outcomes = executor.run(tasks())
    next(outcomes)
    assert len(drawn) <= 3 * executor.workers + 6
    outcomes.close()  # type: ignore[attr-defined]


def test_a_task_goes_where_another_of_its_number_was(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    homes: tuple[set[float], set[float]] = (set(), set())
    for first in range(0, 12, 2):  # two at a time: none waits, so that none is taken elsewhere
        tasks = [Homely(first, tmp_path), Homely(first + 1, tmp_path)]
        for outcome in executor.run(tasks):
            homes[tasks[1].key == outcome.key].add(outcome.fact("pid"))
    assert [len(pids) for pids in homes] == [1, 1]
    assert homes[0] != homes[1]


def test_tasks_find_another_home_when_all_workers_are_gone_at_once(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """dask keeps such tasks to the addresses that are gone, though others were allowed."""
    # A report may be lost with its worker while it is asked for: no need to wait a minute for it.
    settings = DaskSettings(poll_s=0.2, answer_timeout_s=10.0)
    executor = workshop.executor(tmp_path, events, settings)
    outcomes = executor.run(SlowAtHome(n, tmp_path) for n in range(12))
    done = [next(outcomes)]
    for worker in workshop.shared._client.run(os.getpid).values():
        os.kill(worker, signal.SIGKILL)
    done += outcomes
    assert [outcome.is_ok for outcome in done] == [True] * 12


def test_a_task_that_kills_its_workers_fails_and_the_others_survive(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    tasks = [Poison(n, tmp_path) if n == 3 else Toy(n, tmp_path) for n in range(12)]
    outcomes = list(executor.run(tasks))
    lost = [outcome for outcome in outcomes if not outcome.is_ok]
    assert [outcome.key for outcome in lost] == [tasks[3].key]
    assert lost[0].reason == FailureKind.WORKER_LOST
    assert "memory" in lost[0].message
    assert len(outcomes) == 12


def test_what_a_worker_did_before_it_died_is_not_done_again(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    tasks = [DiesAfterItsReceipt(n, tmp_path) if n == 2 else Toy(n, tmp_path) for n in range(6)]
    assert [outcome.is_ok for outcome in executor.run(tasks)] == [True] * 6
    reused = {one.outcome.key for one in events.seen if isinstance(one, TaskEnded) if one.is_reused}
    assert tasks[2].key in reused  # and perhaps others, whose reports were lost with the worker


def test_whose_workers_were_killed_for_their_memory_fails_of_that(
    workshop: Workshop, tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nannies that are not ours kill by what a worker occupies; dask keeps that as an event."""
    monkeypatch.setattr("alignsvc.engine.dask_workers.take_pulse", blames_memory)
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    (outcome,) = executor.run([Poison(0, tmp_path)])
    assert outcome.reason == FailureKind.MEMORY


@pytest.mark.parametrize("kind", [Hung, pytest.param(HungInC, marks=pytest.mark.slow)])
def test_a_hung_task_fails_and_its_worker_comes_back(
    impatient: DaskExecutor, tmp_path: Path, kind: type[Toy]
) -> None:
    # The first: no report of another task is on the worker that falls silent, to be waited for.
    tasks = [kind(n, tmp_path) if n == 0 else Toy(n, tmp_path) for n in range(12)]
    outcomes = list(impatient.run(tasks))
    late = [outcome for outcome in outcomes if not outcome.is_ok]
    assert [outcome.key for outcome in late] == [tasks[0].key]
    assert late[0].reason == FailureKind.TIMEOUT
    assert len(outcomes) == 12
    assert sum(o.is_ok for o in impatient.run(Toy(n, tmp_path) for n in range(20, 24))) == 4


def test_what_hangs_is_given_to_no_other_worker_when_its_own_is_restarted(
    workshop: Workshop, tmp_path: Path, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor when what waits behind it is late as well: nobody waits for it, it would run for ever."""
    monkeypatch.setattr("alignsvc.engine.dask_workers.take_pulse", CrowdedPulse(tmp_path))
    settings = DaskSettings(poll_s=0.2, task_timeout_s=1000.0)
    tasks = [Hung(n, tmp_path) if n == 0 else Slow(n, tmp_path) for n in range(12)]
    outcomes = list(workshop.executor(tmp_path, events, settings).run(tasks))
    assert len(outcomes) == 12
    assert FailureKind.TIMEOUT in {one.reason for one in outcomes if one.key == tasks[0].key}
    busy = workshop.shared._client.run(lambda dask_worker: len(dask_worker.state.executing))
    assert set(busy.values()) == {0}


@pytest.mark.slow
def test_who_waits_behind_what_nobody_waits_for_any_more_is_handed_to_others(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """Both workers go on with tasks of a stage that was left; the scheduler knows nothing of it."""
    left = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    outcomes = left.run([Toy(0, tmp_path), Hung(1, tmp_path), Hung(2, tmp_path)])
    next(outcomes)
    until(lambda: len(LocalObjects(tmp_path).list("hung/")) == 2)
    outcomes.close()  # type: ignore[attr-defined]
    settings = DaskSettings(poll_s=0.2, blocked_timeout_s=2.0)
    after = workshop.executor(tmp_path, events, settings)
    assert sum(one.is_ok for one in after.run(Toy(n, tmp_path) for n in range(10, 16))) == 6
    assert any("did not begin it" in event.why for event in events.retried)


@pytest.mark.slow
def test_a_straggler_is_done_by_another_worker_and_its_own_is_restarted(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    rule = StragglerRule(slow_factor=3.0, least_s=2.0, least_ended=3)
    settings = DaskSettings(poll_s=0.2, is_straggler=rule)
    tasks = [HungOnce(n, tmp_path) if n == 0 else Toy(n, tmp_path) for n in range(8)]
    executor = workshop.executor(tmp_path, events, settings)
    assert [outcome.is_ok for outcome in executor.run(tasks)] == [True] * 8
    doubled = [event.key for event in events.seen if isinstance(event, TaskDoubled)]
    assert doubled == [tasks[0].key]
    busy = workshop.shared._client.run(lambda dask_worker: len(dask_worker.state.executing))
    assert set(busy.values()) == {0}


@pytest.mark.slow
def test_a_worker_that_sleeps_keeps_nothing_to_itself(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """What it was at, and what waits for it, is done by the other."""
    rule = StragglerRule(slow_factor=3.0, least_s=3.0, least_ended=3)
    settings = DaskSettings(poll_s=0.2, is_straggler=rule)
    executor = workshop.executor(tmp_path, events, settings)
    outcomes = executor.run(Slow(n, tmp_path) for n in range(20))
    done = [next(outcomes) for _ in range(4)]
    asleep = next(iter(workshop.shared._client.run(os.getpid).values()))
    os.kill(asleep, signal.SIGSTOP)
    done += outcomes
    assert [outcome.is_ok for outcome in done] == [True] * 20
    assert not psutil.pid_exists(asleep)


@pytest.mark.slow
def test_of_a_thousand_tasks_one_poison_fails_and_no_other(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings())
    outcomes = list(executor.run(Poison(n, tmp_path) if n == 500 else Toy(n, tmp_path)
                                 for n in range(1000)))  # fmt: skip
    assert len(outcomes) == 1000
    lost = [outcome for outcome in outcomes if not outcome.is_ok]
    assert [(one.key.subject, one.reason) for one in lost] == [("toy 500", "worker_lost")]


def test_a_worker_that_is_gone_need_not_be_restarted(workshop: Workshop) -> None:
    """It may die on the way."""
    workshop.shared._workers.restart(["tcp://127.0.0.1:9"])
    assert workshop.shared._workers.pulse().threads > 0


def test_a_task_that_the_scheduler_forgets_is_handed_over_again(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))

    def tasks() -> Iterator[Toy]:
        yield from (Slow(n, tmp_path) for n in range(5))
        client = workshop.shared._client
        client.cancel([Future(key, client) for key in tuple(client.futures)])
        yield Toy(5, tmp_path)

    assert sum(outcome.is_ok for outcome in executor.run(tasks())) == 6
    assert events.retried


def test_a_client_that_gave_up_is_a_scheduler_that_is_gone(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """dask's client closes itself when it cannot connect again, and then raises RuntimeError."""
    client = Client(workshop.shared._client.scheduler.address, set_as_default=False)
    executor = DaskExecutor(
        client, RunContext(LocalObjects(tmp_path), "run", events), DaskSettings(), lambda: None
    )
    client.close()
    with pytest.raises(TransientError, match="resume the run"):
        list(executor.run([Toy(1, tmp_path)]))
    with pytest.raises(TransientError, match="resume the run"):
        executor._workers.pulse()


def test_an_iterator_that_is_left_leaves_nothing_behind(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings())
    outcomes = executor.run(Slow(n, tmp_path) for n in range(20))
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert sum(isinstance(event, TaskEnded) for event in events.seen) == 1
    assert next(iter(executor.run([Toy(99, tmp_path)]))).is_ok


def test_a_run_without_workers_stops_with_a_sentence(tmp_path: Path) -> None:
    settings = DaskSettings(poll_s=0.1, no_worker_timeout_s=0.5)
    with scheduler_alone(tmp_path, settings) as executor:
        with pytest.raises(TransientError, match=r"no worker for 0.5 s, 3 tasks wait"):
            list(executor.run(Toy(n, tmp_path) for n in range(5)))
        assert executor.workers == 0


def test_a_scheduler_that_is_gone_stops_the_run(tmp_path: Path) -> None:
    settings = DaskSettings(poll_s=0.1, answer_timeout_s=2.0)
    with scheduler_alone(tmp_path, settings) as executor:

        def tasks() -> Iterator[Toy]:
            yield Toy(0, tmp_path)
            executor._close_cluster()

        with pytest.raises(TransientError, match="scheduler"):
            list(executor.run(tasks()))


def scheduler_alone(root: Path, settings: DaskSettings) -> DaskExecutor:
    """Return an executor with a scheduler that never has a worker."""
    cluster = LocalCluster(
        n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
    )
    context = RunContext(LocalObjects(root))
    return DaskExecutor(Client(cluster), context, settings, cluster.close)


def test_a_scheduler_that_runs_already_can_be_used(workshop: Workshop, tmp_path: Path) -> None:
    address = workshop.shared._client.scheduler.address
    backend = cluster_backend("scheduler", {"address": address})
    with backend(RunContext(LocalObjects(tmp_path))) as executor:
        assert all(outcome.is_ok for outcome in executor.run(Toy(n, tmp_path) for n in range(3)))
    # Closing it leaves the scheduler and its workers to their owner.
    assert workshop.shared._client.run(os.getpid)


def test_a_scheduler_that_does_not_answer_is_a_transient_error(tmp_path: Path) -> None:
    backend = cluster_backend(
        "scheduler", {"address": "tcp://127.0.0.1:9", "connect_timeout_s": 0.5}
    )
    with pytest.raises(TransientError, match=r"tcp://127.0.0.1:9"):
        backend(RunContext(LocalObjects(tmp_path)))


def listening() -> dict[str, str]:
    """Return where this process and those that it started listen, and which of them."""
    this, found = psutil.Process(), {}
    for process in [this, *this.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            for one in process.net_connections():
                if one.status == psutil.CONN_LISTEN:
                    found[f"{one.laddr.ip}:{one.laddr.port}"] = " ".join(process.cmdline())
    return found


def test_only_this_machine_can_reach_the_cluster(workshop: Workshop) -> None:
    workshop.shared._client.wait_for_workers(2, timeout=60)
    # The scheduler and its pages, two nannies, two workers with a page each. A worker that another
    # test had restarted may still be on its way, or the one before it.
    deadline = time.monotonic() + 60
    while len(found := listening()) != 8 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert {address.split(":")[0] for address in found} == {"127.0.0.1"}
    assert len(found) == 8, found
    assert workshop.shared.pages.dashboard.startswith("http://127.0.0.1:")
    assert workshop.shared._workers.pulse().threads == workshop.shared.workers == 2


def test_a_worker_may_die_as_often_as_it_likes_and_is_back(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    executor = workshop.executor(tmp_path, events, DaskSettings(poll_s=0.2))
    # It dies of this one three times and, the task being tried alone, three times more.
    assert {o.reason for o in executor.run([Poison(0, tmp_path)])} == {FailureKind.WORKER_LOST}
    workshop.shared._client.wait_for_workers(2, timeout=60)
    # dask's own rule, which would end a worker for good that dies twice 15 s apart, is off.
    timeout = dask.config.get("distributed.deploy.lost-worker-timeout")
    assert parse_timedelta(timeout) > 1e8


def the_server() -> psutil.Process:
    """Return the process that workers are copies of."""
    (server,) = (
        one
        for one in psutil.Process().children()
        if any("multiprocessing.forkserver" in word for word in one.cmdline())
    )
    return server


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux")
def test_workers_are_copies_of_one_process_that_has_one_thread(workshop: Workshop) -> None:
    workshop.shared._client.wait_for_workers(2, timeout=60)
    workers = set(workshop.shared._client.run(os.getpid).values())
    server = the_server()
    assert workers <= {one.pid for one in server.children()}
    assert server.num_threads() == 1  # else a copy may find locks that nobody opens any more


@pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux")
def test_workers_end_with_what_they_are_copies_of_and_others_come(
    workshop: Workshop, tmp_path: Path, events: Events
) -> None:
    """The driver counts them as dead: where they lived on, two would do one's work."""
    settings = DaskSettings(poll_s=0.2, answer_timeout_s=10.0)
    executor = workshop.executor(tmp_path, events, settings)
    workshop.shared._client.wait_for_workers(2, timeout=60)
    before = [psutil.Process(pid) for pid in workshop.shared._client.run(os.getpid).values()]
    outcomes = executor.run(Slow(n, tmp_path) for n in range(12))
    done = [next(outcomes)]
    the_server().kill()
    done += outcomes
    assert [outcome.is_ok for outcome in done] == [True] * 12
    assert psutil.wait_procs(before, timeout=30)[1] == []
    assert the_server().is_running()


def test_workers_have_one_thread_for_linear_algebra(workshop: Workshop) -> None:
    found = workshop.shared._client.run(os.getenv, "OPENBLAS_NUM_THREADS")
    assert set(found.values()) == {"1"}


_DRIVER = """
    import sys
    from pathlib import Path
    from alignsvc.engine.base import RunContext
    from alignsvc.engine.clusters import cluster_backend
    from alignsvc.io.objects import LocalObjects
    sys.path.insert(0, sys.argv[1])
    from test_executors import Hung, Toy

    def main(kind):
        root = Path(sys.argv[2])
        context = RunContext(LocalObjects(root), has_own_process=sys.argv[4] == "copied")
        with cluster_backend("local", {"workers": 2})(context) as executor:
            print("ready", flush=True)
            print(len(list(executor.run(kind(n, root) for n in range(4)))), flush=True)

    if __name__ == "__main__":
        main(Hung if sys.argv[3] == "hung" else Toy)
"""


def start_driver(folder: Path, what: str, begun: str) -> subprocess.Popen[str]:
    """Start a driver in a process group of its own, as a terminal would."""
    script = folder / "drive.py"
    script.write_text(textwrap.dedent(_DRIVER))
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), here, str(folder), what, begun],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def members(group: int) -> list[int]:
    """Return the processes of a group that are alive."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def wait_until_gone(group: int, limit_s: float) -> list[int]:
    """Return which processes of the group are still there after a while."""
    end = time.monotonic() + limit_s
    while (left := members(group)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def until(is_so: Callable[[], bool], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end, f"not so within {limit_s:g} s"
        time.sleep(0.05)


#: How workers begin: each as a process that imports all, or as a copy of one that has.
BEGUN = pytest.mark.parametrize("begun", ["spawned", "copied"])


@BEGUN
def test_a_run_ends_without_a_word_on_stderr(tmp_path: Path, begun: str) -> None:
    driver = start_driver(tmp_path, "toys", begun)
    out, err = driver.communicate(timeout=60)
    assert (driver.returncode, out, err) == (0, "ready\n4\n", "")
    assert wait_until_gone(driver.pid, 30) == []


@BEGUN
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
def test_no_process_is_left_when_the_driver_is_stopped(
    tmp_path: Path, blow: signal.Signals, begun: str
) -> None:
    driver = start_driver(tmp_path, "hung", begun)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    until(lambda: bool(LocalObjects(tmp_path).list("hung/")))
    if blow is signal.SIGINT:
        os.killpg(driver.pid, blow)  # Ctrl-C reaches every process of the terminal's group
    else:
        driver.kill()
    _, err = driver.communicate(timeout=60)
    assert driver.returncode != 0
    assert wait_until_gone(driver.pid, 30) == []
    if blow is signal.SIGINT:
        assert err.count("Traceback") <= 1
        assert err.rstrip().endswith("KeyboardInterrupt")
