"""A chip drizzled row by row: a row is placed, converted and dropped while it is in the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.drops import SumPlanes, drop_room, drop_row
from alignsvc.numerics.resampling.grid_units import convert_rows, middle_jacobian, middle_scale
from alignsvc.numerics.resampling.phase_skew import NO_MOMENTS, Moments, add_skew, moments_of
from alignsvc.numerics.sky.lattice import Located, evaluate_rows, interpolate_rows
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Where rows lie: grid x and y, areas, and row and column of the first pixel.
_Where: TypeAlias = tuple[Located, Located, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TurboDrops:
    """Adds chip pixels, each as a square along the grid's axes, by the areas that it shares.

    Parameters
    ----------
    pixfrac : float
        Side of a drop, chip pixels.
    unskewed : bool
        Whether what the phase of the pixel makes lopsided is taken off.

    Notes
    -----
    The library's `turbo` to the rounding of float32. What a pixel of the sums gets depends only
    on the chip pixels that reach it, row after row: not on where the box of the sums ends, nor on
    how a chip is cut into parts, as long as they come in order.
    """

    pixfrac: float
    unskewed: bool

    def __call__(
        self, chip: CalibratedChip, pixel_map: PixelMap, part: PixelBox, sums: SumPlanes
    ) -> None:
        """Add a part of a chip; what falls beyond the box of the sums is lost."""
        if part.is_empty:
            return
        moments = moments_of(middle_jacobian(pixel_map)) if self.unskewed else NO_MOMENTS
        located = pixel_map.bicubics.located(part), pixel_map.node_areas.located(part)
        side = self.pixfrac * middle_scale(pixel_map)
        _drop_rows(
            (chip.pixels, chip.weight),
            (*located, (part.y0, part.x0)),
            moments,
            (side, sums.box.x0, sums.box.y0),
            (sums.numerator, sums.weight),
        )


@compiled
def _drop_rows(
    planes: tuple[Float32Array, Float32Array],
    where: _Where,
    moments: Moments,
    frame: tuple[float, int, int],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    (cells, (row, v), columns), (nodes, (area_row, area_v), area_columns), (y0, x0) = where
    n = len(columns[1])
    places, less = np.empty((2, 1, n)), np.zeros((1, n), np.float32)
    area, pixels = np.empty((1, n), np.float32), np.empty((1, n), np.float32)
    weight, room = np.empty((1, n), np.float32), drop_room(n)
    for r in range(len(row)):
        here = slice(r, r + 1)
        evaluate_rows(cells, (row[here], v[here]), columns, places)
        interpolate_rows(nodes, (area_row[here], area_v[here]), area_columns, area)
        add_skew(planes, (y0 + r, x0), places, moments, less)
        convert_rows(planes, (y0 + r, x0), less, (pixels, weight, area))
        drop_row((pixels[0], weight[0]), (places[0, 0], places[1, 0]), frame, room, sums)
