"""Which pixels of the grid a saturated pixel of an exposure lies on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap


def saturated_grid_pixels(chip: CalibratedChip, pixel_map: PixelMap) -> IntArray:
    """Return the grid pixels within one pixel of a chip's saturated ones, shape ``(n, 2)``, x y.

    One pixel on each side, because a saturated pixel leaves a hole in the mosaic: it is the rim
    of the hole that a detected source holds.
    """
    y, x = np.divmod(np.flatnonzero(chip.saturated), chip.shape[1])
    place = pixel_map.to_grid(Points(x.astype(float), y.astype(float)))
    inside = np.isfinite(place.x) & np.isfinite(place.y)
    middle = np.rint(np.stack([place.x[inside], place.y[inside]], axis=1)).astype(np.int64)
    around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(1, 9, 2)
    return np.unique((middle[:, None, :] + around).reshape(-1, 2), axis=0)


def as_mask(pixels: Iterable[IntArray], box: PixelBox) -> BoolArray:
    """Return a mask of `box`, True at grid pixels of any of the lists; others do not matter."""
    mask = np.zeros(box.shape, bool)
    for each in pixels:
        x, y = each[:, 0] - box.x0, each[:, 1] - box.y0
        inside = (x >= 0) & (x < mask.shape[1]) & (y >= 0) & (y < mask.shape[0])
        mask[y[inside], x[inside]] = True
    return mask
