"""The mosaic of all the others, whatever tiles it is made from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution, leave_one_out, merge
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


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 60), st.integers(5, 60), st.booleans())
def test_others_are_those_of_the_difference_of_sums_however_tiles_lie(height, width, is_small):
    own = exposure(PixelBox(9, 9, 30, 30) if is_small else FRAME, 1)
    total = merge([own, exposure(FRAME, 2), exposure(PixelBox(0, 0, 20, 48), 3)], FRAME)
    found = Others.of(tiles_of(total, height, width), own, BOX)
    left = leave_one_out(total.cut(BOX), own)
    mine = own.cut(BOX).weight
    share = np.divide(mine, left.weight + mine, out=np.zeros_like(mine), where=mine > 0)
    assert found.value.tobytes() == left.mean().value.tobytes()
    near = ndimage.maximum_filter(left.weight == 0, size=2 * GUARD_PX + 1, mode="nearest")
    assert found.weight.tobytes() == np.where(near, np.float32(0), left.weight).tobytes()
    assert found.share.tobytes() == share.tobytes()


def test_tiles_that_leave_a_gap_are_refused():
    total = merge([exposure(FRAME, 2)], FRAME)
    with pytest.raises(ValueError, match="the tiles cover 888 pixels of"):
        Others.of(tiles_of(total, 24, 50)[1:], exposure(BOX, 1), PixelBox(3, 12, 40, 48))


def test_nothing_has_no_others():
    nowhere = PixelBox(4, 4, 4, 9)
    found = Others.of([], exposure(FRAME, 1), nowhere)
    assert found.value.shape == found.weight.shape == found.share.shape == (5, 0)


def test_planes_are_read_only():
    others = Others.of([merge([exposure(FRAME, 2)], FRAME)], exposure(FRAME, 1), BOX)
    with pytest.raises(ValueError, match="read-only"):
        others.value[0, 0] = 1.0
