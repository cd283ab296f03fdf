"""Spline surfaces at shifted pixels: one source after another, in the cache.

A shift is the same for all pixels of a box, so that value and slopes are products of six weights
along y and six along x. A box is laid out as one long row with `SPARE` pixels after each of its
lines; a product is then one sum of moved copies of the whole, which fills the lanes of a processor
however small the box, and what comes out in the spare pixels has no weight. Only the part of a box
is looked at that has any weight.

Compiled functions are handed plain tuples: loops that make a band themselves have no other, and for
each named kind of tuple a loop would be compiled once more.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray, read_only
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.bands import KNOTS, Bands

#: Pixels between two lines of a box.
SPARE = KNOTS - 1
#: float32 numbers in a page, and a part of it whose multiples lie far from each other in it.
_PAGE, _APART = 1024, 392
#: The step to the next value: typed, for a number written out makes a function of its own.
_NEXT = cast(int, np.int64(1))


def extents(weight: Float32Array) -> IntArray:
    """Return what `extent_of` does of each of planes (n, side, side), shape (n, 4)."""
    return read_only(_extents(weight))


@compiled
def _extents(weight: Float32Array) -> IntArray:
    found = np.empty((len(weight), 4), np.int64)
    for i in range(len(weight)):
        found[i, 0], found[i, 1], found[i, 2], found[i, 3] = extent_of(weight[i])
    return found


@compiled
def extent_of(plane: Float32Array) -> tuple[int, int, int, int]:
    """Return the first row that is not all 0, the one after the last, and such columns."""
    side = plane.shape[0]
    first_row, end_row, first, end = side, 0, side, 0
    for y in range(side):
        x = 0
        while x < side and plane[y, x] == 0:
            x += 1
        if x == side:
            continue
        first_row, end_row, first = min(first_row, y), y + 1, min(first, x)
        x = side
        while x > end and plane[y, x - 1] == 0:
            x -= 1
        end = x
    return (first_row, end_row, first, end) if end_row else (0, 0, 0, 0)


def surfaces(bands: Bands, coefficients: Float32Array, side: int) -> Float32Array:
    """Return slopes along x and y, value and 1, shape (n, 4, side, side)."""
    return _surfaces(own_bands(bands), coefficients, read_only(np.array([0, side, 0, side])))


def values_at(bands: Bands, coefficients: Float32Array, side: int) -> Float32Array:
    """Return values alone at each template's own shift, shape (n, side, side)."""
    return _values_at(own_bands(bands), coefficients, side)


#: A `Bands` for compiled loops, or what of it belongs to one source.
BandTuple: TypeAlias = tuple[IntArray, Float32Array]


def own_bands(bands: Bands) -> BandTuple:
    """Return bands as loops that make one themselves have it: writable."""
    return bands.first.copy(), bands.weights.copy()


@compiled_sums
def _surfaces(bands: BandTuple, coefficients: Float32Array, extent: IntArray) -> Float32Array:
    """Return the planes of sources one by one."""
    first, weights = bands
    side = extent[1]
    rows = rows_apart(6, (side + SPARE) ** 2)
    scratch, found = rows[:3], rows[3:]
    planes = np.ones((len(coefficients), 4, side, side), np.float32)
    for i in range(len(coefficients)):
        surface(coefficients[i], (first[i], weights[i]), extent, scratch, found)
        for plane in range(3):
            for y in range(side):
                start = y * (side + SPARE)
                for x in range(side):
                    planes[i, plane, y, x] = found[plane, start + x]
    return planes


@compiled_sums
def _values_at(bands: BandTuple, coefficients: Float32Array, side: int) -> Float32Array:
    """Return the values of sources one by one."""
    first, weights = bands
    row = side + SPARE
    region = np.zeros(row * row, np.float32)
    lines, line = np.zeros(side * row + SPARE, np.float32), np.zeros(side * row, np.float32)
    found = np.empty((len(coefficients), side, side), np.float32)
    for i in range(len(coefficients)):
        top, left = first[i, 0], first[i, 1]
        for y in range(row):
            for x in range(row):
                region[y * row + x] = coefficients[i, top + y, left + x]
        filtered(region, row, weights[i, 0, 0], lines[: side * row])
        filtered(lines, _NEXT, weights[i, 1, 0], line)
        for y in range(side):
            for x in range(side):
                found[i, y, x] = line[y * row + x]
    return found


