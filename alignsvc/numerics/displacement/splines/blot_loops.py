"""The loops over the pixels of blots: planes of the grid, as windows of a chip see them.

What a window sees is copied first: reading a piece of a large plane row by row costs little, and
finding its pixels there one by one costs more than all that is done with them. What is called for
each row is handed plain arrays and becomes a part of its caller: a call that is handed named tuples
counts who uses each of their arrays, and costs as much as the row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.bands import KNOTS

#: Of the knots that a value needs along an axis, how many lie below its pixel.
BELOW = 2
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
    coefficients : float32 array
        Some numbers more at the end.
    weight, share : float32 arrays
    others : bool array
    """

    coefficients: Float32Array
    weight: Float32Array
    share: Float32Array
    others: BoolArray


class _Sampled(NamedTuple):
    """What a window sees, row after row.

    Parameters
    ----------
    nearest : int64 array
        Index of the nearest pixel in the piece.
    values : float32 array
        Of the spline; some numbers more at the end.
    """

    nearest: IntArray
    values: Float32Array


@compiled
def fill_blots(planes: GridPlanes, views: Views, blots: BlotPlanes) -> None:
    """Write all pixels of blots. A value depends on where its pixel lies, and on nothing else."""
    side = blots.values.shape[1]
    height, width = views.shape
    piece, sampled = _empty_piece(height * width), _empty_sampled(side)
    room = _room(side)
    for k in range(len(views.place)):
        first = views.first[k, 0], views.first[k, 1]
        _copy(planes.coefficients, first, (height, width), piece.coefficients)
        _copy_inside(planes.weight, first, (height, width), piece.weight)
        _copy_inside(planes.share, first, (height, width), piece.share)
        _tell_others(planes.label, first, (height, width), (views.source[k], piece.others))
        _sample(views.place[k], piece.coefficients, (height, width), (sampled, room))
        _see(piece, sampled, views.area[k], (k, blots))


@compiled
def _empty_piece(size: int) -> _Piece:
    return _Piece(
        np.zeros(size + _TOGETHER, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.float32),
        np.empty(size, np.bool_),
    )


@compiled
def _empty_sampled(side: int) -> _Sampled:
    return _Sampled(np.empty(side**2, np.int64), np.empty(side**2 + _TOGETHER, np.float32))


@compiled
def _room(side: int) -> tuple[IntArray, IntArray, Float32Array]:
    """Return room for a row: the pixels below and left, and the weights of knots along x and y."""
    return (
        np.empty(side, np.int64),
        np.empty(side, np.int64),
        np.zeros(2 * KNOTS * (side + _TOGETHER), np.float32),
    )


@compiled
def _copy(
    plane: Float32Array, first: tuple[int, int], shape: tuple[int, int], piece: Float32Array
) -> None:
    """Copy a piece of a plane, whose outermost numbers continue beyond it."""
    ny, nx = plane.shape
    height, width = shape
    left, low = first
    for row in range(height):
        # Unsigned, or each index might count from the end: then nothing would be done together.
        y, start = np.uint64(min(max(low + row, 0), ny - 1)), np.uint64(row * width)
        if 0 <= left <= nx - width:
            begin = np.uint64(left)
            for column in range(np.uint64(width)):
                piece[start + column] = plane[y, begin + column]
        else:
            for column in range(width):
                piece[row * width + column] = plane[y, min(max(left + column, 0), nx - 1)]


@compiled
def _copy_inside(
    plane: Float32Array, first: tuple[int, int], shape: tuple[int, int], piece: Float32Array
) -> None:
    """Copy a piece of a plane; 0 beyond it."""
    ny, nx = plane.shape
    height, width = shape
    left, low = first
    begin, end = max(-left, 0), min(nx - left, width)
    piece[:] = 0
    for row in range(max(-low, 0), min(ny - low, height)):
        y, x, start = np.uint64(low + row), np.uint64(left + begin), np.uint64(row * width + begin)
        for column in range(np.uint64(max(end - begin, 0))):
            piece[start + column] = plane[y, x + column]


@compiled
def _tell_others(
    label: IntArray,
    first: tuple[int, int],
    shape: tuple[int, int],
    of: tuple[int, BoolArray],
) -> None:
    """Write which pixels of a piece have the label of another source."""
    ny, nx = label.shape
    height, width = shape
    left, low = first
    source, others = of
    begin, end = max(-left, 0), min(nx - left, width)
    others[:] = False
    for row in range(max(-low, 0), min(ny - low, height)):
        y, x, start = np.uint64(low + row), np.uint64(left + begin), np.uint64(row * width + begin)
        for column in range(np.uint64(max(end - begin, 0))):
            one = label[y, x + column]
            others[start + column] = (one != 0) & (one != source)


@compiled
def _sample(
    place: FloatArray,
    coefficients: Float32Array,
    shape: tuple[int, int],
    into: tuple[_Sampled, tuple[IntArray, IntArray, Float32Array]],
) -> None:
    """Write the spline's values at the pixels of a window, and which pixels are nearest."""
    (nearest, values), (x, y, weight) = into
    side, (height, width) = len(x), shape
    for row in range(side):
        for axis in range(2):
            one, by_i, by_j, by_ii, by_ij, by_jj = place[axis]
            line = one + row * (by_j + row * by_jj), by_i + row * by_ij, by_ii
            last = (height if axis else width) - KNOTS + BELOW
            _follow(line, last, y if axis else x, axis, weight)
        _find_nearest((x, y), weight, width, nearest, row)
        for axis in range(2):
            _weigh(weight, axis, side)
        begin = 0
        while begin < side:
            end = begin + 1
            while end < side and x[end] == x[end - 1] + 1 and y[end] == y[begin]:
                end += 1
            first = (y[begin] - BELOW) * width + x[begin] - BELOW
            _interpolate(coefficients, (first, width), weight, (begin, end, side), values, row)
            begin = end


