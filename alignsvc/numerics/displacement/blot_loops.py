"""The loops over the pixels of blots: planes of the grid, as windows of a chip see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled

#: Knots of a quintic that a value needs along an axis, and how many of them lie below its pixel.
_KNOTS, _BELOW = 6, 2
#: The sum of a point's weights: with this unit the polynomials below have whole coefficients.
_UNIT = 3840.0


class GridPlanes(NamedTuple):
    """Planes over one box of the grid, shape (ny, nx).

    Parameters
    ----------
    coefficients : float32 array
        Of a quintic B-spline; beyond the box the outermost ones continue.
    weight, share : float32 arrays
    label : int64 array
        Of shape (0, 0) where nobody knows.
    """

    coefficients: Float32Array
    weight: Float32Array
    share: Float32Array
    label: IntArray


class Views(NamedTuple):
    """How each of n windows sees the planes.

    Parameters
    ----------
    place : float64 array, shape (n, 2, 6)
        Of x, y in the box: coefficients of 1, i, j, i^2, ij, j^2 at column i, row j of the window.
    area : float32 array, shape (n,)
        Grid pixels per chip pixel.
    source : int64 array, shape (n,)
        The label that is its own.
    """

    place: FloatArray
    area: Float32Array
    source: IntArray


class BlotPlanes(NamedTuple):
    """What is seen, shape (n, side, side), or (side, side) of one window; see `BlotStack`."""

    values: Float32Array
    good: BoolArray
    variance: Float32Array
    share: Float32Array
    others: BoolArray


class _Line(NamedTuple):
    """Where the pixels of a window's row lie along one axis of the box.

    Parameters
    ----------
    at : float64 array, shape (side,)
    nearest : int64 array, shape (side,)
        The box's pixel.
    first : int64 array, shape (side,)
        Of the knots that weigh.
    weight : float32 array, shape (6, side)
        Of these, in units of 1 / 3840.
    """

    at: FloatArray
    nearest: IntArray
    first: IntArray
    weight: Float32Array


@compiled
def fill_blots(planes: GridPlanes, views: Views, blots: BlotPlanes) -> None:
    """Write all pixels of blots. A value depends on where its pixel lies, and on nothing else."""
    side = blots.values.shape[1]
    x, y = _line(side), _line(side)
    for k in range(len(views.place)):
        for row in range(side):
            _follow(views.place[k, 0], row, x)
            _follow(views.place[k, 1], row, y)
            blot = BlotPlanes(
                blots.values[k, row],
                blots.good[k, row],
                blots.variance[k, row],
                blots.share[k, row],
                blots.others[k, row],
            )
            _look_up(planes, x, y, blot, views.source[k])
            _interpolate(planes.coefficients, x, y, blot)
            _scale(blot, views.area[k])


@compiled
def _line(side: int) -> _Line:
    return _Line(
        np.empty(side),
        np.empty(side, np.int64),
        np.empty(side, np.int64),
        np.empty((_KNOTS, side), np.float32),
    )


@compiled
def _follow(place: FloatArray, row: int, line: _Line) -> None:
    """Write where a row's pixels lie, and what the six knots about each weigh."""
    start = place[0] + row * (place[2] + row * place[5])
    slope, bend = place[1] + row * place[4], place[3]
    at, nearest, first, weight = line
    for i in range(len(at)):
        at[i] = start + i * (slope + i * bend)
    half, two = np.float32(0.5), np.float32(2)
    for i in range(len(at)):
        below = np.floor(at[i])
        beyond = np.float32(at[i] - below) - half
        first[i] = np.int64(below) - _BELOW
        nearest[i] = np.int64(below) + (beyond >= 0)
        # About the middle between two knots weights mirror each other: even parts and odd ones.
        z = two * beyond
        q = z * z
        even = np.float32(1) + q * (np.float32(10) + q * np.float32(5))
        odd = z * (np.float32(5) + q * (np.float32(10) + q))
        weight[0, i], weight[5, i] = even - odd, even + odd
        even = np.float32(237) + q * (np.float32(210) - q * np.float32(15))
        odd = z * (np.float32(375) + q * (np.float32(30) - q * np.float32(5)))
        weight[1, i], weight[4, i] = even - odd, even + odd
        even = np.float32(1682) + q * (q * np.float32(10) - np.float32(220))
        odd = z * (np.float32(770) + q * (q * np.float32(10) - np.float32(140)))
        weight[2, i], weight[3, i] = even - odd, even + odd


@compiled
def _look_up(planes: GridPlanes, x: _Line, y: _Line, row: BlotPlanes, source: int) -> None:
    """Write what a row's pixels take from the nearest pixel of the grid."""
    ny, nx = planes.weight.shape
    is_known = planes.label.size > 0
    for i in range(len(row.good)):
        right, up = x.nearest[i], y.nearest[i]
        weight, share, label = np.float32(0), np.float32(0), np.int64(0)
        if 0 <= right < nx and 0 <= up < ny:
            weight, share = planes.weight[up, right], planes.share[up, right]
            if is_known:
                label = planes.label[up, right]
        row.good[i] = weight > 0
        row.variance[i] = np.float32(1) / weight if weight > 0 else np.float32(0)
        row.share[i] = share
        row.others[i] = label != 0 and label != source


@compiled
def _interpolate(coefficients: Float32Array, x: _Line, y: _Line, row: BlotPlanes) -> None:
    """Write the spline's values at a row's pixels, per pixel of the grid; 0 where not good."""
    ny, nx = coefficients.shape
    # Unsigned indices: what counts from the end in Python need not be told apart.
    flat, one, stride = coefficients.reshape(-1), np.uint64(1), np.uint64(nx)
    for i in range(len(row.good)):
        left, low = x.first[i], y.first[i]
        value = np.float32(0)
        if not row.good[i]:
            pass
        elif left >= 0 and left + _KNOTS <= nx and low >= 0 and low + _KNOTS <= ny:
            k = np.uint64(low * nx + left)
            for knot in range(_KNOTS):
                value += y.weight[knot, i] * (
                    x.weight[0, i] * flat[k]
                    + x.weight[1, i] * flat[k + one]
                    + x.weight[2, i] * flat[k + one + one]
                    + x.weight[3, i] * flat[k + one + one + one]
                    + x.weight[4, i] * flat[k + one + one + one + one]
                    + x.weight[5, i] * flat[k + one + one + one + one + one]
                )
                k += stride
        else:
            for up in range(_KNOTS):
                for right in range(_KNOTS):
                    k = np.uint64(min(max(low + up, 0), ny - 1) * nx)
                    k += np.uint64(min(max(left + right, 0), nx - 1))
                    value += y.weight[up, i] * x.weight[right, i] * flat[k]
        row.values[i] = value * np.float32(1.0 / _UNIT**2)


@compiled
def _scale(row: BlotPlanes, area: np.float32) -> None:
    """Give a row's pixels the area that they have."""
    for i in range(len(row.values)):
        row.values[i] *= area
        row.variance[i] *= area * area
