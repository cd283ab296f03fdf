"""Square drops along the grid's axes ("turbo"), summed as value x weight and weight."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.grid_units import PartInGridUnits

#: Drops that are worth being added as a run.
_LONG = 64
#: Drops of a run that are looked at together, and how they look if none of them starts another.
_STRIDE = 8
_ALL_CONTINUE = np.uint64(0x0101010101010101)

#: Of each drop of a row: column and row of the pixel with its corner; how far it reaches into it,
#: in x and y; whether it is ordinary, whether it continues a run, the same in strides; its heights.
Room: TypeAlias = tuple[
    tuple[IntArray, IntArray],
    tuple[Float32Array, Float32Array],
    tuple[BoolArray, NDArray[np.uint8], NDArray[np.uint64]],
    tuple[Float32Array, Float32Array],
]


class PlacedPart(NamedTuple):
    """Pixels of a chip, shape (ny, nx), and their grid x and y, shape (2, ny, nx)."""

    part: PartInGridUnits
    positions: FloatArray


class SumPlanes(NamedTuple):
    """Sums over a box of the grid's plane, to which chip pixels are added.

    Attributes
    ----------
    box : PixelBox
    numerator, weight : float32 arrays, both of the box's shape, writable
        Sums of value x weight and of weight.
    """

    box: PixelBox
    numerator: Float32Array
    weight: Float32Array

    @classmethod
    def zeros(cls, box: PixelBox) -> SumPlanes:
        """Return those of nothing."""
        return cls(box, np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32))


@compiled
def drop(
    planes: tuple[Float32Array, Float32Array],
    positions: FloatArray,
    frame: tuple[float, int, int],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add drops; `frame` is their side, and x and y of the first pixel of the sums."""
    room = drop_room(planes[0].shape[1])
    for r in range(planes[0].shape[0]):
        place = positions[0, r], positions[1, r]
        drop_row((planes[0][r], planes[1][r]), place, frame, room, sums)


