"""Coefficients of the quintic B-spline through the pixels of a large plane.

The inverse of the sampled B-spline is a product, for each pole z and each axis, of
``(1 - z)^2 / ((1 - z B)(1 - z F))`` with B and F the steps to the pixels before and behind (Unser,
Aldroubi & Eden 1993, doi 10.1109/78.193220). Across rows these are recursions, which take all
columns at once: down the plane, and back up in blocks of rows that are still in the cache, each
begun so far below that what is not known there has died away. Along a row a recursion fills no
lanes; but ``1 / (1 - u) = (1 + u)(1 + u^2)(1 + u^4)...`` makes it some sums of three neighbours.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Poles of the quintic, within the unit circle: roots of z^4 + 26 z^3 + 66 z^2 + 26 z + 1.
_LARGE, _SMALL = np.float32(-0.43057534709997379), np.float32(-0.043096288203264654)
#: What makes the sum of the coefficients that of the pixels.
_GAIN = np.float32(((1 + 0.43057534709997379) * (1 + 0.043096288203264654)) ** 2)
#: Rows beyond which the largest pole's powers are lost in float32's rounding.
_HORIZON = 20
#: Rows that go back up at once: two thousand columns of them, and the horizon, are half a MB.
_ROWS = 32
#: Factors of the product for each pole: 32 and 8 powers.
_FACTORS = 5, 3
#: How far they reach together: 31 + 7 pixels.
_REACH = 38


def prefilter(plane: Float32Array) -> Float32Array:
    """Return the coefficients of the quintic B-spline through a plane.

    The mirror at its edges stands in the outermost pixels' centres (`scipy.ndimage`'s "mirror").

    Parameters
    ----------
    plane : float32 array, shape (ny, nx)
        Finite everywhere. Coefficients are right to a few roundings of the largest value about.
    """
    coefficients = np.empty(plane.shape, np.float32)
    if plane.size:
        _filter(contiguous(plane), coefficients)
    return coefficients


@compiled_sums
def _filter(plane: Float32Array, found: Float32Array) -> None:
    ny, nx = plane.shape
    padded = np.zeros((2, nx + 2 * _REACH), np.float32)
    if ny == 1:
        for x in range(nx):
            found[0, x] = plane[0, x]
        _filter_row(found[0], padded)
        return
    one, two = np.zeros(nx, np.float32), np.zeros(nx, np.float32)
    beyond = np.empty((_HORIZON, nx), np.float32)  # the plane's end, mirrored
    for y in range(-_HORIZON, 0):
        _go_down(plane[_mirrored(y, ny)], one, two, beyond[0])
    done = 0
    for y0 in range(0, ny, _ROWS):
        y1 = min(y0 + _ROWS, ny)
        for y in range(done, y1 + _HORIZON):
            _go_down(plane[_mirrored(y, ny)], one, two, found[y] if y < ny else beyond[y - ny])
        done = y1 + _HORIZON
        up_one, up_two = np.zeros(nx, np.float32), np.zeros(nx, np.float32)
        for y in range(done - 1, y1 - 1, -1):
            _approach(found[y] if y < ny else beyond[y - ny], up_one, up_two)
        for y in range(y1 - 1, y0 - 1, -1):
            _go_up(found[y], up_one, up_two)
            _filter_row(found[y], padded)


@compiled_sums
def _go_down(row: Float32Array, one: Float32Array, two: Float32Array, found: Float32Array) -> None:
    """Fill `found` with a row and what the rows above, `one` after each pole, leave there."""
    for x in range(row.size):
        first = _GAIN * row[x] + _LARGE * one[x]
        second = first + _SMALL * two[x]
        one[x], two[x], found[x] = first, second, second


@compiled_sums
def _go_up(row: Float32Array, one: Float32Array, two: Float32Array) -> None:
    """Add to a row what the rows below leave there."""
    for x in range(row.size):
        first = row[x] + _LARGE * one[x]
        second = first + _SMALL * two[x]
        one[x], two[x], row[x] = first, second, second


@compiled_sums
def _approach(row: Float32Array, one: Float32Array, two: Float32Array) -> None:
    """Do as `_go_up`, and leave the row as it is."""
    for x in range(row.size):
        first = row[x] + _LARGE * one[x]
        two[x] = first + _SMALL * two[x]
        one[x] = first


@compiled_sums
def _filter_row(row: Float32Array, padded: Float32Array) -> None:
    """Filter a row in place; `padded` has room for it, and for what it mirrors, twice."""
    nx = row.size
    if nx == 1:
        return
    old, new = padded[0], padded[1]
    for x in range(nx):
        old[_REACH + x] = _GAIN * row[x]
    for x in range(1, _REACH + 1):
        old[_REACH - x] = _GAIN * row[_mirrored(-x, nx)]
        old[_REACH + nx - 1 + x] = _GAIN * row[_mirrored(nx - 1 + x, nx)]
    for pole in range(2):
        power, step = _LARGE if pole == 0 else _SMALL, 1
        for _ in range(_FACTORS[pole]):
            _add_neighbours(old, power, step, new)
            old, new, power, step = new, old, power * power, 2 * step
    for x in range(nx):
        row[x] = old[_REACH + x]


@compiled_sums
def _add_neighbours(old: Float32Array, power: np.float32, step: int, new: Float32Array) -> None:
    """Fill `new` with ``(1 + power B^step)(1 + power F^step)`` of `old`, but for its ends."""
    n = old.size - 2 * step
    before, here, behind = old[:n], old[step : n + step], old[2 * step :]
    into, middle = new[step : n + step], np.float32(1) + power * power
    for x in range(n):
        into[x] = middle * here[x] + power * (before[x] + behind[x])


@compiled
def _mirrored(place: int, n: int) -> int:
    """Return the place among `n`, at least two, that one beyond the ends mirrors."""
    place %= 2 * n - 2
    return place if place < n else 2 * n - 2 - place
