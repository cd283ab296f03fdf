"""Sums over the overlap of two frames at each of a few lags, pixel by pixel."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.surfaces import extent_of

#: Numbers that a processor adds up in one go, at least: loops over as many have no rest.
_LANES = 32


@compiled_sums
def products_at_lags(
    image: Float32Array, template: Float32Array, first: int, n_lags: int
) -> Float32Array:
    """Return ``sum_p image(p) template(p + first + l)`` for the lags l below `n_lags`.

    Of the image only the box that is not 0 is looked at. It is laid out in lines as long as the
    template's, so that a lag is one sum over a row of numbers.

    Parameters
    ----------
    image : float32 array, shape (n, side, side)
    template : float32 array, shape (n, versions, template side, template side)
        Taken as 0 outside.
    first : int
        Of a pixel at lag 0; may be negative.
    n_lags : int

    Returns
    -------
    float32 array, shape (n, versions, n_lags, n_lags)
    """
    n, versions = template.shape[:2]
    found = np.zeros((n, versions, n_lags, n_lags), np.float32)
    side = image.shape[1] + n_lags
    pixels, seen = np.zeros(side**2, np.float32), np.zeros(side**2 + 4, np.float32)
    for i in range(n):
        top, end, left, right = extent_of(image[i])
        if end == top:
            continue
        width, row = right - left, right - left + n_lags - 1
        pixels[: (end - top) * row] = 0
        for y in range(end - top):
            for x in range(width):
                pixels[y * row + x] = image[i, top + y, left + x]
        length = (end - top - 1) * row + width
        n_rows = end - top + n_lags - 1
        seen[n_rows * row : n_rows * row + 4] = 0
        for v in range(versions):
            region = seen[: n_rows * row].reshape(n_rows, row)
            _lay_out(template[i, v], first + top, first + left, region)
            for y in range(n_lags):
                for x in range(0, n_lags, 4):
                    start = y * row + x
                    four = _four_products(pixels[:length], seen[start : start + length + 3])
                    for k in range(min(4, n_lags - x)):
                        found[i, v, y, x + k] = four[k]
    return found


@compiled_sums
def _four_products(
    left: Float32Array, right: Float32Array
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return ``sum_j left[j] right[j + k]`` for k from 0 to 3."""
    a = b = c = d = np.float32(0)
    for j in range(len(left)):
        a += left[j] * right[j]
        b += left[j] * right[j + 1]
        c += left[j] * right[j + 2]
        d += left[j] * right[j + 3]
    return a, b, c, d


@compiled_sums
def masked_sums_at_lags(
    good: BoolArray, template: Float32Array, first: int, n_lags: int
) -> Float32Array:
    """Return ``sum template(p + first + l)`` over the pixels p that are good; else as above.

    A column of good pixels without a gap is the difference of two running sums. All lags along x
    and all versions lie side by side.
    """
    n, versions, height = template.shape[0], template.shape[1], template.shape[2]
    side = good.shape[1]
    found = np.empty((n, versions, n_lags, n_lags), np.float32)
    lanes = -(-n_lags * versions // _LANES) * _LANES
    row = (side + n_lags) * versions + lanes
    running = np.zeros((side + n_lags, row), np.float32)
    sums = np.empty((n_lags, lanes), np.float32)
    for i in range(n):
        for y in range(side + n_lags - 1):
            for lane in range(row):
                running[y + 1, lane] = running[y, lane]
            if 0 <= first + y < height:
                _add_interleaved(template[i, :, first + y], first, running[y + 1])
        sums[:] = 0
        for x in range(side):
            y = 0
            while y < side:
                if not good[i, y, x]:
                    y += 1
                    continue
                top = y
                while y < side and good[i, y, x]:
                    y += 1
                for lag in range(n_lags):
                    at = slice(x * versions, x * versions + lanes)
                    _add_difference(running[y + lag, at], running[top + lag, at], sums[lag])
        for y in range(n_lags):
            for x in range(n_lags):
                for v in range(versions):
                    found[i, v, y, x] = sums[y, x * versions + v]
    return found


@compiled
def _add_interleaved(rows: Float32Array, first: int, total: Float32Array) -> None:
    """Add the rows of all versions, version by version for each pixel, from pixel `first` on."""
    versions, width = rows.shape
    start = max(-first, 0)
    for v in range(versions):
        for x in range(start, min(len(total) // versions, width - first)):
            total[x * versions + v] += rows[v, first + x]


@compiled_sums
def _add_difference(more: Float32Array, less: Float32Array, total: Float32Array) -> None:
    for j in range(len(total)):
        total[j] += more[j] - less[j]


@compiled
def _lay_out(plane: Float32Array, top: int, left: int, found: Float32Array) -> None:
    """Write the part of a plane that begins at a place; 0 outside of the plane."""
    side = plane.shape[0]
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            inside = 0 <= top + y < side and 0 <= left + x < side
            found[y, x] = plane[top + y, left + x] if inside else np.float32(0)
