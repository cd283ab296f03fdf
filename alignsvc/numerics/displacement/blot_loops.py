"""The loops over the pixels of blots: planes of the grid, as windows of a chip see them.

What a window sees is copied first: reading a piece of a large plane row by row costs little, and
finding its pixels there one by one costs more than all that is done with them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.bands import KNOTS

#: Of the knots that a value needs along an axis, how many lie below its pixel.
BELOW = 2
#: Pixels of a window's row that are placed at once.
_SEGMENT = 64
#: Pixels that a processor interpolates at once: neighbours on the chip and on the grid.
_TOGETHER = 16
#: So few take less time one after the other.
_FEW = 3
#: The sum of a point's weights: in this unit the polynomials below have whole coefficients.
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
    first : int64 array, shape (n, 2)
        Column and row of the box where the piece begins that the window sees.
    shape : int64 array, shape (2,)
        Rows and columns of all pieces, knots included.
    place : float64 array, shape (n, 2, 6)
        Of x, y in the piece: coefficients of 1, i, j, i^2, ij, j^2 at column i, row j of the
        window.
    area : float32 array, shape (n,)
        Grid pixels per chip pixel.
    source : int64 array, shape (n,)
        The label that is its own.
    """

    first: IntArray
    shape: IntArray
    place: FloatArray
    area: Float32Array
    source: IntArray


class BlotPlanes(NamedTuple):
    """What is seen, shape (n, side, side); see `BlotStack`."""

    values: Float32Array
    good: BoolArray
    variance: Float32Array
    share: Float32Array
    others: BoolArray


class _Piece(NamedTuple):
    """A piece of the planes, row after row; beyond the box nothing is good.

    Parameters
    ----------
    coefficients, variance, share : float32 arrays
        `variance` is 0 where not good. `coefficients` have some numbers more at their end.
    others : bool array
    """

    coefficients: Float32Array
    variance: Float32Array
    share: Float32Array
    others: BoolArray


class _Segment(NamedTuple):
    """Where some pixels of a window's row lie in the piece.

    Parameters
    ----------
    x, y : int64 arrays
        The pixel below and left.
    nearest : int64 array
        Index of the nearest pixel.
    weight : float32 array
        Of the six knots along x, of those along y, in units of 1 / 3840, and the value: `_ROW`
        numbers each, in one array, so that a compiler knows them apart.
    """

    x: IntArray
    y: IntArray
    nearest: IntArray
    weight: Float32Array


#: Numbers of a row of `_Segment.weight`: what is interpolated together may reach beyond the end.
_ROW = _SEGMENT + _TOGETHER


@compiled
def fill_blots(planes: GridPlanes, views: Views, blots: BlotPlanes) -> None:
    """Write all pixels of blots. A value depends on where its pixel lies, and on nothing else."""
    side = blots.values.shape[1]
    height, width = views.shape
    piece, segment = _empty_piece(height * width), _empty_segment()
    for k in range(len(views.place)):
        _copy(planes, views.first[k], (height, width), views.source[k], piece)
        for row in range(side):
            for column in range(0, side, _SEGMENT):
                n = min(_SEGMENT, side - column)
                _follow(views.place[k], (row, column, n), (height, width), segment)
                _interpolate(piece.coefficients, width, n, segment)
                part = slice(column, column + n)
                seen = BlotPlanes(
                    blots.values[k, row, part],
                    blots.good[k, row, part],
                    blots.variance[k, row, part],
                    blots.share[k, row, part],
                    blots.others[k, row, part],
                )
                _write(piece, segment, views.area[k], seen)


@compiled
def _empty_piece(size: int) -> _Piece:
    return _Piece(
        np.zeros(size + _TOGETHER, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.bool_),
    )


@compiled
def _empty_segment() -> _Segment:
    return _Segment(
        np.empty(_SEGMENT, np.int64),
        np.empty(_SEGMENT, np.int64),
        np.empty(_SEGMENT, np.int64),
        np.zeros((2 * KNOTS + 1) * _ROW, np.float32),
    )


@compiled
def _copy(
    planes: GridPlanes, first: IntArray, shape: tuple[int, int], source: int, piece: _Piece
) -> None:
    """Copy what a window sees of the planes."""
    ny, nx = planes.weight.shape
    height, width = shape
    left, low = first
    # What of the piece's columns the box has.
    begin, end = min(max(-left, 0), width), min(max(nx - left, 0), width)
    for row in range(height):
        y = min(max(low + row, 0), ny - 1)
        part = slice(row * width, (row + 1) * width)
        coefficients, variance = piece.coefficients[part], piece.variance[part]
        share, others = piece.share[part], piece.others[part]
        if begin > 0 or end < width or y != low + row:
            variance[:] = 0
            share[:] = 0
            for column in range(width):
                coefficients[column] = planes.coefficients[y, min(max(left + column, 0), nx - 1)]
        else:
            _copy_row(planes.coefficients[y, left : left + width], coefficients)
        others[:] = False
        if y == low + row and begin < end:
            inside = slice(left + begin, left + end)
            _invert(planes.weight[y, inside], variance[begin:end])
            _copy_row(planes.share[y, inside], share[begin:end])
            if planes.label.size:
                _tell_others(planes.label[y, inside], source, others[begin:end])


