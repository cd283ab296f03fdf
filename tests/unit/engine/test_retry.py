"""What is done about each trouble, and how often."""

from __future__ import annotations

import pytest

from alignsvc.engine.retry import Action, Decision, RetryPolicy, Trouble
from alignsvc.reasons import FailureKind


@pytest.mark.parametrize("trouble", [Trouble.TRANSIENT, Trouble.FUTURE_LOST])
def test_what_may_pass_is_tried_three_times_then_the_run_stops(trouble: Trouble) -> None:
    actions = [RetryPolicy()(trouble, times).action for times in (1, 2, 3, 4)]
    assert actions == [Action.RETRY, Action.RETRY, Action.STOP, Action.STOP]


def test_a_suspect_has_one_more_chance_alone_then_it_fails() -> None:
    policy = RetryPolicy()
    assert policy(Trouble.WORKER_LOST, 1) == Decision(Action.RETRY_ALONE)
    assert policy(Trouble.WORKER_LOST, 2) == Decision(Action.FAIL, FailureKind.WORKER_LOST)


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
