"""Where a chip falls in the grid, and its pixels in units of grid pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Pixels of a band: their map takes 1 MB.
_PIXELS_AT_ONCE = 1 << 16


class PartInGridUnits(NamedTuple):
    """Some pixels of a chip, as values per grid pixel.

    Attributes
    ----------
    pixels : float32 array, shape (ny, nx)
        Flux per grid pixel's area: the chip's pixels over ``a``; 0 where the weight is 0.
    weight : float32 array, shape (ny, nx)
        Inverse variance of that: the chip's weight times ``a^2``.
    area : float32 array, shape (ny, nx)
        a, grid pixels per chip pixel.
    """

    pixels: Float32Array
    weight: Float32Array
    area: Float32Array

    @classmethod
    def empty(cls, part: PixelBox) -> PartInGridUnits:
        """Return one to be written to."""
        return cls(*(np.empty(part.shape, np.float32) for _ in cls._fields))


def in_grid_units(
    chip: CalibratedChip,
    pixel_map: PixelMap,
    part: PixelBox,
    less: Float32Array | None = None,
    out: PartInGridUnits | None = None,
) -> PartInGridUnits:
    """Return a box of the chip, less what is given of it, as values per grid pixel.

    It is written to `out` if that is given.

    Resampling averages surface brightness. A chip pixel of flux f that covers a grid pixels
    (the determinant of the map's Jacobian, which a distortion changes over the chip) has f / a
    per grid pixel; so fluxes of stars are conserved, and a flat sky in flux per solid angle,
    not in flux per chip pixel, comes out flat.
    """
    out = PartInGridUnits.empty(part) if out is None else out
    pixel_map.areas(part, out.area)
    off = np.zeros(part.shape, np.float32) if less is None else less
    planes = (out.pixels, out.weight, out.area)
    convert_rows((chip.pixels, chip.weight), (part.y0, part.x0), off, planes)
    return out


def pixels_in_grid_units(
    chip: CalibratedChip,
    chosen: tuple[IntArray, IntArray],
    areas: Float32Array,
    less: Float32Array | None = None,
) -> PartInGridUnits:
    """Return the same of n pixels, bit for bit, as one row: shape (1, n).

    Parameters
    ----------
    chip : CalibratedChip
    chosen : two int64 arrays, shape (n,)
        Rows and columns.
    areas : float32 array, shape (n,)
        Their grid pixels per chip pixel.
    less : float32 array, shape (n,), or None
    """
    row, column = chosen
    n = len(row)
    pixels, its_weight = np.empty((1, n), np.float32), np.empty((1, n), np.float32)
    out = PartInGridUnits(pixels, its_weight, areas.reshape(1, n))
    off = np.zeros(n, np.float32) if less is None else less
    at = row * chip.shape[1] + column
    flux, weight = (contiguous(plane.take(at))[None] for plane in (chip.pixels, chip.weight))
    convert_rows((flux, weight), (0, 0), off.reshape(1, n), (out.pixels, out.weight, out.area))
    return out


@compiled
def convert_rows(
    planes: tuple[Float32Array, Float32Array],
    first: tuple[int, int],
    less: Float32Array,
    out: tuple[Float32Array, Float32Array, Float32Array],
) -> None:
    """Write pixels and weights, which end with areas, of the chip's pixels from `first` on."""
    flux, inverse_variance = planes
    y0, x0 = first
    nothing = np.float32(0.0)
    for r in range(less.shape[0]):
        given, its_weight = flux[y0 + r, x0:], inverse_variance[y0 + r, x0:]
        off, pixels, weight, area = less[r], out[0][r], out[1][r], out[2][r]
        for c in range(len(off)):
            weight[c] = its_weight[c] * area[c] * area[c]
            value = (given[c] - off[c]) / area[c]
            # A pixel of weight 0 may hold anything, even what is not a number.
            pixels[c] = value if weight[c] > nothing else nothing


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


def drops_box(pixel_map: PixelMap, reach: float) -> PixelBox:
    """Return the box of the grid's plane that holds a chip's drops, which reach so many pixels."""
    return chip_box(pixel_map, 2 + math.ceil(reach * middle_scale(pixel_map)))


def middle_scale(pixel_map: PixelMap) -> float:
    """Return the side of a chip pixel in the middle, grid pixels."""
    return math.sqrt(abs(float(np.linalg.det(middle_jacobian(pixel_map)))))


def middle_jacobian(pixel_map: PixelMap) -> FloatArray:
    """Return d(grid)/d(chip) at the chip's centre, shape (2, 2)."""
    ny, nx = pixel_map.shape
    return pixel_map.jacobian(Points(np.asarray((nx - 1) / 2), np.asarray((ny - 1) / 2)))


def bands(box: PixelBox) -> list[PixelBox]:
    """Return bands of one height, but for the last, in order of their rows, that make up a box.

    What is worked out for a band stays in the processor's cache.
    """
    height = max(2, _PIXELS_AT_ONCE // max(box.shape[1], 1))
    return [
        PixelBox(box.x0, y0, box.x1, min(y0 + height, box.y1))
        for y0 in range(box.y0, box.y1, height)
    ]