@compiled
def _copy_row(row: Float32Array, into: Float32Array) -> None:
    for i in range(len(row)):
        into[i] = row[i]


@compiled
def _invert(weight: Float32Array, variance: Float32Array) -> None:
    for i in range(len(weight)):
        inverse = np.float32(1) / weight[i]
        variance[i] = inverse if weight[i] > 0 else np.float32(0)


@compiled
def _tell_others(label: IntArray, source: int, others: BoolArray) -> None:
    for i in range(len(label)):
        others[i] = (label[i] != 0) & (label[i] != source)


@compiled
def _follow(
    place: FloatArray, start: tuple[int, int, int], shape: tuple[int, int], segment: _Segment
) -> None:
    """Write where pixels of a row lie in a piece, and what the knots about each weigh."""
    row, column, n = start
    height, width = shape
    x, y, nearest, weight = segment
    for axis in range(2):
        one, by_i, by_j, by_ii, by_ij, by_jj = place[axis]
        begin = one + row * (by_j + row * by_jj)
        slope = by_i + row * by_ij
        last = (width if axis == 0 else height) - KNOTS + BELOW
        pixel = x if axis == 0 else y
        begin_weight = axis * KNOTS * _ROW
        for i in range(n):
            at = begin + (column + i) * (slope + (column + i) * by_ii)
            below = np.floor(at)
            # Beyond its piece, whose rim is not good, a window sees the rim.
            if not below >= BELOW:
                below = np.float64(BELOW)
            if below > last:
                below = np.float64(last)
            above = np.float32(at - below) - np.float32(0.5)
            pixel[i] = np.int64(below)
            weight[begin_weight + i] = np.float32(2) * above
    for i in range(n):
        up, right = weight[KNOTS * _ROW + i] >= 0, weight[i] >= 0
        nearest[i] = (y[i] + up) * width + x[i] + right
    for axis in range(2):
        _weigh(weight[axis * KNOTS * _ROW : (axis + 1) * KNOTS * _ROW], n)


@compiled
def _weigh(weight: Float32Array, n: int) -> None:
    """Write the weights of six knots over the double distances from the middle of the third."""
    five, ten = np.float32(5), np.float32(10)
    for i in range(n):
        # About the middle between two knots weights mirror each other: even parts and odd ones.
        z = weight[i]
        q = z * z
        even = np.float32(1) + q * (ten + q * five)
        odd = z * (five + q * (ten + q))
        weight[i], weight[5 * _ROW + i] = even - odd, even + odd
        even = np.float32(237) + q * (np.float32(210) - q * np.float32(15))
        odd = z * (np.float32(375) + q * (np.float32(30) - q * five))
        weight[_ROW + i], weight[4 * _ROW + i] = even - odd, even + odd
        even = np.float32(1682) + q * (q * ten - np.float32(220))
        odd = z * (np.float32(770) + q * (q * ten - np.float32(140)))
        weight[2 * _ROW + i], weight[3 * _ROW + i] = even - odd, even + odd


@compiled
def _interpolate(coefficients: Float32Array, width: int, n: int, segment: _Segment) -> None:
    """Write the spline's values at pixels of a row, those together that are so on the grid."""
    x, y, _, weight = segment
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and x[end] == x[end - 1] + 1 and y[end] == y[begin]:
            end += 1
        for i in range(begin, end, _TOGETHER):
            first = (y[i] - BELOW) * width + x[i] - BELOW
            n_together = _TOGETHER if end - i > _FEW else end - i
            _interpolate_together(coefficients[first:], width, weight[i:], n_together)
        begin = end


@compiled
def _interpolate_together(c: Float32Array, width: int, w: Float32Array, n: int) -> None:
    """Write the values of n neighbours; of many, also of what is beyond, written again later."""
    # Unsigned, or each index might count from the end: then nothing would be done together.
    zero, one, row, line = np.uint64(0), np.uint64(1), np.uint64(_ROW), np.uint64(width)
    for i in range(np.uint64(n)):
        x0, x1, x2 = zero + i, row + i, row + row + i
        x3, x4, x5 = x2 + row, x2 + row + row, x2 + row + row + row
        y, k, value = x5 + row, x0, np.float32(0)
        for _ in range(KNOTS):
            value += w[y] * (
                w[x0] * c[k]
                + w[x1] * c[k + one]
                + w[x2] * c[k + one + one]
                + w[x3] * c[k + one + one + one]
                + w[x4] * c[k + one + one + one + one]
                + w[x5] * c[k + one + one + one + one + one]
            )
            y += row
            k += line
        w[y] = value * np.float32(1.0 / _UNIT**2)


@compiled
def _write(piece: _Piece, segment: _Segment, area: np.float32, seen: BlotPlanes) -> None:
    """Write pixels of a row, with the area that they have."""
    for i in range(len(seen.values)):
        k = np.uint64(segment.nearest[i])
        variance = piece.variance[k]
        good = variance > 0
        seen.good[i] = good
        value = area * segment.weight[2 * KNOTS * _ROW + i]
        seen.values[i] = value if good else np.float32(0)
        seen.variance[i] = area * area * variance
        seen.share[i] = piece.share[k]
        seen.others[i] = piece.others[k]
