"""From the pixels of the mosaic's grid to the pixels of a chip, by way of a coarse lattice.

Newton's method on the forward map gives the place of one point; it is asked at a few points of
each cell of the grid that the chip touches, and a bicubic through them does the rest. Cells
stand alone, so nothing needs to be known far beyond the chip.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.sky.lattice import Bicubics, Lattice, bicubics
from alignsvc.numerics.sky.pixel_map import PixelMap, coarsest_that_will_do

#: Side of a cell tried first, chip pixels.
COARSEST_STEP = 128
#: A cubic goes through its values at these places along a cell.
_NODES = np.arange(4) / 3
#: Where a cubic through those is farthest from a smooth function, nearly.
_FARTHEST = np.array([1.0, 5.0]) / 6


@dataclass(frozen=True, slots=True, eq=False)
class InverseMap:
    """The map from a grid's pixels to a chip's; see `build_inverse_map`.

    Parameters
    ----------
    bicubics : Bicubics
        Chip x and y; NaN in cells that the chip does not touch.
    error_px : float
        Largest distance found from the inverse of the forward map, chip pixels.
    """

    bicubics: Bicubics
    error_px: float

    def positions(self, box: PixelBox, out: FloatArray | None = None) -> FloatArray:
        """Return chip (x, y) of all grid pixels of a box: ``(2, ny, nx)``, in `out` if given.

        NaN far from the chip; within a cell of it, positions beyond its edges.
        """
        return self.bicubics.at_pixels(box, out)


def build_inverse_map(pixel_map: PixelMap, box: PixelBox, tolerance_px: float = 1e-4) -> InverseMap:
    """Return the inverse of a map over a box of the grid, on the coarsest lattice that will do.

    The step starts at 128 chip pixels and is halved until the error, found between the points
    through which the bicubics go, is below `tolerance_px` (chip pixels); as with the forward map,
    at the finest step up to 1e-3 px is accepted.

    Raises
    ------
    DataError
        BAD_WCS: no lattice reaches 1e-3 px.
    """
    middle = Points(*(np.asarray((n - 1) / 2) for n in pixel_map.shape[::-1]))
    scale = float(np.sqrt(np.abs(np.linalg.det(pixel_map.jacobian(middle)))))
    return coarsest_that_will_do(
        "its inverse",
        COARSEST_STEP,
        tolerance_px,
        lambda step: _fitted(pixel_map, box, step, scale),
    )


def _fitted(pixel_map: PixelMap, box: PixelBox, step: float, scale: float) -> InverseMap:
    """Return the inverse with this step, its error measured."""
    columns = Lattice.over(box.x0 - 1.0, box.x1, step * scale)
    rows = Lattice.over(box.y0 - 1.0, box.y1, step * scale)
    touched = _touched(pixel_map, (columns, rows), scale)
    # Corners of a cell that touches the chip lie at most its diagonal beyond the chip.
    beyond = 1.5 * step
    nodes = _in_cells(pixel_map, (columns, rows), touched, _NODES, beyond)
    # (cells, 4 of y, 4 of x, 2) to coefficients, highest power first
    powers = np.linalg.inv(np.vander(_NODES))
    cells = np.full((rows.n_cells, columns.n_cells, 2, 4, 4), np.nan)
    cells[touched] = np.einsum("ap,bq,npqf->nfab", powers, powers, nodes, optimize=True)
    cubics = bicubics(columns, rows, cells)
    true = _in_cells(pixel_map, (columns, rows), touched, _FARTHEST, beyond)
    v = np.vander(_FARTHEST, 4)
    there = np.einsum("pa,qb,nfab->npqf", v, v, cells[touched], optimize=True)
    off = np.hypot(*np.moveaxis(there - true, -1, 0))
    return InverseMap(cubics, float(off.max(initial=0.0)) if np.isfinite(off).all() else np.inf)


def _touched(pixel_map: PixelMap, lattices: tuple[Lattice, Lattice], scale: float) -> BoolArray:
    """Return the cells that the chip may touch, shape (y cells, x cells)."""
    columns, rows = lattices
    ny, nx = pixel_map.shape
    touched = np.zeros((rows.n_cells, columns.n_cells), bool)
    side = min(columns.spacing, rows.spacing) / scale
    # Within: samples half a cell apart leave none out. Along the edges: closer, and what is near.
    within_x, within_y = (np.linspace(-0.5, n - 0.5, 2 + int(2 * n / side)) for n in (nx, ny))
    close = min(8.0, side / 2)
    edge_x, edge_y = (np.linspace(-0.5, n - 0.5, 2 + int(n / close)) for n in (nx, ny))
    ends_x, ends_y = np.array([-0.5, nx - 0.5]), np.array([-0.5, ny - 0.5])
    for x, y, near in (
        (within_x, within_y, 0.0),
        (edge_x, ends_y, close * scale),
        (ends_x, edge_y, close * scale),
    ):
        grid = pixel_map.to_grid(Points(*np.meshgrid(x, y)))
        for dx, dy in ((-near, -near), (-near, near), (near, -near), (near, near)):
            at_x, at_y = grid.x + dx, grid.y + dy
            inside = (at_x >= columns.start) & (at_x <= columns.end)
            inside &= (at_y >= rows.start) & (at_y <= rows.end)
            touched[rows.locate(at_y[inside])[0], columns.locate(at_x[inside])[0]] = True
    return touched


def _in_cells(
    pixel_map: PixelMap,
    lattices: tuple[Lattice, Lattice],
    touched: BoolArray,
    along: FloatArray,
    beyond: float,
) -> FloatArray:
    """Return chip x, y at places along each touched cell: ``(cells, along y, along x, 2)``."""
    columns, rows = lattices
    row, column = np.nonzero(touched)
    x = columns.start + columns.spacing * (column[:, None] + along)
    y = rows.start + rows.spacing * (row[:, None] + along)
    chip = pixel_map.to_chip(Points(x[:, None, :], y[:, :, None]), beyond)
    return np.stack(chip, axis=-1)
