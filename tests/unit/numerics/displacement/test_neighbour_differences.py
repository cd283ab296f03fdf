"""Differences of neighbours in cells of a plane, against plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.displacement.windows.neighbour_differences import NeighbourDifferences

CELL_PX = 32


def variance_of(differences):
    """Return what the definition says of differences as they lie in a cell, unknown ones NaN."""
    known = differences[np.isfinite(differences)]
    if not known.size:
        return 0.0
    some = differences[::17][np.isfinite(differences[::17])]
    most = 3.0 / 0.6745 * np.median(np.abs(some if some.size >= 16 else known))
    return np.mean(known[np.abs(known) <= most] ** 2) / 0.9733


def in_cell(differences):
    """Return rows of differences as long as the cell is wide, one after the other."""
    rows = np.full((len(differences), CELL_PX), np.nan)
    rows[:, : differences.shape[1]] = differences
    return rows.ravel()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9))
def test_differences_are_those_of_known_neighbours_in_every_cell(ny, nx, unknown, seed):
    rng = np.random.default_rng(seed)
    value = rng.normal(size=(ny, nx)).astype(np.float32)
    weight = np.where(rng.random((ny, nx)) < unknown, 0, rng.uniform(1, 9, (ny, nx)))
    label = (rng.random((ny, nx)) < 0.5 * unknown).astype(np.int32)
    found = NeighbourDifferences.of(value, weight.astype(np.float32), label, CELL_PX)
    unit = np.where((label == 0) & (weight > 0), value * np.sqrt(weight), np.nan)
    for row, y0 in enumerate(range(0, ny, CELL_PX)):
        for column, x0 in enumerate(range(0, nx, CELL_PX)):
            every_fourth = unit[y0 : y0 + CELL_PX : 4, x0 : x0 + CELL_PX + 1]
            below = unit[y0 + 1 : y0 + CELL_PX + 1 : 4, x0 : x0 + CELL_PX]
            along_y = below - every_fourth[: len(below), :CELL_PX]
            for axis, each in enumerate((np.diff(every_fourth), along_y)):
                assert found.number[row, column, axis] == np.isfinite(each).sum()
                wanted = variance_of(in_cell(each))
                assert found.variance[row, column, axis] == pytest.approx(wanted, rel=1e-4)


def test_where_nobody_knows_of_sources_all_is_sky():
    value = np.random.default_rng(3).normal(size=(70, 50)).astype(np.float32)
    weight = np.ones_like(value)
    nowhere, unknown = np.zeros(value.shape, np.int32), np.zeros((0, 0), np.int32)
    one, other = (
        NeighbourDifferences.of(value, weight, label, CELL_PX) for label in (nowhere, unknown)
    )
    np.testing.assert_array_equal(one.variance, other.variance)
    np.testing.assert_array_equal(one.number, other.number)


def test_what_stands_out_counts_little():
    rng = np.random.default_rng(1)
    value = rng.normal(size=(CELL_PX, CELL_PX)).astype(np.float32)
    everywhere = np.ones_like(value), np.zeros(value.shape, np.int32)
    clean = NeighbourDifferences.of(value, *everywhere, CELL_PX)
    value[10:12, 5:9] += 1e4
    struck = NeighbourDifferences.of(value, *everywhere, CELL_PX)
    np.testing.assert_allclose(struck.variance, clean.variance, rtol=0.05)
    np.testing.assert_allclose(clean.variance, 2.0, rtol=0.2)
