"""The state of a run is a fold over its journal: the laws that resuming rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.task import TableRef
from alignsvc.errors import RunStoreError
from alignsvc.io.journal import (
    Cancelled,
    Cleaned,
    DriverStarted,
    Event,
    ExposureEnded,
    ExposureState,
    Finished,
    HeaderApplied,
    HeaderReverted,
    PassStarted,
    Published,
    RaysFound,
    Retried,
    RunCreated,
    Solved,
    SourcesFound,
    StageFinished,
    StageStarted,
    States,
    StepSolved,
    VerdictGiven,
)
from alignsvc.run.records.state import RunState, after_all, fold

CREATED = RunCreated("ab" * 20, (("format", "1"), ("input a", "2")))
TABLE = TableRef("tables/x.npz", "0")


def solved(number: int, movement_px: float = 0.1) -> Solved:
    return Solved(number, f"tables/{number}", "d", movement_px, 3)


numbers = st.floats(0, 1, allow_nan=False)
names = st.sampled_from(["a", "b", "c"])
#: Events that may come at any time.
loose = st.one_of(
    st.builds(DriverStarted, st.integers(1, 9), names),
    st.builds(StageStarted, st.just("merge"), st.integers(1, 3), st.integers(0, 9)),
    st.just(StageFinished("merge", 1, 1, 0, 0, 0)),
    st.builds(
        ExposureEnded, names, st.sampled_from(list(Status)), st.just("worse"), st.just("why")
    ),
    st.builds(Published, st.integers(1, 9)),
    st.builds(VerdictGiven, names, st.sampled_from(list(Verdict)), numbers, numbers),
    st.builds(SourcesFound, st.just(1), *[st.just(TABLE)] * 3, st.integers(0, 9), st.just(4)),
    st.builds(HeaderApplied, names, names, st.just("before"), st.just("after")),
    st.builds(HeaderReverted, names, names),
    st.builds(
        States,
        st.integers(1, 3),
        st.lists(st.builds(ExposureState, names, st.just((0.0,) * 6)), max_size=3).map(tuple),
    ),
)


@st.composite
def journals(draw: st.DrawFn) -> list[Event]:
    """A run as drivers write it: some die in a pass, and the next begins that pass again."""
    events: list[Event] = [CREATED]
    for number in range(1, draw(st.integers(0, 3)) + 1):
        for _ in range(draw(st.integers(1, 2))):
            events += [PassStarted(number, number == 1), *draw(st.lists(loose, max_size=3))]
            if draw(st.booleans()):
                step = draw(st.sampled_from([StepSolved, RaysFound]))
                events.append(step(number, number, "tables/step", "d"))
        events.append(solved(number, draw(numbers)))
    events += draw(st.lists(loose, max_size=3))
    return [*events, Finished(0)] if draw(st.booleans()) else events


@given(journals(), st.data())
@settings(max_examples=80, deadline=None)
def test_reading_in_two_parts_is_reading_at_once(events: list[Event], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(events)))
    state = fold(events[:cut])
    for event in events[cut:]:
        state = after_all(state, [event])
    assert state == fold(events)


@given(journals())
@settings(max_examples=80, deadline=None)
def test_passes_are_numbered_without_gaps_and_only_the_last_may_be_unsolved(
    events: list[Event],
) -> None:
    for n in range(len(events)):
        passes = fold(events[:n]).passes
        assert [record.number for record in passes] == list(range(1, len(passes) + 1))
        assert all(record.solution is not None for record in passes[:-1])


@given(journals())
@settings(max_examples=80, deadline=None)
def test_what_is_history_changes_no_state(events: list[Event]) -> None:
    kinds = (StageStarted, StageFinished)
    assert fold(event for event in events if not isinstance(event, kinds)) == fold(events)


@given(journals(), loose)
@settings(max_examples=80, deadline=None)
def test_a_state_is_never_changed_only_followed(events: list[Event], event: Event) -> None:
    state = fold(events)
    kept = (dict(state.ended), dict(state.verdicts), dict(state.states), state.passes)
    after_all(state, [event])
    assert kept == (dict(state.ended), dict(state.verdicts), dict(state.states), state.passes)


@given(st.lists(loose, max_size=6))
@settings(max_examples=60, deadline=None)
def test_saying_the_last_word_twice_is_saying_it_once(events: Sequence[Event]) -> None:
    """A driver that dies right after an event may decide the same again when it resumes."""
    state = fold(events)
    for event in (Published(3), Finished(1), ExposureEnded("a", Status.FAILED, "empty", "x")):
        once = after_all(state, [event])
        assert after_all(once, [event]) == once


@given(journals(), st.lists(loose, max_size=4))
@settings(max_examples=80, deadline=None)
def test_a_driver_goes_on_from_what_was_last_solved(events: list[Event], lost: list[Event]) -> None:
    """Ends and sources of a pass that was not solved belong to the pass, which is made again."""
    driver = DriverStarted(2, "b")
    state, other = fold([*events, driver]), fold([*events, *lost, driver])
    assert (state.ended, state.sources) == (other.ended, other.sources)
    assert (state.ended, state.sources) == (state.settled.ended, state.settled.sources)


def test_what_a_solved_pass_knew_is_settled() -> None:
    end = ExposureEnded("a", Status.FAILED, "empty", "x")
    late = ExposureEnded("b", Status.FAILED, "empty", "y")
    found = SourcesFound(1, TABLE, TABLE, 9, 8)
    state = fold([PassStarted(1, True), end, found, Published(1), solved(1), late])
    assert dict(state.ended) == {"a": end, "b": late}
    assert dict(state.settled.ended) == {"a": end}
    assert (state.settled.sources, state.settled.generation) == (found, 1)
    assert state.settled.solution == solved(1)
    assert state.passes[0].n_sources == 8
    assert dict(after_all(state, [DriverStarted(2, "b")]).ended) == {"a": end}


def test_a_pass_that_is_solved_in_part_is_not_a_solved_pass() -> None:
    step = StepSolved(1, 4, "tables/step", "d")
    state = fold([PassStarted(1, True), step])
    assert state.is_within_pass and not state.solved_passes
    assert state.settled.solution == step
    whole = after_all(state, [solved(1)])
    assert not whole.is_within_pass and len(whole.solved_passes) == 1
    with pytest.raises(RunStoreError, match="cannot be trusted"):
        fold([step])


def test_a_pass_that_knows_its_cosmic_rays_is_settled_in_part() -> None:
    found = RaysFound(1, 1, "tables/rays", "d")
    state = fold([PassStarted(1, True), Published(1), found])
    assert state.is_within_pass and not state.solved_passes
    assert (state.settled.solution, state.settled.generation) == (found, 1)
    assert not after_all(state, [solved(1)]).is_within_pass


def test_nothing_has_no_state() -> None:
    state = fold([])
    assert state == RunState()
    assert not state.identity and not state.is_finished and not state.solved_passes


def test_a_run_has_the_identity_that_it_was_created_with() -> None:
    state = fold([CREATED])
    assert (state.identity, state.parts) == (CREATED.identity, CREATED.parts)
    assert state.run_id == CREATED.identity[:16]


def test_movements_are_those_of_solved_passes() -> None:
    state = fold([PassStarted(1, True), solved(1, 0.5), PassStarted(2, False), solved(2, 0.1)])
    assert state.movements_px == (0.5, 0.1)
    assert fold([PassStarted(1, True), solved(1, 0.5), PassStarted(2, False)]).movements_px == (
        0.5,
    )


def test_a_pass_whose_driver_died_begins_again() -> None:
    state = fold([PassStarted(1, True), PassStarted(1, True)])
    assert [record.number for record in state.passes] == [1]


@pytest.mark.parametrize(
    "events",
    [
        [PassStarted(2, True)],
        [PassStarted(0, True)],
        [PassStarted(1, True), solved(1), PassStarted(1, True)],
        [PassStarted(1, True), solved(1), PassStarted(3, True)],
        [PassStarted(1, True), PassStarted(2, True)],
        [solved(1)],
        [PassStarted(1, True), solved(2)],
    ],
)
def test_events_that_make_no_run_are_refused(events: list[Event]) -> None:
    with pytest.raises(RunStoreError, match="cannot be trusted"):
        fold(events)


def test_a_cancelled_run_is_so_until_a_driver_goes_on_and_a_request_counts_once() -> None:
    asked = Cancelled("7", "somebody")
    state = fold([CREATED, PassStarted(1, True), solved(1), asked])
    assert state.cancelled == asked and len(state.solved_passes) == 1
    going_on = after_all(state, [DriverStarted(2, "b")])
    assert going_on.cancelled is None
    assert going_on.obeyed == {"7"}


@given(journals())
@settings(max_examples=80, deadline=None)
def test_a_run_that_is_tried_again_knows_no_more_than_a_new_one(events: list[Event]) -> None:
    """But its identity is that of its files as they are now, and what it did to files is known."""
    again = Retried(("a",), "cd" * 20, (("input a", "3"),))
    state = fold([*events, again])
    new = fold([RunCreated(again.identity, again.parts)])
    assert replace(state, headers=(), is_anew=False) == new
    assert state.headers == fold(events).headers
    assert fold([*events, again, PassStarted(1, True)]).passes[0].number == 1


def test_what_the_last_attempt_left_is_removed_until_the_first_pass_of_the_next_begins() -> None:
    events: list[Event] = [CREATED, PassStarted(1, True), solved(1), Cleaned()]
    assert fold(events).is_anew and not fold(events).passes
    assert fold(events).identity == CREATED.identity
    assert fold([*events, DriverStarted(2, "b")]).is_anew
    assert not fold([*events, DriverStarted(2, "b"), PassStarted(1, True)]).is_anew
    assert not fold([*events, Finished(0)]).is_anew


def test_a_reverted_header_is_not_written_any_more() -> None:
    written = [HeaderApplied(name, f"{name}.fits", "b", "a") for name in "xy"]
    state = fold([*written, HeaderReverted("x", "x.fits")])
    assert [header.file for header in state.headers] == ["y.fits"]


def test_states_are_those_of_the_last_pass_that_began() -> None:
    first, second = (ExposureState(name, (0.0, 0.0, 1.0, 0.0, 0.0, 1.0)) for name in "ab")
    state = fold([States(1, (first, second)), States(2, (second,))])
    assert dict(state.states) == {"b": second}
