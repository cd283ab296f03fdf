"""What equations beside seams are made of: one source after another, in the cache."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.bands import fill_band
from alignsvc.numerics.displacement.splines.surface_sums import (
    Boxes,
    BoxTuple,
    add_all_products,
    laid_out,
    workband,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import SPARE, clear, rows_apart, surface
from alignsvc.numerics.displacement.splines.window_moments import ONCE, fill_window, window_product

#: Rows: two slopes, value and 1 of an instrument, then what differs across a seam, see `seam_sums`.
#: Columns: the same of a template, its pixels, then what differs.
_N_ROWS, _N_COLUMNS, _VALUE, _PIXELS = 7, 8, 2, 4


def seam_sums(
    shift: FloatArray,
    splines: tuple[Float32Array, Float32Array, Float32Array],
    boxes: Boxes,
    variance: Float32Array,
) -> FloatArray:
    """Return the weighted sums of products that equations beside a seam are made of.

    With v the template's variance over its mean, less 1 (0 in holes), what differs is ``G * T - T``
    (one made wider), ``v T`` and ``v (G * T - T)``, of the instruments.

    Parameters
    ----------
    shift : float64 array, shape (n, 2)
        x and y, pixels.
    splines : tuple of float32 arrays, shape (n, template side, template side)
        Coefficients of instruments, of templates, and of instruments made wider.
    boxes : Boxes
    variance : float32 array, shape (n, side, side)
        The template's; 0 in holes.

    Returns
    -------
    float64 array, shape (n, 7, 8)
        Slopes along x and y, value and 1 of the instruments and what differs, times the same of
        the templates, the pixels and what differs.
    """
    return _seam_sums(shift, splines, (*boxes,), contiguous(variance))


_Splines: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]


@compiled
def _seam_sums(
    shift: FloatArray, splines: _Splines, boxes: BoxTuple, variance: Float32Array
) -> FloatArray:
    instrument, template, wider = splines
    pixels, weight, extents = boxes
    n, side = pixels.shape[0], pixels.shape[1]
    margin, size = (template.shape[1] - side) // 2, (side + SPARE) ** 2
    (scratch, seen, (made_wider, _)), band = workspace(side), workband()
    rows, columns = rows_apart(_N_ROWS, size), rows_apart(_N_COLUMNS, size)
    rows[3], columns[3] = np.float32(1), np.float32(1)
    uneven = np.zeros(size, np.float32)
    sums = np.empty((n, _N_ROWS, _N_COLUMNS))
    for i in range(n):
        length = laid_out(weight[i], extents[i], seen[0])
        laid_out(pixels[i], extents[i], columns[_PIXELS])
        laid_out(variance[i], extents[i], uneven)
        fill_band(shift[i, 0], shift[i, 1], margin, band)
        surface(instrument[i], band, extents[i], scratch, rows[:3])
        surface(template[i], band, extents[i], scratch, columns[:3])
        surface(wider[i], band, extents[i], scratch, made_wider)
        _make_uneven(uneven, columns[_VALUE], seen[0], length)
        _fill_differences(uneven, made_wider[_VALUE], rows, columns, length)
        add_all_products(rows, columns, seen, length, sums[i])
    return sums


@compiled_sums
def _make_uneven(
    variance: Float32Array, template: Float32Array, weight: Float32Array, n: int
) -> None:
    """Put v in place of variances; the mean goes by the light."""
    none, unit = np.float32(0), np.float32(1)
    total = light = none
    for j in range(n):
        power = weight[j] * template[j] * template[j]
        total += power * variance[j]
        light += power if variance[j] > none else none
    inverse = light / total if total > none else none
    for j in range(n):
        variance[j] = variance[j] * inverse - unit if variance[j] > none else none


@compiled
def _fill_differences(
    uneven: Float32Array, wider: Float32Array, rows: Float32Array, columns: Float32Array, n: int
) -> None:
    """Fill what differs, the last three rows and columns."""
    for j in range(n):
        value = rows[_VALUE, j]
        broader = wider[j] - value
        rows[4, j] = columns[5, j] = broader
        rows[5, j] = columns[6, j] = uneven[j] * value
        rows[6, j] = columns[7, j] = uneven[j] * broader


def pulls(variance: Float32Array, place: FloatArray, sigma_px: FloatArray) -> FloatArray:
    """Return how far the centroid of the template's weight in a Gaussian window is off, pixels.

    From that of even weights over the same pixels: holes, and the cutout's end, drop out.

    Parameters
    ----------
    variance : float32 array, shape (n, side, side)
        The template's; 0 in holes.
    place : float64 array, shape (n, 2)
        x and y of the windows' middles.
    sigma_px : float64 array, shape (n,)
    """
    return _pulls(contiguous(variance), place, sigma_px)


@compiled
def _pulls(variance: Float32Array, place: FloatArray, sigma_px: FloatArray) -> FloatArray:
    n, side = variance.shape[0], variance.shape[1]
    found, room = np.empty(n), np.empty((2, 3, side), np.float32)
    columns = np.empty((4, side), np.float32)
    for i in range(n):
        x = fill_window(place[i, 0], sigma_px[i], ONCE, room[0])
        y = fill_window(place[i, 1], sigma_px[i], ONCE, room[1])
        clear(columns.reshape(-1))
        for row in range(y[0], y[1]):
            by = room[1, 0, row], room[1, 1, row]
            _add_weights(variance[i, row], x, by, columns)
        weighted_x, weighted_y = _means(columns[0], columns[1], room[0], x)
        even_x, even_y = _means(columns[2], columns[3], room[0], x)
        found[i] = np.hypot(weighted_x - even_x, weighted_y - even_y) * sigma_px[i]
    return found


@compiled_sums
def _add_weights(
    variance: Float32Array,
    part: tuple[int, int],
    by: tuple[np.float32, np.float32],
    columns: Float32Array,
) -> None:
    """Add a part of a row's weights, times two numbers, to sums of columns, then even ones."""
    first, end = part
    (g, g_v), seen = by, variance[first:end]
    one, two = columns[0][first:end], columns[1][first:end]
    even, even_v = columns[2][first:end], columns[3][first:end]
    none, unit = np.float32(0), np.float32(1)
    for j in range(len(seen)):
        counts = unit if seen[j] > none else none
        weight = counts / (seen[j] if seen[j] > none else unit)
        one[j] += g * weight
        two[j] += g_v * weight
        even[j] += g * counts
        even_v[j] += g_v * counts


@compiled
def _means(
    columns: Float32Array, columns_v: Float32Array, across: Float32Array, part: tuple[int, int]
) -> tuple[float, float]:
    """Return the mean u and v, 0 where nothing counts."""
    total = np.float64(window_product(columns, across[0], part))
    if not total > 0:
        return 0.0, 0.0
    along_x = np.float64(window_product(columns, across[1], part))
    return along_x / total, np.float64(window_product(columns_v, across[0], part)) / total
