"""Records of tasks and workers are bounded, lose nothing on the way, and say what is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.outcome import TaskStatus
from alignsvc.errors import TransientError
from alignsvc.io.codec import sealed, unsealed
from alignsvc.io.objects import LocalObjects
from alignsvc.io.record_pieces import PieceReader, PieceSizes, PieceWriter
from alignsvc.io.task_ends import (
    OTHERS,
    SEVERAL,
    TASK_ENDS,
    TaskEnd,
    TaskSum,
    sum_of_one,
    summed_tasks,
)
from alignsvc.io.worker_samples import (
    WORKER_SAMPLES,
    WorkerSample,
    WorkersThen,
    thinned_samples,
)

SMALL = PieceSizes(rows=5, fewest=2, most=4, waiting=8)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path, is_scratch=True)


def end(number: int, **changed: object) -> TaskEnd:
    made = TaskEnd(
        *("measure", 1, f"exp{number}", f"node/{number % 3}", 1000.0 + number, 1000.5 + number),
        TaskStatus.FAILED if number % 10 == 3 else TaskStatus.OK,
        peak_bytes=number,
    )
    return TaskEnd(**{**{name: getattr(made, name) for name in made.__slots__}, **changed})  # type: ignore[arg-type]


def written(objects: LocalObjects, numbers: range, epoch: int = 1, at_once: int = 3) -> None:
    writer = PieceWriter(objects, TASK_ENDS, epoch, SMALL)
    for number in numbers:
        writer.add(end(number))
        if number % at_once == 0:
            writer.flush()
    writer.flush()


def counted(sums: tuple[TaskSum, ...]) -> int:
    return sum(one.n_tasks for one in sums)


def test_what_was_written_comes_back(objects: LocalObjects) -> None:
    written(objects, range(12))
    found = PieceReader(objects, TASK_ENDS)()
    assert found.records == tuple(end(number) for number in range(12))
    assert (found.sums, found.n_lost, found.damaged) == ((), 0, ())


def test_the_last_tasks_stay_single_and_no_other_is_lost(objects: LocalObjects) -> None:
    written(objects, range(200))
    found = PieceReader(objects, TASK_ENDS)()
    assert found.records == tuple(end(n) for n in range(200 - len(found.records), 200))
    assert SMALL.fewest * SMALL.rows <= len(found.records) <= SMALL.most * SMALL.rows
    assert counted(found.sums) == 200 - len(found.records)
    assert sum(one.n_failed for one in found.sums) == sum(
        n % 10 == 3 for n in range(200 - len(found.records))
    )
    assert len(objects.list("logs/")) <= SMALL.most + 1


def test_drivers_follow_each_other_and_one_may_begin_twice(objects: LocalObjects) -> None:
    written(objects, range(7), epoch=1)
    written(objects, range(7, 9), epoch=3)
    written(objects, range(9, 12), epoch=3)
    assert PieceReader(objects, TASK_ENDS)().records == tuple(end(n) for n in range(12))
    written(objects, range(12, 90), epoch=4)
    found = PieceReader(objects, TASK_ENDS)()
    assert counted(found.sums) + len(found.records) == 90


def test_a_driver_that_was_replaced_changes_nothing_of_the_later_one(
    objects: LocalObjects,
) -> None:
    sleeper = PieceWriter(objects, TASK_ENDS, 1, SMALL)
    sleeper.add(end(0))
    sleeper.flush()
    written(objects, range(1, 100), epoch=2)
    before = PieceReader(objects, TASK_ENDS)()
    for number in range(100, 200):
        sleeper.add(end(number))
        sleeper.flush()
    after = PieceReader(objects, TASK_ENDS)()
    assert after.records == before.records
    assert after.sums == before.sums


def test_summing_up_that_was_interrupted_counts_nothing_twice(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: LocalObjects, name: str) -> None:
        raise TransientError("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(LocalObjects, "delete", refuses)
        with pytest.raises(TransientError):
            written(objects, range(60))
    found = PieceReader(objects, TASK_ENDS)()
    n = counted(found.sums) + len(found.records)
    assert found.sums
    assert found.records[-1] == end(n - 1)
    written(objects, range(n, 100), epoch=2)
    found = PieceReader(objects, TASK_ENDS)()
    assert counted(found.sums) + len(found.records) == 100
    assert len(objects.list("logs/")) <= SMALL.most + 1


def test_a_damaged_piece_is_left_out_and_named(objects: LocalObjects) -> None:
    written(objects, range(12))
    name = objects.list("logs/")[1]
    objects.put(name, objects.get(name).replace(b"exp6", b"exp7"))
    found = PieceReader(objects, TASK_ENDS)()
    assert found.damaged == (name,)
    assert found.records == tuple(end(n) for n in (*range(5), 10, 11))
    # When it is summed up, it is still told that something is missing.
    written(objects, range(12, 100), epoch=2)
    found = PieceReader(objects, TASK_ENDS)()
    assert (found.damaged, found.n_damaged_before) == ((), 1)
    assert counted(found.sums) + len(found.records) == 95


def test_a_damaged_sum_is_said_to_be_gone(objects: LocalObjects) -> None:
    written(objects, range(60))
    until = next(name for name in objects.list("logs/") if "until" in name)
    objects.put(until, b"{")
    found = PieceReader(objects, TASK_ENDS)()
    assert found.damaged == (until,)
    assert found.records
    written(objects, range(60, 100), epoch=2)
    assert PieceReader(objects, TASK_ENDS)().n_damaged_before == 1


def test_pieces_of_another_format_are_not_guessed_at(objects: LocalObjects) -> None:
    written(objects, range(3))
    name = objects.list("logs/")[0]
    objects.put(name, sealed({**unsealed(objects.get(name)), "format": 99}))
    assert PieceReader(objects, TASK_ENDS)().damaged == (name,)


def test_a_second_look_reads_only_what_is_new(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = PieceWriter(objects, TASK_ENDS, 1, SMALL)
    for number in range(7):
        writer.add(end(number))
    writer.flush()
    reader = PieceReader(objects, TASK_ENDS)
    first = reader()
    read: list[str] = []
    find = LocalObjects.find
    monkeypatch.setattr(
        LocalObjects, "find", lambda self, name: (read.append(name), find(self, name))[1]
    )
    assert reader() is first
    writer.add(end(7))
    writer.flush()
    assert reader().records == tuple(end(number) for number in range(8))
    assert read == ["logs/tasks-00000001-000002.json"]


def test_what_a_store_does_not_take_waits_as_far_as_there_is_room(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: LocalObjects, name: str, content: bytes) -> None:
        raise TransientError("no answer")

    writer = PieceWriter(objects, TASK_ENDS, 1, SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(LocalObjects, "put", refuses)
        for number in range(20):
            writer.add(end(number))
            with pytest.raises(TransientError):
                writer.flush()
    writer.flush()
    found = PieceReader(objects, TASK_ENDS)()
    assert found.records == tuple(end(number) for number in range(12, 20))
    assert found.n_lost == 12


ends = st.builds(
    TaskEnd,
    stage=st.sampled_from(["resample", "measure", "merge"]),
    pass_number=st.integers(0, 4),
    subject=st.text(max_size=3),
    worker=st.sampled_from([f"node{k}/{k}" for k in range(50)]),
    began_s=st.floats(1e9, 1e9 + 1e6),
    ended_s=st.floats(1e9, 1e9 + 1e6),
    status=st.sampled_from(TaskStatus),
    is_reused=st.booleans(),
    peak_bytes=st.integers(0, 10),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(ends, max_size=30), max_size=5), st.integers(1, 40))
def test_sums_are_bounded_and_hold_every_task(groups: list[list[TaskEnd]], most: int) -> None:
    sums: tuple[TaskSum, ...] = ()
    for group in groups:
        sums = summed_tasks(sums, group, most)
        assert len(sums) <= most
    every = [one for group in groups for one in group]
    assert counted(sums) == len(every)
    failed = [one for one in every if one.status is TaskStatus.FAILED]
    assert sum(one.n_failed for one in sums) == len(failed)
    assert max((one.peak_bytes for one in sums), default=0) == max(
        (one.peak_bytes for one in every), default=0
    )
    assert sum(one.work_s for one in sums) == pytest.approx(
        sum(one.seconds for one in every), abs=0.1
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(ends, max_size=60), st.integers(1, 60))
def test_a_sum_is_of_tasks_that_ended_within_it(group: list[TaskEnd], most: int) -> None:
    found = summed_tasks((), group, most)
    for one in map(sum_of_one, group):
        holders = [
            s
            for s in found
            if s.begin_s <= one.begin_s < s.begin_s + s.width_s
            and s.worker in (one.worker, OTHERS)
            and s.stage in (one.stage, SEVERAL)
        ]
        assert holders


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), max_size=120).map(sorted), st.integers(1, 40))
def test_thinned_samples_are_bounded_and_keep_the_extremes(epochs: list[int], most: int) -> None:
    samples = [
        WorkerSample(epoch, 5.0 * k, 5.0 * k, k, 0, WorkersThen(2, 1, 1, 100 - k, 100, 100 + k))
        for k, epoch in enumerate(epochs)
    ]
    found = thinned_samples(samples[:50], samples[50:], most)
    assert len(found) <= most
    if not samples:
        return
    assert found[-1].until_s == samples[-1].until_s
    if most > 8:  # all neighbours of one driver can be put together
        assert found[0].time_s == 0.0
        assert max(one.workers.highest_bytes for one in found if one.workers) == 99 + len(samples)
    assert [one.epoch for one in found] == sorted(one.epoch for one in found)


def test_samples_come_back_with_and_without_workers(objects: LocalObjects) -> None:
    writer = PieceWriter(objects, WORKER_SAMPLES, 2)
    samples = [
        WorkerSample(2, 1.0, 1.0, 7, 3),
        WorkerSample(2, 6.0, 6.0, 8, 2, WorkersThen(4, 3, 3, 10, 20, 30, 99)),
    ]
    for one in samples:
        writer.add(one)
    writer.flush()
    assert PieceReader(objects, WORKER_SAMPLES)().records == tuple(samples)
