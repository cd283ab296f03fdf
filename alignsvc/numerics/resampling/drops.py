"""Square drops along the grid's axes ("turbo"), summed as value x weight and weight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.grid_units import PartInGridUnits


class PlacedPart(NamedTuple):
    """Pixels of a chip, shape (ny, nx), and their grid x and y, shape (2, ny, nx)."""

    part: PartInGridUnits
    positions: FloatArray


class SumPlanes(NamedTuple):
    """Sums over a box of the grid's plane, to which chip pixels are added.

    Attributes
    ----------
    box : PixelBox
    numerator, weight : float32 arrays, both of the box's shape, writable
        Sums of value x weight and of weight.
    """

    box: PixelBox
    numerator: Float32Array
    weight: Float32Array

    @classmethod
    def zeros(cls, box: PixelBox) -> SumPlanes:
        """Return those of nothing."""
        return cls(box, np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32))


@dataclass(frozen=True, slots=True)
class TurboDrops:
    """Adds chip pixels, each as a square along the grid's axes, by the areas that it shares.

    Parameters
    ----------
    side : float
        Of a drop, grid pixels.

    Notes
    -----
    The library's `turbo` to the rounding of float32. What a pixel of the sums gets depends only
    on the chip pixels that reach it, row after row: not on where the box of the sums ends, nor on
    how a chip is cut into parts, as long as they come in order.
    """

    side: float

    def __call__(self, parts: Iterable[PlacedPart], sums: SumPlanes) -> None:
        """Add parts of a chip; what falls beyond the box of the sums is lost."""
        for part, positions in parts:
            drop(
                (part.pixels, part.weight),
                positions,
                (self.side, sums.box.x0, sums.box.y0),
                (sums.numerator, sums.weight),
            )


@compiled
def drop(
    planes: tuple[Float32Array, Float32Array],
    positions: FloatArray,
    frame: tuple[float, int, int],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add drops; `frame` is their side, and x and y of the first pixel of the sums.

    Of each drop the pixel that holds its upper right corner is found first, and how far the drop
    reaches into it. Nearly all drops cover that pixel, its left, its lower and its lower left
    neighbour.
    """
    values, weights = planes
    wide, x0, y0 = frame
    numerator, total = sums[0].reshape(-1), sums[1].reshape(-1)
    ny, nx = sums[0].shape
    n = values.shape[1]
    column, row = np.empty(n, np.int32), np.empty(n, np.int32)
    reach_x, reach_y = np.empty(n, np.float32), np.empty(n, np.float32)
    to_corner, side, none = 0.5 + 0.5 * wide, np.float32(wide), np.float32(0.0)
    per_area = np.float32(1.0 / wide**2)
    for r in range(values.shape[0]):
        for c in range(n):
            x, y = positions[0, r, c] + to_corner, positions[1, r, c] + to_corner
            whole_x, whole_y = np.floor(x), np.floor(y)
            column[c], row[c] = np.int32(whole_x - x0), np.int32(whole_y - y0)
            reach_x[c], reach_y[c] = np.float32(x - whole_x), np.float32(y - whole_y)
        for c in range(n):
            weight = weights[r, c] * per_area
            if not weight > none:
                continue
            value = values[r, c]
            i, j, dx, dy = column[c], row[c], reach_x[c], reach_y[c]
            left, below = side - dx, side - dy
            if left <= 1 and left >= 0 and below <= 1 and below >= 0 and 0 < i < nx and 0 < j < ny:
                at = np.uint64(j) * np.uint64(nx) + np.uint64(i)
                under = at - np.uint64(nx)
                dy *= weight
                below *= weight
                numerator[under - np.uint64(1)] += left * below * value
                total[under - np.uint64(1)] += left * below
                numerator[under] += dx * below * value
                total[under] += dx * below
                numerator[at - np.uint64(1)] += left * dy * value
                total[at - np.uint64(1)] += left * dy
                numerator[at] += dx * dy * value
                total[at] += dx * dy
            else:
                _drop_anywhere((i, j), (dx, dy, side), (value, weight), sums)


@compiled
def _drop_anywhere(
    corner: tuple[int, int],
    reach: tuple[np.float32, np.float32, np.float32],
    what: tuple[np.float32, np.float32],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add one drop of any size, the part of it within the sums."""
    dx, dy, side = reach
    value, weight = what
    j, rest_y = corner[1], side
    part_y = min(dy, side)
    while rest_y > 0:
        i, rest_x = corner[0], side
        part_x = min(dx, side)
        while rest_x > 0:
            if 0 <= j < sums[0].shape[0] and 0 <= i < sums[0].shape[1]:
                share = part_x * (part_y * weight)
                sums[0][j, i] += share * value
                sums[1][j, i] += share
            rest_x -= part_x
            part_x = min(np.float32(1.0), rest_x)
            i -= 1
        rest_y -= part_y
        part_y = min(np.float32(1.0), rest_y)
        j -= 1
