"""Which tasks are started a second time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alignsvc.engine.stragglers import StragglerRule

RULE = StragglerRule(slow_factor=3.0, least_s=30.0, least_ended=3)


def test_a_task_that_runs_much_longer_than_others_did_is_a_straggler() -> None:
    assert RULE(61.0, [20.0, 19.0, 500.0])
    assert not RULE(59.0, [20.0, 19.0, 500.0])


def test_short_tasks_are_let_be_for_a_restart_costs_more() -> None:
    assert not RULE(29.0, [0.1, 0.1, 0.1])


def test_few_say_nothing_of_how_long_a_task_takes() -> None:
    assert not RULE(1000.0, [1.0, 1.0])


@given(st.lists(st.floats(0.0, 1e4), max_size=20), st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_once_a_straggler_always_a_straggler(ended: list[float], now: float, more: float) -> None:
    assert not RULE(now, ended) or RULE(now + more, ended)
