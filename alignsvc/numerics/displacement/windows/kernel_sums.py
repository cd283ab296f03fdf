"""What the equations for a kernel are made of: one source after another, in the cache."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.splines.bands import fill_band
from alignsvc.numerics.displacement.splines.surface_sums import (
    Boxes,
    BoxTuple,
    add_all_products,
    laid_out,
    workband,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import SPARE, copy_row, rows_apart, surface

#: Slopes along x and y, value and 1 come first; among columns then the pixels.
_N_OWN, _VALUE, _PIXELS = 4, 2, 4


def kernel_sums(
    shift: FloatArray,
    templates: tuple[Float32Array, Float32Array],
    parts: tuple[Float32Array, ...],
    boxes: Boxes,
) -> FloatArray:
    """Return the weighted sums of products that a kernel's equations are made of.

    Parameters
    ----------
    shift : float64 array, shape (n, 2)
        x and y, pixels.
    templates : tuple of float32 arrays, shape (n, template side, template side)
        Coefficients with the kernel as it is, and without one.
    parts : tuple of float32 arrays, same shape
        Convolved with each of k terms.
    boxes : Boxes

    Returns
    -------
    float64 array, shape (n, 4 + k, 7 + k)
        Slopes along x and y, value and 1 with the kernel, then values of the parts; times the same
        with the pixels between them, and times the slopes along x and y without a kernel.
    """
    return _kernel_sums(shift, templates, parts, (*boxes,))


_Parts: TypeAlias = tuple[Float32Array, ...]


@compiled
def _kernel_sums(
    shift: FloatArray,
    templates: tuple[Float32Array, Float32Array],
    parts: _Parts,
    boxes: BoxTuple,
) -> FloatArray:
    matched, plain = templates
    pixels, weight, extents = boxes
    n, side, n_parts = pixels.shape[0], pixels.shape[1], len(parts)
    margin, size = (plain.shape[1] - side) // 2, (side + SPARE) ** 2
    (scratch, weighted, (found, _)), band = workspace(side), workband()
    rows, columns = rows_apart(_N_OWN + n_parts, size), rows_apart(_PIXELS + n_parts + 3, size)
    rows[_N_OWN - 1], columns[_N_OWN - 1] = np.float32(1), np.float32(1)
    sums = np.empty((n, len(rows), len(columns)))
    for i in range(n):
        extent = extents[i]
        length = laid_out(weight[i], extent, weighted[0])
        laid_out(pixels[i], extent, columns[_PIXELS])
        fill_band(shift[i, 0], shift[i, 1], margin, band)
        for one in range(n_parts + 2):
            spline = matched if one == 0 else plain if one == 1 else parts[one - 2]
            surface(spline[i], band, extent, scratch, found)
            if one == 0:
                for plane in range(_VALUE + 1):
                    copy_row(found[plane], rows[plane, :length])
                    copy_row(found[plane], columns[plane, :length])
            elif one == 1:
                copy_row(found[0], columns[_PIXELS + n_parts + 1, :length])
                copy_row(found[1], columns[_PIXELS + n_parts + 2, :length])
            else:
                copy_row(found[_VALUE], rows[_N_OWN + one - 2, :length])
                copy_row(found[_VALUE], columns[_PIXELS + one - 1, :length])
        add_all_products(rows, columns, weighted, length, sums[i])
    return sums
