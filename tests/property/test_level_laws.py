"""Levels do not depend on the order or the names of what was measured, nor on where zero is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.solve.relative_levels import LevelRows, LevelSolver

SOLVE = LevelSolver()
few = settings(max_examples=12, deadline=None)
N_EXPOSURES = 5


@st.composite
def measured(draw: st.DrawFn) -> LevelRows:
    """Some exposures at some places, not all connected."""
    seed = draw(st.integers(0, 2**20))
    rng = np.random.default_rng(seed)
    seen = rng.random((N_EXPOSURES, 12)) < draw(st.floats(0.1, 1.0))
    exposure, place = np.nonzero(seen)
    value = rng.normal(0.0, 1.0, N_EXPOSURES)[exposure] + rng.normal(0.0, 3.0, 12)[place]
    value += rng.standard_t(2, len(place)) * 0.05
    return LevelRows(exposure, place, value, rng.uniform(0.01, 0.1, len(place)) ** 2)


@few
@given(measured(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_bit(rows: LevelRows, random: object) -> None:
    order = np.arange(len(rows))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = LevelRows(
        rows.exposure[order], rows.place[order], rows.value[order], rows.variance[order]
    )
    one, other = SOLVE(rows, N_EXPOSURES), SOLVE(mixed, N_EXPOSURES)
    assert (one.value == other.value).all()
    assert (one.error == other.error).all()


@few
@given(measured(), st.floats(-5.0, 5.0))
def test_a_brighter_place_changes_no_level(rows: LevelRows, brighter: float) -> None:
    value = rows.value + brighter * rows.place
    moved = LevelRows(rows.exposure, rows.place, value, rows.variance)
    one, other = SOLVE(rows, N_EXPOSURES), SOLVE(moved, N_EXPOSURES)
    np.testing.assert_allclose(one.value, other.value, atol=1e-6)
