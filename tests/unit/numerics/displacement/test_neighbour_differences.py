"""Differences of neighbours in cells of a plane, against plain numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.displacement.neighbour_differences import NeighbourDifferences

CELL_PX = 32


def variance_of(differences):
    """Return what the definition says of differences in the order in which they are met."""
    if not differences.size:
        return 0.0
    near = np.abs(differences) <= 3.0 / 0.6745 * np.median(np.abs(differences[::16]))
    return np.mean(differences[near] ** 2) / 0.9733


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9))
def test_differences_are_those_of_known_neighbours_in_every_cell(ny, nx, unknown, seed):
    rng = np.random.default_rng(seed)
    value = rng.normal(size=(ny, nx)).astype(np.float32)
    weight = np.where(rng.random((ny, nx)) < unknown, 0, rng.uniform(1, 9, (ny, nx)))
    sky = rng.random((ny, nx)) >= 0.5 * unknown
    found = NeighbourDifferences.of(value, weight.astype(np.float32), sky, CELL_PX)
    unit = np.where(sky & (weight > 0), value * np.sqrt(weight), np.nan)
    for row, y0 in enumerate(range(0, ny, CELL_PX)):
        for column, x0 in enumerate(range(0, nx, CELL_PX)):
            every_second = unit[y0 : y0 + CELL_PX : 2, x0 : x0 + CELL_PX + 1]
            below = unit[y0 + 1 : y0 + CELL_PX + 1 : 2, x0 : x0 + CELL_PX]
            along_y = below - every_second[: len(below), :CELL_PX]
            for axis, each in enumerate((np.diff(every_second), along_y)):
                known = each[np.isfinite(each)]
                assert found.number[row, column, axis] == known.size
                wanted = variance_of(known)
                assert found.variance[row, column, axis] == pytest.approx(wanted, rel=1e-4)


def test_what_stands_out_counts_little():
    rng = np.random.default_rng(1)
    value = rng.normal(size=(CELL_PX, CELL_PX)).astype(np.float32)
    everywhere = np.ones_like(value), np.ones(value.shape, bool)
    clean = NeighbourDifferences.of(value, *everywhere, CELL_PX)
    value[10:12, 5:9] += 1e4
    struck = NeighbourDifferences.of(value, *everywhere, CELL_PX)
    np.testing.assert_allclose(struck.variance, clean.variance, rtol=0.05)
    np.testing.assert_allclose(clean.variance, 2.0, rtol=0.2)
