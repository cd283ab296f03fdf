"""Coefficients of the quintic B-spline through the pixels of a large plane.

The inverse of the sampled B-spline is a cascade of recursions, for each pole z one forwards and one
backwards (Unser, Aldroubi & Eden 1993, doi 10.1109/78.193220). A recursion is slow along itself and
fast across: all are run down the columns of narrow strips that stay in the cache, of the plane and
then of its transpose.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, read_only
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Poles of the quintic, within the unit circle: roots of z^4 + 26 z^3 + 66 z^2 + 26 z + 1.
_POLES = read_only(np.array([-0.43057534709997379, -0.043096288203264654], np.float32))
#: Pixels beyond which the largest pole's powers are lost in float32's rounding.
_HORIZON = 20
#: Columns of a strip: some thousand rows of it are half a MB.
_STRIP = 32
#: Side of the squares that are transposed at once, pixels.
_SQUARE = 16


def prefilter(plane: Float32Array) -> None:
    """Turn a plane, in place, into the coefficients of the quintic B-spline through it.

    The mirror at its edges stands in the outermost pixels' centres (`scipy.ndimage`'s "mirror").

    Parameters
    ----------
    plane : float32 array, shape (ny, nx)
        Finite everywhere, row after row in memory. Coefficients are right to a few roundings of
        the largest value about.
    """
    if plane.size:
        _filter_columns(plane)
        _filter_rows(plane)


@compiled_sums
def _filter_columns(plane: Float32Array) -> None:
    ny, nx = plane.shape
    strip = np.zeros((ny, _STRIP), np.float32)
    for x0 in range(0, nx, _STRIP):
        width = min(_STRIP, nx - x0)
        for y in range(ny):
            for x in range(width):
                strip[y, x] = plane[y, x0 + x]
        _recur(strip)
        for y in range(ny):
            for x in range(width):
                plane[y, x0 + x] = strip[y, x]


@compiled_sums
def _filter_rows(plane: Float32Array) -> None:
    ny, nx = plane.shape
    strip = np.zeros((nx, _STRIP), np.float32)
    for y0 in range(0, ny, _STRIP):
        height = min(_STRIP, ny - y0)
        for x0 in range(0, nx, _SQUARE):
            for y in range(height):
                for x in range(x0, min(x0 + _SQUARE, nx)):
                    strip[x, y] = plane[y0 + y, x]
        _recur(strip)
        for x0 in range(0, nx, _SQUARE):
            for y in range(height):
                for x in range(x0, min(x0 + _SQUARE, nx)):
                    plane[y0 + y, x] = strip[x, y]


@compiled_sums
def _recur(strip: Float32Array) -> None:
    """Filter the columns of a strip in place."""
    n, width = strip.shape
    if n == 1:
        return
    one = np.float32(1)
    for pole in _POLES:
        gain = (one - pole) * (one - one / pole)
        _begin(strip, pole)
        for x in range(width):
            strip[0, x] *= gain
        for y in range(1, n):
            for x in range(width):
                strip[y, x] = gain * strip[y, x] + pole * strip[y - 1, x]
        last = pole / (pole * pole - one)
        for x in range(width):
            strip[n - 1, x] = last * (strip[n - 1, x] + pole * strip[n - 2, x])
        for y in range(n - 2, -1, -1):
            for x in range(width):
                strip[y, x] = pole * (strip[y + 1, x] - strip[y, x])


@compiled_sums
def _begin(strip: Float32Array, pole: np.float32) -> None:
    """Give the first row what the mirrored rows before it leave there."""
    n, width = strip.shape
    first = strip[0].copy()
    power = pole
    for distance in range(1, _HORIZON + 1):
        row = strip[_mirrored(distance, n)]
        for x in range(width):
            first[x] += power * row[x]
        power *= pole
    for x in range(width):
        strip[0, x] = first[x]


@compiled
def _mirrored(place: int, n: int) -> int:
    """Return the place among `n`, at least two, that one beyond the end mirrors."""
    place %= 2 * n - 2
    return place if place < n else 2 * n - 2 - place
