"""How long a stage still takes is told from when its tasks ended, or not told at all."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.run.status.pace import Pace, StageSteps, Step


@dataclass(frozen=True)
class Tasks:
    """A stage that is worked through: so many tasks, on so many places."""

    n: int
    places: int
    seconds: Callable[[int], float]
    n_reused: int = 0

    def ends(self) -> list[tuple[float, bool]]:
        """When each task ends, and whether it was only looked up: those come first."""
        free = [0.0] * self.places
        found = []
        for k in range(self.n):
            is_reused = k < self.n_reused
            end_s = heapq.heappop(free) + (0.01 if is_reused else self.seconds(k))
            heapq.heappush(free, end_s)
            found.append((end_s, is_reused))
        return sorted(found)

    def told(self, part: float, every_s: float = 0.0) -> Told:
        """What is told after a part of the time: seen as tasks end, or every so many seconds."""
        ends = self.ends()
        whole_s = ends[-1][0]
        now_s, n_reused, looked_s = part * whole_s, 0, 0.0
        stage = StageSteps.begun(self.n, 0.0)
        for n_ended, (end_s, is_reused) in enumerate(ends, start=1):
            if end_s > now_s:
                break
            n_reused += is_reused
            if end_s - looked_s >= every_s:
                stage = stage.after(Step(end_s, n_ended, n_reused), self.places)
                looked_s = end_s
        return Told(stage.pace(now_s), whole_s - now_s)


@dataclass(frozen=True)
class Told:
    """What is told, and the truth."""

    pace: Pace
    truth_s: float

    @property
    def ratio(self) -> float:
        assert self.pace.left_s is not None
        return self.pace.left_s / self.truth_s


def scattered(low_s: float, high_s: float, seed: int = 1) -> Callable[[int], float]:
    """Return lengths of tasks that differ, the same each time they are asked for."""
    return lambda k: random.Random(1000 * seed + k).uniform(low_s, high_s)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("places", [1, 4, 16])
@pytest.mark.parametrize("every_s", [0.0, 5.0])
def test_a_steady_stage_takes_as_long_as_is_told(part: float, places: int, every_s: float) -> None:
    told = Tasks(400, places, scattered(2.0, 4.0)).told(part, every_s)
    assert told.pace.per_s == pytest.approx(places / 3.0, rel=0.25)
    assert told.ratio == pytest.approx(1.0, rel=0.25)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.7, 0.9])
def test_tasks_that_end_in_crowds_are_no_sign_of_speed(part: float) -> None:
    """Sixteen that end together, a hundred seconds after they began together."""
    told = Tasks(96, 16, scattered(95.0, 105.0)).told(part)
    assert told.ratio == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_stage_that_grows_slower_or_faster_is_followed(part: float) -> None:
    slower = Tasks(300, 2, lambda k: 1.0 + k / 150.0).told(part)
    faster = Tasks(300, 2, lambda k: 3.0 - k / 150.0).told(part)
    assert 0.5 < slower.ratio < 1.0 < faster.ratio < 1.6
    mean_so_far = Tasks(300, 2, lambda k: 1.0 + k / 150.0).told(part).pace.per_s
    assert mean_so_far is not None and mean_so_far < 2 / (1.0 + part)


@pytest.mark.parametrize("part", [0.2, 0.4, 0.6, 0.8])
def test_bursts_leave_the_order_of_magnitude(part: float) -> None:
    told = Tasks(600, 4, lambda k: 0.2 if k // 30 % 2 else 2.0).told(part)
    assert 0.3 < told.ratio < 3.0


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_what_was_done_before_does_not_count_in_a_resumed_stage(part: float) -> None:
    """120 of 200 are looked up in half a second; the rest takes a hundred."""
    told = Tasks(200, 4, lambda k: 5.0, n_reused=120).told(part)
    assert told.ratio == pytest.approx(1.0, rel=0.1)
    assert told.pace.per_s == pytest.approx(0.8, rel=0.1)


def test_a_stage_of_which_everything_is_looked_up_goes_as_fast_as_that() -> None:
    told = Tasks(500, 2, scattered(1.0, 1.0), n_reused=500).told(0.5)
    assert told.pace.per_s == pytest.approx(200.0, rel=0.1)


def test_nothing_is_told_before_each_place_has_ended_something() -> None:
    stage = StageSteps.begun(100, 0.0)
    assert stage.pace(50.0) == Pace()
    for n in range(1, 8):
        stage = stage.after(Step(90.0 + n, n), 8)
        assert stage.pace(90.0 + n) == Pace()
    assert stage.after(Step(99.0, 8), 8).pace(99.0).left_s is not None


def test_when_all_that_is_left_is_running_a_whole_task_is_left_and_no_fraction() -> None:
    """Four of 36 begin when 32 have ended, and take their 100 s however few they are."""
    told = Tasks(36, 16, scattered(99.0, 101.0)).told(0.7)
    assert told.ratio == pytest.approx(1.0, rel=0.15)


def test_a_stage_that_stands_still_is_not_told_to_end_soon() -> None:
    stage = StageSteps.begun(100, 0.0)
    for n in range(1, 51):
        stage = stage.after(Step(float(n), n), 1)
    assert stage.pace(50.5).left_s == pytest.approx(49.5)
    assert stage.pace(52.0).left_s == pytest.approx(49.0)  # one is over due, the rest is not
    assert stage.pace(60.0) == Pace()


def test_a_straggler_is_not_told_to_end_soon() -> None:
    stage = StageSteps.begun(50, 0.0)
    for n in range(1, 50):
        stage = stage.after(Step(float(n), n), 1)
    assert stage.pace(49.2).left_s == pytest.approx(0.8)
    assert stage.pace(49.0 + 3.0) == Pace()


def test_workers_that_are_just_waking_up_are_forgotten() -> None:
    told = Tasks(100, 2, lambda k: 20.0 if k < 2 else 1.0).told(0.5)
    assert told.ratio == pytest.approx(1.0, rel=0.1)


def test_a_stage_of_ten_thousand_tasks_is_kept_in_few_steps() -> None:
    stage = StageSteps.begun(10_000, 0.0)
    for n in range(1, 5001):
        stage = stage.after(Step(n * 0.01, n), 1)
    assert len(stage.steps) < 300
    assert stage.pace(50.0).left_s == pytest.approx(50.0, rel=0.05)


@given(
    pauses=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=60),
    n_left=st.integers(0, 50),
    places=st.integers(0, 8),
    waits_s=st.floats(0.0, 1000.0),
)
def test_whatever_happens_time_left_is_no_negative_number_and_knows_no_unit(
    pauses: list[float], n_left: int, places: int, waits_s: float
) -> None:
    """Twice as slow is twice as long, as long as nothing stands still."""

    def stage(unit: float, now_s: float = 0.0) -> StageSteps:
        found = StageSteps.begun(len(pauses) + n_left, 0.0)
        for n, pause in enumerate(pauses, start=1):
            now_s += unit * pause
            found = found.after(Step(now_s, n), places)
        return found

    end_s = sum(pauses)
    told = stage(1.0).pace(stage(1.0).steps[-1].time_s + waits_s)
    assert told.left_s is None or (0.0 <= told.left_s < float("inf"))
    assert (told.left_s is None) == (told.per_s is None)
    once, twice = stage(1.0).pace(end_s), stage(2.0).pace(2.0 * end_s)
    if once.left_s is not None and twice.left_s is not None:
        assert twice.left_s == pytest.approx(2.0 * once.left_s, rel=1e-6, abs=1e-6)


def test_steps_never_go_back() -> None:
    stage = StageSteps.begun(9, 10.0).after(Step(12.0, 3)).after(Step(11.0, 4)).after(Step(13.0, 4))
    assert [(one.time_s, one.n_ended) for one in stage.steps] == [(10, 0), (12, 3), (12, 4)]
    assert all(a.time_s <= b.time_s for a, b in pairwise(stage.steps))
