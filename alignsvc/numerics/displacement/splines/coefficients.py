"""Coefficients of quintic splines through many small planes, one after another in the cache.

The inverse of the sampled B-spline is for each pole z, along each axis, a recursion down and one
back up; its ends are known exactly where a plane is mirrored in the centres of its outermost pixels
(Unser, Aldroubi & Eden 1993, doi 10.1109/78.193220). Down columns all of them go at once.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Poles of the quintic, within the unit circle: roots of z^4 + 26 z^3 + 66 z^2 + 26 z + 1.
_LARGE, _SMALL = np.float32(-0.43057534709997379), np.float32(-0.043096288203264654)
#: What makes the sum of the coefficients that of the pixels, for both axes.
_GAIN = np.float32(((1 + 0.43057534709997379) * (1 + 0.043096288203264654)) ** 4)
#: Lines beyond which the powers of a pole are lost in float32's rounding.
_HORIZONS = 20, 6
#: Numbers that a processor takes at once.
_LANES = 8


def spline_coefficients(planes: Float32Array) -> Float32Array:
    """Return the coefficients of the quintic B-splines through planes, mirrored at their edges.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
        Finite everywhere; the side is at least 2.
    """
    found = np.empty(planes.shape, np.float32)
    _filter(contiguous(planes), found)
    return found


@compiled
def _filter(planes: Float32Array, found: Float32Array) -> None:
    n, side = planes.shape[0], planes.shape[1]
    row = (side + _LANES - 1) // _LANES * _LANES
    lines, turned = np.zeros(side * row, np.float32), np.zeros(side * row, np.float32)
    for i in range(n):
        for y in range(side):
            _scale(planes[i, y], lines[y * row : y * row + side])
        _filter_columns(lines, row)
        for y in range(side):
            for x in range(side):
                turned[y * row + x] = lines[x * row + y]
        _filter_columns(turned, row)
        for y in range(side):
            for x in range(side):
                found[i, y, x] = turned[x * row + y]


@compiled
def _filter_columns(lines: Float32Array, row: int) -> None:
    """Filter down columns and back up, in place, for one pole and the other."""
    n = len(lines) // row
    for pole in range(2):
        z = _LARGE if pole == 0 else _SMALL
        _mirror_above(lines, row, z, _HORIZONS[pole])
        for y in range(1, n):
            _add(lines[(y - 1) * row : y * row], z, lines[y * row : (y + 1) * row])
        last = (n - 1) * row
        _end(lines[last - row : last], z, lines[last:])
        for y in range(n - 2, -1, -1):
            _add(lines[(y + 1) * row : (y + 2) * row], z, lines[y * row : (y + 1) * row])


@compiled
def _mirror_above(lines: Float32Array, row: int, z: np.float32, horizon: int) -> None:
    """Add to the first line what mirrored ones above it leave there."""
    n = len(lines) // row
    first, power = lines[:row].copy(), z
    for k in range(1, horizon):
        place = k % (2 * n - 2)
        place = min(place, 2 * n - 2 - place)
        seen = first if place == 0 else lines[place * row : (place + 1) * row]
        _add(seen, power, lines[:row])
        power *= z


@compiled_sums
def _add(values: Float32Array, by: np.float32, total: Float32Array) -> None:
    for x in range(len(total)):
        total[x] += by * values[x]


@compiled_sums
def _end(before: Float32Array, z: np.float32, line: Float32Array) -> None:
    """Add to the last line what mirrored ones below it leave there, on the way back up."""
    unit = np.float32(1)
    factor = unit / (unit - z * z)
    for x in range(len(line)):
        line[x] = factor * (line[x] + z * before[x])


@compiled_sums
def _scale(values: Float32Array, found: Float32Array) -> None:
    for x in range(len(values)):
        found[x] = _GAIN * values[x]
