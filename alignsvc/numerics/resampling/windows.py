"""Which pixels of the grid a few pixels of a chip reach, and which others reach there too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Side of a cell: of a chip, chip pixels, and of the grid, grid pixels.
_CELL = 16
#: How far a map may bulge beyond the corners of a cell, grid pixels: less than a pixel, as it is
#: smooth within 4 px (`pixel_map.FINEST_STEP`) and nearly linear over 16.
_BULGE_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ChipWindows:
    """The cells of a chip, and how far its pixels reach.

    Parameters
    ----------
    edges_x, edges_y : int64 arrays
        First pixels of the cells, and one beyond the last.
    lowest, highest : float64 arrays, shape (2, y cells, x cells)
        Grid x and y that bound the centres of a cell's pixels.
    reach : int
        A pixel whose centre lies at p adds to grid pixels whose centres are nearer to p than this
        along both axes.
    """

    edges_x: IntArray
    edges_y: IntArray
    lowest: FloatArray
    highest: FloatArray
    reach: int

    @classmethod
    def of(cls, pixel_map: PixelMap, reach: int) -> ChipWindows:
        """Return the cells of a chip with this map."""
        ny, nx = pixel_map.shape
        edges_x, edges_y = _edges(nx), _edges(ny)
        corner_x, corner_y = edges_x.astype(float) - 0.5, edges_y.astype(float) - 0.5
        place = np.stack(pixel_map.to_grid(Points(corner_x[None, :], corner_y[:, None])))
        corners = [
            place[:, rows, columns]
            for rows in (slice(None, -1), slice(1, None))
            for columns in (slice(None, -1), slice(1, None))
        ]
        lowest = np.minimum.reduce(corners) - _BULGE_PX
        highest = np.maximum.reduce(corners) + _BULGE_PX
        return cls(edges_x, edges_y, lowest, highest, reach)

    def feeding(self, box: PixelBox) -> PixelBox:
        """Return a window of the chip that holds all pixels that reach `box`; empty if none do."""
        from_x, from_y = box.x0 - self.reach, box.y0 - self.reach
        to_x, to_y = box.x1 - 1 + self.reach, box.y1 - 1 + self.reach
        near = (self.highest[0] >= from_x) & (self.lowest[0] <= to_x)
        near &= (self.highest[1] >= from_y) & (self.lowest[1] <= to_y)
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not len(rows):
            return PixelBox(0, 0, 0, 0)
        return PixelBox(
            int(self.edges_x[columns[0]]),
            int(self.edges_y[rows[0]]),
            int(self.edges_x[columns[-1] + 1]),
            int(self.edges_y[rows[-1] + 1]),
        )


def boxes_around(pixel_map: PixelMap, pixels: Points, spread: int, reach: int) -> list[PixelBox]:
    """Return boxes of the grid that hold all that some pixels of a chip reach.

    Near ones share a box; boxes may overlap.

    Parameters
    ----------
    pixel_map : PixelMap
    pixels : Points
        x and y of pixels of the chip, shape (n,).
    spread : int
        So many pixels around each of them change with it, in x and in y.
    reach : int
        As of `ChipWindows`.
    """
    if not len(pixels.x):
        return []
    centre, jacobian = pixel_map.to_grid(pixels), np.abs(pixel_map.jacobian(pixels))
    half = (jacobian.sum(axis=2) * (spread + 0.5) + _BULGE_PX + reach).T
    side = max(_CELL, 2 * math.ceil(float(half.max())) + 1)
    first = np.floor((np.stack(centre) - half) / side).astype(np.int64)
    last = np.floor((np.stack(centre) + half) / side).astype(np.int64)
    origin = first.min(axis=1)
    marks = np.zeros(tuple((last.max(axis=1) - origin + 1)[::-1]), bool)
    for x in (first[0], last[0]):
        for y in (first[1], last[1]):
            marks[y - origin[1], x - origin[0]] = True
    joined, _ = ndimage.label(marks, np.ones((3, 3), bool))
    return [
        PixelBox(
            side * (columns.start + int(origin[0])),
            side * (rows.start + int(origin[1])),
            side * (columns.stop + int(origin[0])),
            side * (rows.stop + int(origin[1])),
        )
        for rows, columns in ndimage.find_objects(joined)
    ]


def _edges(n_pixels: int) -> IntArray:
    """Return the first pixels of cells of nearly equal sides, and one beyond the last."""
    n_cells = max(1, round(n_pixels / _CELL))
    return np.linspace(0, n_pixels, n_cells + 1).round().astype(np.int64)
