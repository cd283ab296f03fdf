"""Sources are measured together with those whose templates are about as wide."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.numerics.displacement.windows.chunks import (
    PIXELS_AT_ONCE,
    PIXELS_PER_CHUNK,
    chunks_of_least_work,
)
from alignsvc.numerics.displacement.windows.sizes import Sides

SIDES = st.lists(st.sampled_from([38, 40, 44, 52, 66, 150, 600]), max_size=200)


def work(side: np.ndarray, chunks: list[np.ndarray]) -> int:
    """Pixels that are blotted, and what the calls cost."""
    return sum(len(chunk) * int(side[chunk].max()) ** 2 + PIXELS_PER_CHUNK for chunk in chunks)


@given(SIDES)
def test_each_source_is_in_one_chunk(sides):
    chunks = list(chunks_of_least_work(np.array(sides, np.int64)))
    assert all(len(chunk) for chunk in chunks)
    assert sorted(np.concatenate([[], *chunks]).tolist()) == list(range(len(sides)))


@given(SIDES)
def test_no_chunk_has_more_pixels_than_are_worked_on_at_once_unless_one_source_has(sides):
    side = np.array(sides, np.int64)
    for chunk in chunks_of_least_work(side):
        assert len(chunk) == 1 or len(chunk) * side[chunk].max() ** 2 <= PIXELS_AT_ONCE


@given(st.lists(st.sampled_from([38, 40, 44, 52, 66]), min_size=1, max_size=30))
def test_no_other_division_by_width_is_less_work(sides):
    side = np.array(sides, np.int64)
    found = work(side, list(chunks_of_least_work(side)))
    kinds = np.unique(side)
    for n in range(len(kinds)):
        for ends in combinations(kinds[:-1], n):
            run = np.searchsorted(ends, side)
            assert found <= work(side, [np.flatnonzero(run == k) for k in np.unique(run)])


def test_few_wide_sources_do_not_widen_the_templates_of_many_narrow_ones():
    side = np.array([66] * 20 + [40] * 80, np.int64)
    chunks = list(chunks_of_least_work(side))
    assert [set(side[chunk]) for chunk in chunks] == [{40}, {66}]


def test_a_source_a_little_wider_than_the_others_is_measured_with_them():
    (chunk,) = chunks_of_least_work(np.array([42] * 9 + [44], np.int64))
    assert len(chunk) == 10


@pytest.mark.parametrize("cutout", [24, 33, 48])
def test_sides_of_templates_are_those_of_the_windows_that_hold_the_discs(cutout):
    sides, radius = Sides(cutout, 5), np.array([7.0, 7.2, 12.0, 8.0, 40.0, 7.0])
    wanted = [sides.holding(one).template for one in radius]
    assert sides.templates(radius).tolist() == wanted
