"""A driver leaves what its tasks and workers did, whatever their clocks say and its store takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import TaskEnded, WorkersSeen
from alignsvc.errors import ResourceError
from alignsvc.io.lease import Lease, LeaseOwner
from alignsvc.io.objects import LocalObjects
from alignsvc.io.record_pieces import PieceReader
from alignsvc.io.task_ends import TASK_ENDS, TaskEnd
from alignsvc.io.worker_samples import WORKER_SAMPLES, WorkerSample, WorkersThen
from alignsvc.run.records import events
from alignsvc.run.records.run_log import Clocks
from alignsvc.run.records.work_log import ClockOffsets, WorkLog
from alignsvc.run.seeing.task_times import task_rate
from alignsvc.tasks.base import WorkTime

OWNER = LeaseOwner("here/boot/4", 1, "1")
KEY = TaskKey("measure", "exp001", "0")
WORKERS = WorkersSeen(3, 2, 2, (30, 10, 20), 99)


@dataclass
class Hands:
    """Clocks that somebody sets."""

    now_s: float = 1000.0

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.now_s, lambda: self.now_s)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path, is_scratch=True)


def work_log(objects: LocalObjects, hands: Hands, told: list[events.Note]) -> WorkLog:
    return WorkLog(objects, Lease(objects, 4, OWNER), told.append, hands.clocks, 1000.0)


def ended(status: TaskStatus = TaskStatus.OK, work: WorkTime | None = None) -> TaskEnded:
    reason = "" if status is TaskStatus.OK else "timeout"
    return TaskEnded(TaskOutcome(KEY, status, reason), is_reused=False, peak_bytes=7, work=work)


def ends(objects: LocalObjects) -> tuple[TaskEnd, ...]:
    return PieceReader(objects, TASK_ENDS)().records


def samples(objects: LocalObjects) -> tuple[WorkerSample, ...]:
    return PieceReader(objects, WORKER_SAMPLES)().records


def test_ends_say_stage_worker_and_time_by_the_drivers_clock(objects: LocalObjects) -> None:
    hands = Hands()
    log = work_log(objects, hands, [])
    log.event(events.StageStarted("measure", 2, 4))
    log.task_event(ended(work=WorkTime(990.0, 999.0)))  # the process of the driver
    hands.now_s = 1003.0
    log.task_event(ended(work=WorkTime(500.0, 502.0, "far/1")))  # a clock that is 501 s late
    hands.now_s = 1010.0
    log.task_event(ended(work=WorkTime(502.0, 505.0, "far/2")))  # heard of 4 s late
    log.task_event(ended(TaskStatus.FAILED))  # no worker told
    log.write()
    assert [(one.worker, one.began_s, one.ended_s) for one in ends(objects)] == [
        ("here/driver", 991.0, 1000.0),
        ("far/1", 1001.0, 1003.0),
        ("far/2", 1003.0, 1006.0),
        ("", 1010.0, 1010.0),
    ]
    assert {(one.stage, one.pass_number, one.peak_bytes) for one in ends(objects)} == {
        ("measure", 2, 7)
    }
    assert (ends(objects)[3].status, ends(objects)[3].reason) == (TaskStatus.FAILED, "timeout")


def test_the_least_delay_of_a_host_is_its_clocks_offset() -> None:
    offsets = ClockOffsets()
    assert offsets.of("a/1", 100.0, 100.5) == 0.5
    assert offsets.of("a/2", 103.0, 103.01) == pytest.approx(0.01)
    assert offsets.of("a/1", 105.0, 106.0) == pytest.approx(0.01)
    assert offsets.of("b/1", 205.0, 106.0) == -99.0


def test_samples_tell_of_workers_while_somebody_asks_them(objects: LocalObjects) -> None:
    hands = Hands()
    log = work_log(objects, hands, [])
    log.write()
    log.event(events.StageStarted("measure", 1, 4))
    log.task_event(WORKERS)
    log.write()
    for _ in range(4):
        log.task_event(ended())
    log.write()
    hands.now_s += 60.0
    log.write()
    assert [(one.workers, one.n_waiting) for one in samples(objects)] == [
        (None, 0),
        (WorkersThen(3, 2, 2, 10, 20, 30, 99), 2),
        (WorkersThen(3, 0, 0, 10, 20, 30, 99), 0),
        (None, 0),
    ]
    assert all(one.driver_bytes > 1e6 and one.epoch == 4 for one in samples(objects))


def test_a_driver_that_does_the_tasks_itself_says_so(objects: LocalObjects) -> None:
    hands = Hands()
    log = work_log(objects, hands, [])
    log.event(events.StageStarted("merge", 1, 2))
    log.task_event(WorkersSeen(1, 1, 1, is_here=True))
    hands.now_s += 600.0  # one long task, in which nobody can ask
    log.write()
    assert samples(objects)[-1].workers == WorkersThen(1, 1, 1)
    assert samples(objects)[-1].n_waiting == 1


class Full(LocalObjects):
    """A store that takes nothing."""

    __slots__ = ()

    def put(self, name: str, content: bytes) -> None:
        raise ResourceError("the disk is full")


def test_a_store_that_refuses_fails_nothing_and_is_told_of_once(tmp_path: Path) -> None:
    told: list[events.Note] = []
    with work_log(Full(tmp_path), Hands(), told) as log:
        for number in (1, 2, 3):
            log.event(events.StageStarted("measure", number, 1))
            log.task_event(ended())
            log.write()
    assert told == [
        events.Note("the record of tasks and workers has gaps: the disk is full"),
    ]


def test_it_is_written_by_itself_and_once_more_at_the_end(objects: LocalObjects) -> None:
    clocks = Clocks()
    with WorkLog(objects, Lease(objects, 4, OWNER), lambda note: None, clocks, 0.01) as log:
        log.event(events.StageStarted("measure", 1, 2))
        log.task_event(ended())
        last_s = time.monotonic() + 30
        while not ends(objects) and time.monotonic() < last_s:
            time.sleep(0.005)
        assert len(ends(objects)) == 1
        log.task_event(ended())
    assert len(ends(objects)) == 2


def end(number: float, stage: str = "measure") -> TaskEnd:
    return TaskEnd(stage, 1, "x", "w", number - 1.0, number, TaskStatus.OK)


def test_a_rate_is_of_the_last_minute_and_the_last_stage() -> None:
    every_second = [end(100.0 + k) for k in range(200)]
    rate = task_rate(every_second, 300.0)
    assert rate is not None
    assert (rate.n_ended, rate.seconds, rate.stage) == (59, 60.0, "measure")
    young = task_rate([*every_second, end(300.0, "merge"), end(302.0, "merge")], 303.0)
    assert young is not None
    assert (young.n_ended, young.seconds, young.stage) == (2, 4.0, "merge")
    assert task_rate(every_second, 900.0) is None
    assert task_rate([], 900.0) is None


def test_how_a_run_works_now_is_read_from_its_store(objects: LocalObjects) -> None:
    hands = Hands()
    samples, ends = PieceReader(objects, WORKER_SAMPLES), PieceReader(objects, TASK_ENDS)
    assert samples().records == ()
    log = work_log(objects, hands, [])
    log.event(events.StageStarted("measure", 2, 9))
    log.task_event(WORKERS)
    for _ in range(4):
        hands.now_s += 1.0
        log.task_event(ended(work=WorkTime(hands.now_s - 1.0, hands.now_s, "far/1")))
    log.write()
    sample = samples().records[-1]
    assert sample.workers == WorkersThen(3, 2, 2, 10, 20, 30, 99)
    assert sample.n_waiting == 3
    rate = task_rate(ends().records, sample.until_s)
    assert rate is not None and (rate.per_second, rate.pass_number) == (1.0, 2)
