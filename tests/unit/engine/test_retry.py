"""What is done about each trouble, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.engine.retry import Action, Decision, RetryPolicy, Trouble
from alignsvc.reasons import FailureKind


@pytest.mark.parametrize("trouble", [Trouble.TRANSIENT, Trouble.FUTURE_LOST, Trouble.BLOCKED])
def test_what_may_pass_is_tried_three_times_then_the_run_stops(trouble: Trouble) -> None:
    actions = [RetryPolicy()(trouble, times).action for times in (1, 2, 3, 4)]
    assert actions == [Action.RETRY, Action.RETRY, Action.STOP, Action.STOP]


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Trouble.WORKER_LOST, FailureKind.WORKER_LOST),
        (Trouble.MEMORY, FailureKind.MEMORY),
        (Trouble.SILENT, FailureKind.TIMEOUT),
    ],
)
def test_a_suspect_has_one_more_chance_alone_then_it_fails(
    trouble: Trouble, kind: FailureKind
) -> None:
    policy = RetryPolicy()
    assert policy(trouble, 1) == Decision(Action.RETRY_ALONE)
    assert policy(trouble, 2) == Decision(Action.FAIL, kind)


@given(st.integers(1, 30), st.text(max_size=8), st.floats(0.01, 10.0), st.floats(10.0, 100.0))
def test_waits_double_up_to_a_bound_less_up_to_half_by_the_task(
    times: int, key: str, first_s: float, longest_s: float
) -> None:
    policy = RetryPolicy(max_attempts=99, first_wait_s=first_s, longest_wait_s=longest_s)
    wait_s = policy(Trouble.TRANSIENT, times, key).wait_s
    whole_s = min(longest_s, first_s * 2.0 ** (times - 1))
    assert whole_s / 2 <= wait_s <= whole_s
    assert wait_s == policy(Trouble.TRANSIENT, times, key).wait_s


def test_tasks_that_fail_together_are_not_tried_together() -> None:
    waits = {RetryPolicy()(Trouble.TRANSIENT, 1, str(n)).wait_s for n in range(100)}
    assert len(waits) == 100


def test_who_was_forgotten_or_blocked_need_not_wait() -> None:
    assert RetryPolicy()(Trouble.FUTURE_LOST, 1).wait_s == 0.0
    assert RetryPolicy()(Trouble.BLOCKED, 1).wait_s == 0.0


def test_what_took_too_long_is_not_tried_again() -> None:
    assert RetryPolicy()(Trouble.TIMEOUT, 1) == Decision(Action.FAIL, FailureKind.TIMEOUT)


def test_what_cannot_be_sent_fails() -> None:
    assert RetryPolicy()(Trouble.TRANSPORT, 1) == Decision(Action.FAIL, FailureKind.INTERNAL)


def test_what_no_task_can_do_better_stops_the_run() -> None:
    assert RetryPolicy()(Trouble.FATAL, 1) == Decision(Action.STOP)


@pytest.mark.parametrize("trouble", list(Trouble))
def test_no_trouble_is_tried_for_ever(trouble: Trouble) -> None:
    assert RetryPolicy()(trouble, 100).action in (Action.FAIL, Action.STOP)


@pytest.mark.parametrize("trouble", list(Trouble))
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_kind_is_given_exactly_where_the_task_fails(trouble: Trouble, times: int) -> None:
    decision = RetryPolicy()(trouble, times)
    assert (decision.kind is not None) == (decision.action is Action.FAIL)
