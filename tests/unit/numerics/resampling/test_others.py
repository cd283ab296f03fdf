"""The mosaic of all the others, whatever tiles it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from others_by_subtraction import leave_one_out
from scipy import ndimage

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.others import GUARD_PX, Others

BOX = PixelBox(3, 5, 3 + 37, 5 + 29)
FRAME = PixelBox(0, 0, 50, 48)


def exposure(box: PixelBox, seed: int) -> Contribution:
    rng = np.random.default_rng(seed)
    weight = np.where(rng.random(box.shape) < 0.02, 0, rng.uniform(1, 9, box.shape))
    return Contribution(box, weight * rng.normal(size=box.shape), weight).narrowed()


def tiles_of(total: Contribution, height: int, width: int) -> list[Contribution]:
    corners = [(x, y) for y in range(0, FRAME.y1, height) for x in range(0, FRAME.x1, width)]
    return [total.cut(PixelBox(x, y, x + width, y + height)) for x, y in corners]


def bands_of(own: Contribution, box: PixelBox, height: int = 99) -> list[Contribution]:
    """An exposure as it is looked at: rows of a box, so many at a time."""
    return [
        own.cut(PixelBox(box.x0, y, box.x1, min(y + height, box.y1)))
        for y in range(box.y0, box.y1, height)
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.integers(1, 40), st.booleans())
def test_others_are_those_of_the_difference_of_sums_however_tiles_and_bands_lie(
    height, width, band, is_small
):
    own = exposure(PixelBox(9, 9, 30, 30) if is_small else FRAME, 1)
    total = merge([own, exposure(FRAME, 2), exposure(PixelBox(0, 0, 20, 48), 3)], FRAME)
    found = Others.of(tiles_of(total, height, width), bands_of(own, BOX, band), BOX)
    left = leave_one_out(total.cut(BOX), own)
    mine = own.cut(BOX).weight
    share = np.divide(mine, left.weight + mine, out=np.zeros_like(mine), where=mine > 0)
    assert found.value.tobytes() == left.mean().value.tobytes()
    near = ndimage.maximum_filter(left.weight == 0, size=2 * GUARD_PX + 1, mode="nearest")
    assert found.weight.tobytes() == np.where(near, np.float32(0), left.weight).tobytes()
    assert found.share.tobytes() == share.tobytes()


boxes = st.builds(
    lambda x, y, w, h: PixelBox(x, y, x + w, y + h),
    *(st.integers(0, 25) for _ in "xy"),
    *(st.integers(1, 30) for _ in "wh"),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes, min_size=1, max_size=5), st.data())
def test_the_others_are_those_that_were_never_added(parts, data):
    given = [exposure(box, seed) for seed, box in enumerate(parts)]
    out = data.draw(st.integers(0, len(parts) - 1))
    found = Others.of([merge(given, FRAME)], bands_of(given[out], FRAME), FRAME)
    rest = merge(given[:out] + given[out + 1 :], FRAME)
    wanted = Others.of([rest], bands_of(Contribution.empty(FRAME), FRAME), FRAME)
    np.testing.assert_array_equal(found.weight == 0, wanted.weight == 0)
    np.testing.assert_allclose(found.weight, wanted.weight, rtol=1e-6)
    np.testing.assert_allclose(found.value, wanted.value, rtol=1e-6, atol=1e-6)


def test_what_is_left_of_much_is_taken_from_the_whole_sum_not_from_a_rounded_one():
    box = PixelBox(0, 0, 1, 1)
    own = Contribution(box, np.array([[1e6]], np.float32), np.array([[1e4]], np.float32))
    total = Contribution(box, np.array([[1e6 + 0.01]]), np.array([[1e4 + 0.1]]))
    found = Others.of([total], [own], box)
    assert found.weight[0, 0] == pytest.approx(0.1, rel=1e-6)
    assert found.value[0, 0] == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(("share", "is_left"), [(1e-7, False), (1e-5, True)])
def test_a_millionth_of_the_weight_is_rounding(share, is_left):
    box = PixelBox(0, 0, 1, 1)
    total = Contribution(box, np.array([[3.0]]), np.array([[1.0]]))
    own = Contribution(box, np.array([[3.0]]), np.array([[1.0 - share]]))
    found = Others.of([total], [own], box)
    assert bool(found.weight[0, 0] > 0) is is_left


def test_tiles_that_leave_a_gap_are_refused():
    total = merge([exposure(FRAME, 2)], FRAME)
    box = PixelBox(3, 12, 40, 48)
    bands = bands_of(exposure(BOX, 1), box)
    with pytest.raises(ValueError, match="cover 888 pixels of"):
        Others.of(tiles_of(total, 24, 50)[1:], bands, box)
    with pytest.raises(ValueError, match="cover 0 pixels of"):
        Others.of(tiles_of(total, 24, 50), [], box)


def test_who_looks_is_shown_each_band_once_with_what_the_others_have_there():
    own = exposure(BOX, 1)
    total = merge([own, exposure(FRAME, 2)], FRAME)
    shown = []
    # What is shown may lie where the next band will.
    found = Others.of(
        tiles_of(total, 20, 20),
        bands_of(own, BOX, 7),
        BOX,
        lambda band: shown.append((band.box, *(plane.copy() for plane in band[1:]))),
    )
    assert [box.y0 for box, *_ in shown] == list(range(BOX.y0, BOX.y1, 7))
    whole = [np.concatenate(planes) for planes in list(zip(*shown, strict=True))[1:]]
    for plane, wanted in zip(
        whole, (own.numerator, own.weight, found.value, found.share), strict=True
    ):
        np.testing.assert_array_equal(plane, wanted)


def test_nothing_has_no_others():
    nowhere = PixelBox(4, 4, 4, 9)
    found = Others.of([], bands_of(exposure(FRAME, 1), nowhere), nowhere)
    assert found.value.shape == found.weight.shape == found.share.shape == (5, 0)


def test_planes_are_read_only():
    own = bands_of(exposure(FRAME, 1), BOX)
    others = Others.of([merge([exposure(FRAME, 2)], FRAME)], own, BOX)
    with pytest.raises(ValueError, match="read-only"):
        others.value[0, 0] = 1.0
