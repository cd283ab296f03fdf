"""The curve visits each cell once, and never jumps."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.sky.space_curve import hilbert_index


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_each_cell_has_a_place_and_neighbours_on_the_curve_share_an_edge(bits: int) -> None:
    row, column = np.indices((1 << bits, 1 << bits)).reshape(2, -1)
    index = hilbert_index(column, row, bits)
    assert sorted(index) == list(range(4**bits))
    order = np.argsort(index)
    steps = np.abs(np.diff(row[order])) + np.abs(np.diff(column[order]))
    assert (steps == 1).all()


def test_what_lies_beyond_counts_as_the_nearest_cell() -> None:
    assert hilbert_index(-3, 9, 2) == hilbert_index(0, 3, 2)