@compiled_sums
def surface(
    coefficients: Float32Array,
    band: tuple[IntArray, Float32Array],
    extent: IntArray,
    scratch: Float32Array,
    planes: Float32Array,
) -> None:
    """Fill planes (3, size) with slopes along x and y and the value, laid out."""
    first, weights = band
    height, row = extent[1] - extent[0], extent[3] - extent[2] + SPARE
    n = height * row
    if height == 0:
        return
    top, left = first[0] + extent[0], first[1] + extent[2]
    for y in range(height + SPARE):
        copy_row(coefficients[top + y, left : left + row], scratch[0, y * row : (y + 1) * row])
    filtered_twice(scratch[0], row, weights[0], (scratch[1, :n], scratch[2, :n]))
    clear(scratch[1, n : n + SPARE])
    clear(scratch[2, n : n + SPARE])
    filtered_twice(scratch[1], _NEXT, weights[1], (planes[2, :n], planes[0, :n]))
    filtered(scratch[2], _NEXT, weights[1, 0], planes[1, :n])


@compiled
def copy_row(values: Float32Array, found: Float32Array) -> None:
    """Copy a row; an assignment of slices takes several times as long."""
    for j in range(len(found)):
        found[j] = values[j]


@compiled
def clear(values: Float32Array) -> None:
    """Write 0 everywhere."""
    for j in range(len(values)):
        values[j] = 0


@compiled
def rows_apart(n: int, size: int) -> Float32Array:
    """Return rows of zeros, (n, at least size), to be read and written side by side.

    Where two of them begin at the same place of a page of 4 kB, a read waits for a write that it
    has nothing to do with.
    """
    return np.zeros((n, (size // _PAGE + 1) * _PAGE + _APART), np.float32)


@compiled_sums
def filtered_twice(
    values: Float32Array,
    step: int,
    weights: Float32Array,
    found: tuple[Float32Array, Float32Array],
) -> None:
    """Write ``sum_t weights[k, t] values[j + t step]`` to each j of both k."""
    one, other = found
    n = len(one)
    w0, w1, w2 = weights[0, 0], weights[0, 1], weights[0, 2]
    w3, w4, w5 = weights[0, 3], weights[0, 4], weights[0, 5]
    s0, s1, s2 = weights[1, 0], weights[1, 1], weights[1, 2]
    s3, s4, s5 = weights[1, 3], weights[1, 4], weights[1, 5]
    v0, v1, v2 = values[:n], values[step : step + n], values[2 * step : 2 * step + n]
    v3, v4 = values[3 * step : 3 * step + n], values[4 * step : 4 * step + n]
    v5 = values[5 * step : 5 * step + n]
    for j in range(n):
        a, b, c, d, e, f = v0[j], v1[j], v2[j], v3[j], v4[j], v5[j]
        one[j] = (w0 * a + w1 * b + w2 * c) + (w3 * d + w4 * e + w5 * f)
        other[j] = (s0 * a + s1 * b + s2 * c) + (s3 * d + s4 * e + s5 * f)


@compiled_sums
def filtered(values: Float32Array, step: int, weights: Float32Array, found: Float32Array) -> None:
    """Write ``sum_t weights[t] values[j + t step]`` to each j of `found`."""
    n = len(found)
    w0, w1, w2 = weights[0], weights[1], weights[2]
    w3, w4, w5 = weights[3], weights[4], weights[5]
    v0, v1, v2 = values[:n], values[step : step + n], values[2 * step : 2 * step + n]
    v3, v4 = values[3 * step : 3 * step + n], values[4 * step : 4 * step + n]
    v5 = values[5 * step : 5 * step + n]
    for j in range(n):
        found[j] = (w0 * v0[j] + w1 * v1[j] + w2 * v2[j]) + (w3 * v3[j] + w4 * v4[j] + w5 * v5[j])