@compiled_sums
def _follow(
    line: tuple[float, float, float], last: int, pixel: IntArray, axis: int, weight: Float32Array
) -> None:
    """Write where pixels of a row lie: the pixel below, and twice the distance from its end."""
    begin, slope, bend = line
    start = np.uint64(axis * KNOTS * (len(pixel) + _TOGETHER))
    for i in range(np.uint64(len(pixel))):
        column = np.float64(i)
        at = begin + column * (slope + column * bend)
        below = np.floor(at)
        # Beyond its piece, whose rim is not good, a window sees the rim.
        if not below >= BELOW:
            below = np.float64(BELOW)
        if below > last:
            below = np.float64(last)
        pixel[i] = np.int64(below)
        weight[start + i] = np.float32(2) * (np.float32(at - below) - np.float32(0.5))


@compiled_sums
def _find_nearest(
    pixel: tuple[IntArray, IntArray], weight: Float32Array, width: int, nearest: IntArray, row: int
) -> None:
    x, y = pixel
    start, along_y = np.uint64(row * len(x)), np.uint64(KNOTS * (len(x) + _TOGETHER))
    for i in range(np.uint64(len(x))):
        up, right = weight[along_y + i] >= 0, weight[i] >= 0
        nearest[start + i] = (y[i] + up) * width + x[i] + right


@compiled_sums
def _weigh(weight: Float32Array, axis: int, n: int) -> None:
    """Write the weights of six knots over the double distances from the middle of the third.

    In units of 1 / 3840.
    """
    five, ten = np.float32(5), np.float32(10)
    line = np.uint64(n + _TOGETHER)
    zero = np.uint64(axis * KNOTS) * line
    one, two, three = zero + line, zero + line + line, zero + line + line + line
    four, last = three + line, three + line + line
    for i in range(np.uint64(n)):
        # About the middle between two knots weights mirror each other: even parts and odd ones.
        z = weight[zero + i]
        q = z * z
        even = np.float32(1) + q * (ten + q * five)
        odd = z * (five + q * (ten + q))
        weight[zero + i], weight[last + i] = even - odd, even + odd
        even = np.float32(237) + q * (np.float32(210) - q * np.float32(15))
        odd = z * (np.float32(375) + q * (np.float32(30) - q * five))
        weight[one + i], weight[four + i] = even - odd, even + odd
        even = np.float32(1682) + q * (q * ten - np.float32(220))
        odd = z * (np.float32(770) + q * (q * ten - np.float32(140)))
        weight[two + i], weight[three + i] = even - odd, even + odd


@compiled_sums
def _interpolate(
    c: Float32Array,
    start: tuple[int, int],
    w: Float32Array,
    part: tuple[int, int, int],
    values: Float32Array,
    row: int,
) -> None:
    """Write the values of neighbours; of many, also of what is beyond, written again later."""
    begin, end, side = part
    n = end - begin
    n_together = -(-n // _TOGETHER) * _TOGETHER if n > _FEW else n
    one, line, step = np.uint64(1), np.uint64(start[1]), np.uint64(side + _TOGETHER)
    first, zero, into = np.uint64(start[0]), np.uint64(begin), np.uint64(row * side + begin)
    for i in range(np.uint64(n_together)):
        k, x0 = first + i, zero + i
        x1, x2 = x0 + step, x0 + step + step
        x3, x4, x5 = x2 + step, x2 + step + step, x2 + step + step + step
        y, value = x5 + step, np.float32(0)
        for _ in range(KNOTS):
            value += w[y] * (
                w[x0] * c[k]
                + w[x1] * c[k + one]
                + w[x2] * c[k + one + one]
                + w[x3] * c[k + one + one + one]
                + w[x4] * c[k + one + one + one + one]
                + w[x5] * c[k + one + one + one + one + one]
            )
            y += step
            k += line
        values[into + i] = value * np.float32(1.0 / _UNIT**2)


@compiled
def _see(piece: _Piece, sampled: _Sampled, area: np.float32, into: tuple[int, BlotPlanes]) -> None:
    """Write the pixels of a window, with the area that they have."""
    k, blots = into
    nearest, values = sampled
    n = len(nearest)
    variance, share = blots.variance[k].reshape(-1), blots.share[k].reshape(-1)
    others, good, found = (
        blots.others[k].reshape(-1),
        blots.good[k].reshape(-1),
        blots.values[k].reshape(-1),
    )
    begin = 0
    while begin < n:
        end = begin + 1
        while end < n and nearest[end] == nearest[end - 1] + 1:
            end += 1
        first, start, n_together = (
            np.uint64(nearest[begin]),
            np.uint64(begin),
            np.uint64(end - begin),
        )
        for i in range(n_together):
            variance[start + i] = piece.weight[first + i]
        for i in range(n_together):
            share[start + i] = piece.share[first + i]
        for i in range(n_together):
            others[start + i] = piece.others[first + i]
        begin = end
    for i in range(n):
        weight = variance[i]
        inverse = area * area / weight
        variance[i] = inverse if weight > 0 else np.float32(0)
        found[i] = area * values[i] if weight > 0 else np.float32(0)
        good[i] = weight > 0