@compiled
def drop_room(n: int) -> Room:
    """Return where `drop_row` works on n pixels."""
    continues = np.zeros(-(-n // _STRIDE) * _STRIDE, np.uint8)
    return (
        (np.empty(n, np.int32), np.empty(n, np.int32)),
        (np.empty(n, np.float32), np.empty(n, np.float32)),
        (np.empty(n, np.bool_), continues, continues.view(np.uint64)),
        (np.empty(n, np.float32), np.empty(n, np.float32)),
    )


@compiled
def drop_row(
    planes: tuple[Float32Array, Float32Array],
    place: tuple[FloatArray, FloatArray],
    frame: tuple[float, int, int],
    room: Room,
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add the drops of a row of a chip: of its values and weights, at grid x and y.

    Of each drop the pixel that holds its upper right corner is found first, and how far the drop
    reaches into it. Nearly all drops are ordinary: they cover that pixel, its left, its lower and
    its lower left neighbour. And where a row of the chip lies along a row of the grid, they come
    in long runs, with their corners in one pixel after the other: these are added many at once.
    Each pixel of the sums gets the same terms in the same order either way.
    """
    corner, reach, (is_ordinary, continues, strides), heights = room
    drops, sizes = (corner, reach), (np.float32(frame[0]), np.float32(1.0 / frame[0] ** 2))
    _find_corners(place, frame, corner, reach)
    x, y, n = place[0], place[1], len(place[0])
    if (abs(x[n - 1] - x[0] - (n - 1)) + abs(y[n - 1] - y[0])) * _LONG > n:
        _add_drops(planes, drops, (0, n), sizes, sums)
        return
    _find_runs(drops, sizes[0], sums[0].shape, is_ordinary, continues)
    _find_heights(planes[1], reach[1], sizes, heights)
    added = start = 0
    while start < n:
        end = start + 1
        while end < n and continues[end]:
            end += 1
            if end % _STRIDE == 0:
                while end < n and strides[end // _STRIDE] == _ALL_CONTINUE:
                    end += _STRIDE
        if end - start >= _LONG:
            if added < start:
                _add_drops(planes, drops, (added, start), sizes, sums)
            at = corner[1][start] * sums[0].shape[1] + corner[0][start]
            _add_run((reach[0], heights, planes[0]), sizes[0], (start, end, at), sums)
            added = end
        start = end
    if added < n:
        _add_drops(planes, drops, (added, n), sizes, sums)


@compiled
def _find_corners(
    place: tuple[FloatArray, FloatArray],
    frame: tuple[float, int, int],
    corner: tuple[IntArray, IntArray],
    reach: tuple[Float32Array, Float32Array],
) -> None:
    """Write column and row of the pixels that hold corners, and how far drops reach into them."""
    wide, x0, y0 = frame
    to_corner = 0.5 + 0.5 * wide
    for axis, first in ((0, x0), (1, y0)):
        along, whole, part = place[axis], corner[axis], reach[axis]
        for c in range(len(along)):
            at = along[c] + to_corner
            below = np.floor(at)
            whole[c], part[c] = np.int32(below - first), np.float32(at - below)


@compiled
def _find_runs(
    drops: tuple[tuple[IntArray, IntArray], tuple[Float32Array, Float32Array]],
    side: np.float32,
    shape: tuple[int, int],
    is_ordinary: BoolArray,
    continues: NDArray[np.uint8],
) -> None:
    """Write which drops are ordinary, in sums of this shape, and which continue a run."""
    corner, reach = drops
    column, row = corner
    one, none = np.float32(1.0), np.float32(0.0)
    for axis in range(2):
        whole, part, size = corner[axis], reach[axis], np.int32(shape[1 - axis])
        for c in range(len(whole)):
            rest = side - part[c]
            fits = (rest <= one) & (rest >= none) & (whole[c] > 0) & (whole[c] < size)
            is_ordinary[c] = fits if axis == 0 else is_ordinary[c] & fits
    for c in range(1, len(column)):
        is_next = (column[c] - column[c - 1] == 1) & (row[c] == row[c - 1])
        continues[c] = is_next & is_ordinary[c] & is_ordinary[c - 1]


@compiled
def _find_heights(
    weights: Float32Array,
    reach: Float32Array,
    sizes: tuple[np.float32, np.float32],
    heights: tuple[Float32Array, Float32Array],
) -> None:
    """Write what parts of the weights ordinary drops give to the row below and to their own."""
    below, above = heights
    side, per_area = sizes
    for c in range(len(reach)):
        weight = weights[c] * per_area
        below[c], above[c] = (side - reach[c]) * weight, reach[c] * weight


@compiled
def _add_run(
    drops: tuple[Float32Array, tuple[Float32Array, Float32Array], Float32Array],
    side: np.float32,
    run: tuple[int, int, int],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add the drops of a run: `run` is the first, what follows the last, and the first's corner."""
    reach, heights, values = drops
    wide, one = np.uint64(sums[0].shape[1]), np.uint64(1)
    first, last = np.uint64(run[0]), np.uint64(run[1]) - one
    at = np.uint64(run[2]) - wide
    numerator, total = sums[0].reshape(-1), sums[1].reshape(-1)
    for j in range(2):
        height = heights[j]
        left = (side - reach[first]) * height[first]
        total[at - one] += left
        numerator[at - one] += left * values[first]
        for k in range(last - first):
            here, there = first + k, first + k + one
            right, left = reach[here] * height[here], (side - reach[there]) * height[there]
            total[at + k] = (total[at + k] + right) + left
            numerator[at + k] = (numerator[at + k] + right * values[here]) + left * values[there]
        right = reach[last] * height[last]
        total[at + last - first] += right
        numerator[at + last - first] += right * values[last]
        at += wide


@compiled
def _add_drops(
    planes: tuple[Float32Array, Float32Array],
    drops: tuple[tuple[IntArray, IntArray], tuple[Float32Array, Float32Array]],
    which: tuple[int, int],
    sizes: tuple[np.float32, np.float32],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add drops one after the other, from the first of `which` to before the second."""
    values, weights = planes
    (column, row), (reach_x, reach_y) = drops
    side, per_area = sizes
    numerator, total = sums[0].reshape(-1), sums[1].reshape(-1)
    ny, nx = sums[0].shape
    none, one = np.float32(0.0), np.float32(1.0)
    for c in range(which[0], which[1]):
        weight = weights[c] * per_area
        if not weight > none:
            continue
        value = values[c]
        i, j, dx, dy = column[c], row[c], reach_x[c], reach_y[c]
        left, below = side - dx, side - dy
        fits_x, fits_y = left <= one and left >= none, below <= one and below >= none
        if fits_x and fits_y and 0 < i < nx and 0 < j < ny:
            at = np.uint64(j) * np.uint64(nx) + np.uint64(i)
            under = at - np.uint64(nx)
            dy *= weight
            below *= weight
            numerator[under - np.uint64(1)] += left * below * value
            total[under - np.uint64(1)] += left * below
            numerator[under] += dx * below * value
            total[under] += dx * below
            numerator[at - np.uint64(1)] += left * dy * value
            total[at - np.uint64(1)] += left * dy
            numerator[at] += dx * dy * value
            total[at] += dx * dy
        else:
            _drop_anywhere((i, j), (dx, dy, side), (value, weight), sums)


@compiled
def _drop_anywhere(
    corner: tuple[int, int],
    reach: tuple[np.float32, np.float32, np.float32],
    what: tuple[np.float32, np.float32],
    sums: tuple[Float32Array, Float32Array],
) -> None:
    """Add one drop of any size, the part of it within the sums."""
    dx, dy, side = reach
    value, weight = what
    j, rest_y = corner[1], side
    part_y = min(dy, side)
    while rest_y > 0:
        i, rest_x = corner[0], side
        part_x = min(dx, side)
        while rest_x > 0:
            if 0 <= j < sums[0].shape[0] and 0 <= i < sums[0].shape[1]:
                share = part_x * (part_y * weight)
                sums[0][j, i] += share * value
                sums[1][j, i] += share
            rest_x -= part_x
            part_x = min(np.float32(1.0), rest_x)
            i -= 1
        rest_y -= part_y
        part_y = min(np.float32(1.0), rest_y)
        j -= 1
