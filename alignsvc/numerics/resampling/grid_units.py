"""Where a chip falls in the grid, and its pixels in units of grid pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap


@dataclass(frozen=True, slots=True, eq=False)
class RowsInGridUnits:
    """Some rows of a chip, as values per grid pixel.

    Parameters
    ----------
    pixels : float32 array, shape (rows, nx)
        Flux per grid pixel's area: the chip's pixels over ``a``.
    weight : float32 array, shape (rows, nx)
        Inverse variance of that: the chip's weight times ``a^2``.
    area : float32 array, shape (rows, nx)
        a, grid pixels per chip pixel.
    """

    pixels: Float32Array
    weight: Float32Array
    area: Float32Array


def in_grid_units(
    chip: CalibratedChip, pixel_map: PixelMap, y0: int, y1: int, x0: int = 0
) -> RowsInGridUnits:
    """Return the chip's rows y0 to y1 - 1 as values per grid pixel.

    `chip` may have some columns of the map's only, from x0 on.

    Resampling averages surface brightness. A chip pixel of flux f that covers a grid pixels
    (the determinant of the map's Jacobian, which a distortion changes over the chip) has f / a
    per grid pixel; so fluxes of stars are conserved, and a flat sky in flux per solid angle,
    not in flux per chip pixel, comes out flat.
    """
    area = pixel_map.area_rows(y0, y1, x0, x0 + chip.shape[1])
    weight = chip.weight[y0:y1] * area
    weight *= area
    # A pixel of weight 0 may hold anything, even what is not a number: it must change nothing.
    pixels = np.zeros(weight.shape, np.float32)
    np.divide(chip.pixels[y0:y1], area, out=pixels, where=weight > 0)
    return RowsInGridUnits(pixels, weight, area)


def chip_box(pixel_map: PixelMap, reach: int) -> PixelBox:
    """Return the box of the grid's plane that holds the chip, `reach` pixels wider on each side.

    Not cut to the grid. The outline of the pixels' area is followed, not only its corners, as
    a distorted edge may bulge.
    """
    ny, nx = pixel_map.shape
    x, y = np.linspace(-0.5, nx - 0.5, 65), np.linspace(-0.5, ny - 0.5, 65)
    edge_x = np.concatenate([x, x, np.full(65, -0.5), np.full(65, nx - 0.5)])
    edge_y = np.concatenate([np.full(65, -0.5), np.full(65, ny - 0.5), y, y])
    return PixelBox.around(pixel_map.to_grid(Points(edge_x, edge_y))).expand(reach)
