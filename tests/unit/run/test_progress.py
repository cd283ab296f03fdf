"""What goes on in a run: how far its stage is, and how long a pass takes that is like another."""

from __future__ import annotations

import pytest

from alignsvc.io import journal
from alignsvc.io.control import Progress
from alignsvc.io.journal_store import Entry
from alignsvc.run.status.progress import RunProgress

FULL = ("resample", "merge", "detect", "measure")
LATER = ("resample", "merge", "measure")
LENGTHS_S = {"resample": 100.0, "merge": 10.0, "detect": 30.0, "measure": 200.0}


class Story:
    """A journal that is told as it was written."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.progress = RunProgress(eps_shift_px=0.003)

    def add(self, *events: journal.Event) -> None:
        for event in events:
            n = self.progress.view.n_entries + 1
            self.progress = self.progress.read_on([Entry(n, self.now_s, event)])

    def stage(self, stage: str, number: int, n_reused: int = 0) -> None:
        self.add(journal.StageStarted(stage, number, 10))
        self.now_s += LENGTHS_S[stage]
        self.add(journal.StageFinished(stage, number, 10, 0, 0, n_reused))

    def solved(self, number: int, *, is_full: bool, n_reused: int = 0) -> None:
        self.add(journal.PassStarted(number, is_full))
        for stage in FULL if is_full else LATER:
            self.stage(stage, number, n_reused)
        self.add(journal.Solved(number, "t", "d", 0.5 / number, 2))

    def in_resample(self, number: int, *, is_full: bool) -> None:
        """Begin a pass and half of its first stage."""
        self.add(journal.PassStarted(number, is_full), journal.StageStarted("resample", number, 10))
        for n in range(1, 6):
            self.now_s += 10.0
            done = Progress(1, "resample", number, 10, n, n_places=1)
            self.progress = self.progress.counted(done, self.now_s)

    @property
    def pass_left_s(self) -> float | None:
        return self.progress.forecast(self.now_s).pass_left_s


@pytest.fixture
def story() -> Story:
    told = Story()
    told.add(journal.DriverStarted(1, "x"))
    return told


def test_a_stage_has_its_own_time_and_the_first_pass_none(story: Story) -> None:
    story.in_resample(1, is_full=True)
    assert story.progress.forecast(story.now_s).pace.left_s == pytest.approx(50.0)
    assert story.pass_left_s is None


def test_a_pass_takes_as_long_as_the_last_of_its_kind(story: Story) -> None:
    story.solved(1, is_full=True)
    story.in_resample(2, is_full=True)
    assert story.pass_left_s == pytest.approx(50.0 + 10.0 + 30.0 + 200.0)


def test_a_first_pass_without_detection_takes_the_rest_of_one_with_it(story: Story) -> None:
    story.solved(1, is_full=True)
    story.in_resample(2, is_full=False)
    assert story.pass_left_s == pytest.approx(50.0 + 10.0 + 200.0)


@pytest.mark.parametrize("n_reused", [1, 10])
def test_a_pass_that_was_partly_done_before_tells_nothing(story: Story, n_reused: int) -> None:
    story.solved(1, is_full=True, n_reused=n_reused)
    story.in_resample(2, is_full=True)
    assert story.pass_left_s is None


def test_a_pass_that_a_driver_was_lost_in_tells_nothing(story: Story) -> None:
    story.add(journal.PassStarted(1, True), journal.StageStarted("resample", 1, 10))
    story.add(journal.DriverStarted(2, "y"))
    assert story.progress.steps is None
    story.solved(1, is_full=True)
    story.in_resample(2, is_full=True)
    assert story.pass_left_s is None


def test_a_stage_that_comes_oftener_than_before_has_no_place_in_the_pass(story: Story) -> None:
    story.solved(1, is_full=True)
    story.add(journal.PassStarted(2, True))
    story.stage("resample", 2)
    story.add(journal.StageStarted("resample", 2, 10))
    for n in range(1, 6):
        story.now_s += 1.0
        done = Progress(1, "resample", 2, 10, n, n_places=1)
        story.progress = story.progress.counted(done, story.now_s)
    assert story.progress.forecast(story.now_s).pace.left_s == pytest.approx(5.0)
    assert story.pass_left_s is None


def test_what_is_said_of_another_stage_is_not_believed(story: Story) -> None:
    story.in_resample(1, is_full=True)
    before = story.progress
    for stage, number in (("merge", 1), ("resample", 2)):
        assert before.counted(Progress(1, stage, number, 10, 9), story.now_s) is before
    assert before.counted(None, story.now_s) is before


def test_between_stages_nothing_is_half_done(story: Story) -> None:
    story.solved(1, is_full=True)
    assert story.progress.done is None and story.progress.steps is None
    assert story.pass_left_s is None
    assert story.progress.movements_px == (0.5,)
