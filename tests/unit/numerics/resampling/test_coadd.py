"""Sums of contributions: order and cutting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import (
    Contribution,
    merge,
    merge_chips,
)


def contribution(box: PixelBox, seed: int = 0) -> Contribution:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2.0, box.shape).astype(np.float32)
    return Contribution(box, weight * rng.normal(size=box.shape).astype(np.float32), weight)


boxes = st.builds(
    lambda x, y, w, h: PixelBox(x, y, x + w, y + h),
    st.integers(-5, 15),
    st.integers(-5, 15),
    st.integers(1, 15),
    st.integers(1, 15),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes, max_size=5), boxes, boxes)
def test_merging_by_tiles_is_cutting_the_merged_whole(
    parts: list[PixelBox], whole: PixelBox, tile: PixelBox
) -> None:
    tile = tile.intersect(whole)
    if tile.is_empty:
        return
    contributions = [contribution(box, seed) for seed, box in enumerate(parts)]
    by_tile = merge(contributions, tile)
    from_whole = merge(contributions, whole).cut(tile)
    np.testing.assert_array_equal(by_tile.numerator, from_whole.numerator)
    np.testing.assert_array_equal(by_tile.weight, from_whole.weight)


def test_the_sum_is_taken_in_the_order_given_and_in_float64() -> None:
    box = PixelBox(0, 0, 1, 1)
    one = np.ones((1, 1), np.float32)
    parts = [Contribution(box, np.float32(v) * one, one) for v in (1e8, 1.0, -1e8)]
    total = merge(iter(parts), box)
    assert total.numerator.dtype == np.float64
    assert total.numerator[0, 0] == 1.0  # float32 would have lost the 1
    assert total.weight[0, 0] == 3.0


def test_the_mean_is_zero_in_holes_and_says_where_they_are() -> None:
    box = PixelBox(0, 0, 2, 1)
    value, hole = Contribution(box, np.array([[6.0, 0.0]]), np.array([[2.0, 0.0]])).mean()
    assert value.tolist() == [[3.0, 0.0]]
    assert hole.tolist() == [[False, True]]


def test_cutting_beyond_the_box_gives_nothing_there() -> None:
    part = contribution(PixelBox(2, 2, 4, 4)).cut(PixelBox(3, 3, 6, 6))
    assert part.weight.shape == (3, 3)
    assert np.count_nonzero(part.weight) == 1
    assert contribution(PixelBox(2, 2, 4, 4)).cut(PixelBox(8, 8, 9, 9)).is_empty


def test_chips_of_an_exposure_are_summed_over_the_box_that_holds_them() -> None:
    chips = [contribution(PixelBox(0, 0, 4, 4), 1), contribution(PixelBox(6, 2, 9, 8), 2)]
    whole = merge_chips(chips)
    assert whole.box == PixelBox(0, 0, 9, 8)
    assert whole.weight.dtype == np.float32
    np.testing.assert_array_equal(whole.cut(chips[1].box).numerator, chips[1].numerator)
    assert merge_chips(chips[:1]).numerator is not None
    assert merge_chips([]).box.is_empty


def test_a_contribution_cannot_be_changed_nor_be_of_another_shape() -> None:
    part = contribution(PixelBox(0, 0, 2, 2))
    with pytest.raises(ValueError, match="read-only"):
        part.weight[0, 0] = 1.0
    with pytest.raises(ValueError, match="numerator has shape"):
        Contribution(PixelBox(0, 0, 2, 2), np.zeros((3, 3)), np.zeros((2, 2)))
