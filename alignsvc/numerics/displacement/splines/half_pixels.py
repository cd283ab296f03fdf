"""Splines sampled at their whole pixels and half a pixel beside them: a loop for these two phases.

Their weights are the same for all, and those of the whole pixels are one fewer. Along y all lines
are one long row of numbers.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.compiled import compiled_sums
from alignsvc.numerics.displacement.splines.bands import KNOTS

#: Of the coefficients that a sample needs along an axis, how many lie below its pixel, and above.
BELOW, ABOVE = 2, KNOTS - 3
#: Weights of the quintic B-spline at a knot, and in the middle between two: those of one side.
_WHOLE = np.float32(1 / 120), np.float32(26 / 120), np.float32(66 / 120)
_HALF = np.float32(1 / 3840), np.float32(237 / 3840), np.float32(1682 / 3840)


@compiled_sums
def half_pixels(coefficients: Float32Array, first: int, side: int) -> Float32Array:
    """Return the values of splines at pixels and half pixels.

    Parameters
    ----------
    coefficients : float32 array, shape (n, wider side, wider side)
    first : int
        Coefficient in whose pixel the first sample lies, at least `BELOW`.
    side : int
        Samples along a side; ``first + side + ABOVE`` coefficients are needed.

    Returns
    -------
    float32 array, shape (n, 4, side, side)
        With phases (x, y) = (0, 0), (1/2, 0), (0, 1/2), (1/2, 1/2).
    """
    n, row = len(coefficients), coefficients.shape[1]
    found, lines = np.empty((n, 4, side, side), np.float32), np.empty(2 * side * row, np.float32)
    for i in range(n):
        _sample_along_y(coefficients[i].reshape(-1), (first - BELOW) * row, row, lines)
        into = found[i].reshape(-1)
        for phase in range(2):
            for y in range(side):
                start = np.uint64((phase * side + y) * row + first - BELOW)
                part = np.uint64((2 * phase * side + y) * side), np.uint64(side)
                _sample_along_x(lines, start, into, part)
    return found


@compiled_sums
def sample_side_by_side(
    coefficients: Float32Array, frame: tuple[int, int], lines: Float32Array, found: Float32Array
) -> None:
    """Write the values of one spline, the four phases of a pixel one after another.

    Parameters
    ----------
    coefficients : float32 array
        Row after row.
    frame : tuple of int
        Coefficients of a row, and the first sample's.
    lines : float32 array
        Room for two numbers for each coefficient of `side` rows.
    found : float32 array, shape (side, 4 side)
    """
    w0, w1, w2 = _WHOLE
    h0, h1, h2 = _HALF
    side, (row, first) = found.shape[0], frame
    _sample_along_y(coefficients, (first - BELOW) * row, row, lines)
    into, one, four = found.reshape(-1), np.uint64(1), np.uint64(4)
    for y in range(side):
        start, to = np.uint64(y * row + first - BELOW), np.uint64(4 * y * side)
        beside = start + np.uint64(side * row)
        for x in range(np.uint64(side)):
            j, k, at = start + x, beside + x, to + four * x
            v0, v1, v2 = lines[j], lines[j + one], lines[j + one + one]
            j += one + one + one
            v3, v4, v5 = lines[j], lines[j + one], lines[j + one + one]
            u0, u1, u2 = lines[k], lines[k + one], lines[k + one + one]
            k += one + one + one
            u3, u4, u5 = lines[k], lines[k + one], lines[k + one + one]
            into[at] = w0 * (v0 + v4) + w1 * (v1 + v3) + w2 * v2
            into[at + one] = h0 * (v0 + v5) + h1 * (v1 + v4) + h2 * (v2 + v3)
            into[at + one + one] = w0 * (u0 + u4) + w1 * (u1 + u3) + w2 * u2
            into[at + one + one + one] = h0 * (u0 + u5) + h1 * (u1 + u4) + h2 * (u2 + u3)


@compiled_sums
def _sample_along_y(values: Float32Array, start: int, row: int, lines: Float32Array) -> None:
    """Write the samples at whole pixels along y of all columns, and those half a pixel beside."""
    w0, w1, w2 = _WHOLE
    h0, h1, h2 = _HALF
    step, n = np.uint64(row), np.uint64(len(lines) // 2)
    for i in range(n):
        j = np.uint64(start) + i
        v0, v1, v2 = values[j], values[j + step], values[j + step + step]
        k = j + step + step + step
        v3, v4, v5 = values[k], values[k + step], values[k + step + step]
        lines[i] = w0 * (v0 + v4) + w1 * (v1 + v3) + w2 * v2
        lines[n + i] = h0 * (v0 + v5) + h1 * (v1 + v4) + h2 * (v2 + v3)


@compiled_sums
def _sample_along_x(
    line: Float32Array, start: np.uint64, into: Float32Array, part: tuple[np.uint64, np.uint64]
) -> None:
    """Write a row of samples at whole pixels along x, and in the next plane those beside."""
    w0, w1, w2 = _WHOLE
    h0, h1, h2 = _HALF
    one, (first, side) = np.uint64(1), part
    beside = first + side * side
    for i in range(side):
        j = start + i
        v0, v1, v2 = line[j], line[j + one], line[j + one + one]
        k = j + one + one + one
        v3, v4, v5 = line[k], line[k + one], line[k + one + one]
        into[first + i] = w0 * (v0 + v4) + w1 * (v1 + v3) + w2 * v2
        into[beside + i] = h0 * (v0 + v5) + h1 * (v1 + v4) + h2 * (v2 + v3)
