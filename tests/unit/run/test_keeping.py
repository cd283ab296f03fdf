"""A driver gives signs of life beside its work, and learns there that it is to stop."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.base import TaskDoubled, TaskRetried, Waited
from alignsvc.errors import AlignError, ResourceError, RunCancelled, RunStoreError, TransientError
from alignsvc.io.control import CancelRequest, Progress, progress_of, put_cancel_request
from alignsvc.io.journal import DriverStarted, PassStarted
from alignsvc.io.journal_store import Journal
from alignsvc.io.lease import Lease, LeaseOwner, Patience, lease_holder, take_lease
from alignsvc.io.objects import LocalObjects
from alignsvc.io.run_logs import LogKind, LogWriter, log_lines
from alignsvc.run.driving.keeping import Keeper, Kept
from alignsvc.run.records import events
from alignsvc.run.records.run_log import Clocks, RunLog

KEY = TaskKey("measure", "exp001", "0")


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path, is_scratch=True)


def taken(objects: LocalObjects) -> Lease:
    return take_lease(objects, Patience(time.time, lambda seconds: None, print))


def keeper(objects: LocalObjects, obeyed: tuple[str, ...] = ()) -> Keeper:
    return Keeper(Kept("the run", objects, taken(objects), obeyed), interval_s=0.005)


def until_raised(keeper: Keeper) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        keeper()
        time.sleep(0.002)


def test_signs_of_life_come_whatever_the_driver_does(objects: LocalObjects) -> None:
    with keeper(objects) as alive:
        first = lease_holder(objects)
        end = time.monotonic() + 30
        while lease_holder(objects) == first and time.monotonic() < end:
            time.sleep(0.002)
        alive()
    assert first is not None and lease_holder(objects) != first


def test_a_request_to_cancel_is_heard_while_tasks_run(objects: LocalObjects) -> None:
    with keeper(objects) as alive:
        put_cancel_request(objects, CancelRequest("7", "somebody", 0.0))
        with pytest.raises(RunCancelled, match="the run: cancelled, as somebody asked") as caught:
            until_raised(alive)
        with pytest.raises(RunCancelled):
            alive.task_event(Waited())
    assert caught.value.request == "7"


def test_a_request_that_was_obeyed_counts_no_more(objects: LocalObjects) -> None:
    put_cancel_request(objects, CancelRequest("7", "somebody", 0.0))
    one = keeper(objects, obeyed=("7",))
    one.beat()
    one()
    put_cancel_request(objects, CancelRequest("8", "somebody", 0.0))
    one.beat()
    with pytest.raises(RunCancelled):
        one()


def test_a_driver_that_was_replaced_hears_of_it(objects: LocalObjects) -> None:
    one = keeper(objects)
    objects.put("lease/00000002.json", objects.get("lease/00000001.json"))
    one.beat()
    with pytest.raises(RunStoreError, match="another driver has taken this run over"):
        one()


class Moody(LocalObjects):
    """A store that does not take signs of life."""

    __slots__ = ()
    error: AlignError = TransientError("no answer")

    def put(self, name: str, content: bytes) -> None:
        raise self.error


def test_a_store_that_does_not_answer_for_a_while_ends_nothing(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, moody = taken(objects), Moody(objects.root)
    one = Keeper(Kept("the run", moody, Lease(moody, lease.epoch, lease.owner), ()))
    one.beat()
    one()
    monkeypatch.setattr("alignsvc.run.driving.keeping.PATIENCE_S", -1.0)  # as long as a lease holds
    one.beat()
    with pytest.raises(TransientError):
        one()
    monkeypatch.undo()
    monkeypatch.setattr(Moody, "error", ResourceError("the disk is full"))
    other = Keeper(Kept("the run", moody, Lease(moody, lease.epoch, lease.owner), ()))
    other.beat()
    with pytest.raises(ResourceError):
        other()


def test_how_far_a_stage_is_can_be_read(objects: LocalObjects) -> None:
    one = keeper(objects)
    one.event(events.StageStarted("measure", 2, 9))
    for status in (TaskStatus.OK, TaskStatus.FAILED, TaskStatus.SKIPPED):
        one.event(events.TaskEnded("measure", TaskOutcome(KEY, status)))
    one.beat()
    assert progress_of(objects) == Progress(1, "measure", 2, 9, 3, 1, 1)


def test_an_event_that_somebody_else_wrote_fences_all_that_follows(objects: LocalObjects) -> None:
    """A driver that slept may write nothing, neither events nor what goes without one."""
    sleeper = Journal(objects, time.time)
    assert list(sleeper.events()) == []
    sleeper.require_ours()
    Journal(objects, time.time).append(DriverStarted(2, "another"))
    for write in (sleeper.require_ours, lambda: sleeper.append(PassStarted(1, True))):
        with pytest.raises(RunStoreError, match="written by another driver; this one stops"):
            write()


def test_the_log_says_what_was_tried_again_and_how_it_ended(objects: LocalObjects) -> None:
    writer = LogWriter(objects, 1)
    clocks = Clocks(lambda: 5.0, lambda: 0.0)
    outcome = TaskOutcome(KEY, TaskStatus.FAILED, "all_masked", "no pixel is usable")
    with pytest.raises(TransientError), RunLog(writer, "process 1", clocks) as log:
        log.event(events.StageStarted("measure", 1, 2))
        log.task_event(TaskRetried(KEY, 2, "workers died that it was on"))
        log.task_event(TaskDoubled(KEY, 95.2))
        log.event(events.TaskEnded("measure", TaskOutcome(KEY, TaskStatus.OK)))
        log.event(events.TaskEnded("measure", outcome))
        log.event(events.PassSolved(1, 0.25, 2, 30, True))
        log.event(events.Note("mind the gap"))
        raise TransientError("no worker for 600 s")
    lines = list(log_lines(objects))
    assert [(line.what, line.subject) for line in lines] == [
        (LogKind.DRIVER_STARTED, ""),
        (LogKind.STAGE_STARTED, ""),
        (LogKind.TASK_RETRIED, "exp001"),
        (LogKind.TASK_DOUBLED, "exp001"),
        (LogKind.TASK_FAILED, "exp001"),
        (LogKind.PASS_SOLVED, ""),
        (LogKind.NOTE, ""),
        (LogKind.DRIVER_ENDED, ""),
    ]
    assert lines[2].text == "try 2: workers died that it was on"
    assert lines[3].text.startswith("it runs for 95 s")
    assert "no worker for 600 s" in lines[-1].text


def test_a_log_that_cannot_be_written_stops_no_run(objects: LocalObjects) -> None:
    with RunLog(LogWriter(Moody(objects.root), 1), str(LeaseOwner("here", 1, "1"))) as log:
        log.event(events.Note("x"))
    assert not objects.list("logs/")
