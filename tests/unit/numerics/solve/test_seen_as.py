"""Of factors that are made when asked for, one column costs no more than itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.made_when_asked import column_of
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.seen_as import SeenAs, WithOneMore


def some_factors(n: int) -> Factors:
    random = np.random.default_rng(n)
    return Factors(
        exposure=0,
        source=np.arange(n),
        residual=random.normal(size=(n, 2)),
        jacobian=random.normal(size=(n, 2, 6)),
        information=np.broadcast_to(np.eye(2), (n, 2, 2)),
        weight_share=np.ones(n),
        use=np.ones(n, bool),
        held_out=np.zeros(n, bool),
    )


def test_each_column_is_that_of_the_whole() -> None:
    given = [some_factors(3), some_factors(5)]
    shifted = SeenAs(lambda i, one: replace(one, residual=one.residual + i), given)
    seen = WithOneMore(shifted, some_factors(4))
    for index in range(3):
        for name in ("source", "chip", "jacobian", "residual", "use"):
            assert np.array_equal(column_of(seen, index, name), getattr(seen[index], name))
    assert np.array_equal(column_of(given, 1, "residual") + 1, column_of(seen, 1, "residual"))


def test_what_no_change_touches_is_read_without_making_the_change() -> None:
    def never(_: int, one: Factors) -> Factors:
        raise AssertionError("the whole was made")

    seen = SeenAs(never, [some_factors(3)])
    assert seen.column(0, "jacobian").shape == (3, 2, 6)
    with pytest.raises(AssertionError):
        seen.column(0, "residual")
