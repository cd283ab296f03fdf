"""What the phase of the pixel makes lopsided, taken off before it is drizzled.

A grid pixel between two chip pixels, p beyond the first, is drizzled to ``(1 - p) first + p
second``. That moves nothing, but has a third moment, ``p (1 - p) (1 - 2 p)``: it adds a sixth of
that times the third derivative. A lopsided template places a symmetric star of FWHM 4 px wrongly
by 4 mpx, one of 3 px by 15. With the phases of many exposures it averages out; of two that differ
by a shift all sources have it alike, and in opposite senses in the two. So a sixth of the third
moment times the third difference is subtracted from the chip's pixels.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: Third difference, right to the fourth order: coefficients of the pixels 1, 2, 3 ahead. A pixel's
#: value and weight matter so far along its row and its column.
_NEAR, _NEXT, _FAR = np.float32(-13 / 8), np.float32(1.0), np.float32(-1 / 8)
SKEW_REACH_PX = _REACH = 3
#: Where a step of one chip pixel differs by more from one of a grid pixel, phases go round within
#: a source, and average out; the subtraction fades on the way there.
_MOST_CHANGE = 0.1

_Six: TypeAlias = tuple[
    Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array
]
_Seven: TypeAlias = tuple[
    Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array,
    Float32Array,
]  # fmt: skip


def skew_of_phases(
    chip: CalibratedChip,
    positions: FloatArray,
    part: PixelBox,
    turn: FloatArray,
    out: Float32Array | None = None,
) -> Float32Array:
    """Return what to subtract from a box of a chip so that drizzled it is not lopsided.

    For drops of the chip pixel's own size, along the grid's axes.

    Parameters
    ----------
    chip : CalibratedChip
    positions : float64 array, shape (2, ny, nx)
        Grid x and y of the pixels of the box.
    part : PixelBox
        In pixels of the chip.
    turn : float64 array, shape (2, 2)
        d(grid)/d(chip) in the middle: grid x, y along chip x, y.
    out : float32 array, shape (ny, nx), or None
        Where to write; None = a new array.

    Returns
    -------
    float32 array, shape (ny, nx)
        Per chip pixel; 0 where the third difference needs a pixel without weight.
    """
    found = np.empty(positions.shape[1:], np.float32) if out is None else out
    planes, first = (chip.pixels, chip.weight), (part.y0, part.x0)
    add_skew(planes, first, positions, moments_of(turn), found)
    return found


def skew_at_pixels(
    chip: CalibratedChip,
    chosen: tuple[IntArray, IntArray],
    positions: FloatArray,
    turn: FloatArray,
) -> Float32Array:
    """Return the same of n pixels of a chip, bit for bit: shape (n,).

    Parameters
    ----------
    chip : CalibratedChip
    chosen : two int64 arrays, shape (n,)
        Rows and columns.
    positions : float64 array, shape (2, n)
        Their grid x and y.
    turn : float64 array, shape (2, 2)
        As of `skew_of_phases`.
    """
    found = np.zeros(positions.shape[1], np.float32)
    for chip_axis, (grid_axis, factor) in enumerate(moments_of(turn)):
        if factor:
            place, step = positions[grid_axis], (chip_axis, 1 - chip_axis)
            planes = (chip.pixels, chip.weight)
            _add_at_pixels(planes, (chosen, step), place, factor, found)
    return found


#: A sixth of the third moment is this factor of p (1 - p) (1 - 2 p), p by the phase in x (0) or y
#: (1) on the grid: along the chip's x, and along its y. A factor of 0: nothing is subtracted.
Moments: TypeAlias = tuple[tuple[int, np.float32], tuple[int, np.float32]]
NO_MOMENTS: Moments = ((0, np.float32(0.0)), (1, np.float32(0.0)))


def moments_of(turn: FloatArray) -> Moments:
    """Return them for d(grid)/d(chip) in the middle of a chip, shape (2, 2)."""
    return _moment(turn[:, 0]), _moment(turn[:, 1])


def _moment(along: FloatArray) -> tuple[int, np.float32]:
    grid_axis = int(np.abs(along).argmax())
    change = max(abs(abs(along[grid_axis]) - 1.0), abs(along[1 - grid_axis]))
    strength = max(0.0, 1.0 - change / _MOST_CHANGE)
    # The grid pixel lies 1 - phase beyond the chip's, or phase where the axes oppose.
    return grid_axis, np.float32(-float(np.sign(along[grid_axis])) * strength / 6.0)


@compiled
def add_skew(
    planes: tuple[Float32Array, Float32Array],
    first: tuple[int, int],
    positions: FloatArray,
    moments: Moments,
    out: Float32Array,
) -> None:
    """Write what to subtract from the chip's pixels from row and column `first` on."""
    out[:] = np.float32(0.0)
    (axis_along_x, factor_along_x), (axis_along_y, factor_along_y) = moments
    if factor_along_x != np.float32(0.0):
        _add_along_x(planes, first, positions[axis_along_x], factor_along_x, out)
    if factor_along_y != np.float32(0.0):
        _add_along_y(planes, first, positions[axis_along_y], factor_along_y, out)


@compiled
def _add_along_x(
    planes: tuple[Float32Array, Float32Array],
    first: tuple[int, int],
    positions: FloatArray,
    factor: np.float32,
    out: Float32Array,
) -> None:
    """Add moment times third difference along chip x, 0 near its ends and bad pixels."""
    y0, x0 = first
    ends = planes[0].shape[1] - _REACH
    begin, end = max(x0, _REACH), max(min(x0 + out.shape[1], ends), max(x0, _REACH))
    inner = slice(begin - x0, end - x0)
    for r in range(out.shape[0]):
        pixels, weight = planes[0][y0 + r], planes[1][y0 + r]
        near = slice(begin - 1, end - 1), slice(begin + 1, end + 1)
        next_ = slice(begin - 2, end - 2), slice(begin + 2, end + 2)
        far = slice(begin - 3, end - 3), slice(begin + 3, end + 3)
        _add_row(
            (pixels[near[0]], pixels[near[1]], pixels[next_[0]], pixels[next_[1]],
             pixels[far[0]], pixels[far[1]]),
            (weight[near[0]], weight[near[1]], weight[next_[0]], weight[next_[1]],
             weight[far[0]], weight[far[1]], weight[begin:end]),
            positions[r, inner],
            factor,
            out[r, inner],
        )  # fmt: skip


@compiled
def _add_along_y(
    planes: tuple[Float32Array, Float32Array],
    first: tuple[int, int],
    positions: FloatArray,
    factor: np.float32,
    out: Float32Array,
) -> None:
    """Add the same along chip y."""
    y0, x0 = first
    pixels, weight = planes
    wide = slice(x0, x0 + out.shape[1])
    for y in range(max(y0, _REACH), min(y0 + out.shape[0], pixels.shape[0] - _REACH)):
        _add_row(
            (pixels[y - 1][wide], pixels[y + 1][wide], pixels[y - 2][wide], pixels[y + 2][wide],
             pixels[y - 3][wide], pixels[y + 3][wide]),
            (weight[y - 1][wide], weight[y + 1][wide], weight[y - 2][wide], weight[y + 2][wide],
             weight[y - 3][wide], weight[y + 3][wide], weight[y][wide]),
            positions[y - y0],
            factor,
            out[y - y0],
        )  # fmt: skip


@compiled
def _add_row(
    pixels: _Six, weight: _Seven, positions: FloatArray, factor: np.float32, out: Float32Array
) -> None:
    """Add what is known from pixels before and behind, the nearest first, and their weights."""
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    before, behind, before2, behind2, before3, behind3 = pixels
    w1, w2, w3, w4, w5, w6, own = weight
    third, good = np.empty(len(out), np.float32), np.empty(len(out), np.uint8)
    # Three loops: with more arrays in one, compilers give up checking that none overlap.
    for x in range(len(out)):
        near = (w1[x] > zero) & (w2[x] > zero) & (w3[x] > zero) & (own[x] > zero)
        good[x] = near & (w4[x] > zero) & (w5[x] > zero) & (w6[x] > zero)
    for x in range(len(out)):
        ahead = _NEAR * (behind[x] - before[x]) + _NEXT * (behind2[x] - before2[x])
        third[x] = ahead + _FAR * (behind3[x] - before3[x])
    for x in range(len(out)):
        phase = np.float32(positions[x] - np.floor(positions[x]))
        skew = factor * phase * (one - phase) * (one - two * phase) * third[x]
        out[x] += skew if good[x] else zero


@compiled
def _add_at_pixels(
    planes: tuple[Float32Array, Float32Array],
    chosen: tuple[tuple[IntArray, IntArray], tuple[int, int]],
    positions: FloatArray,
    factor: np.float32,
    out: Float32Array,
) -> None:
    """Add moment times third difference at pixels; `chosen`: these, and a step along the axis."""
    zero, one, two = np.float32(0.0), np.float32(1.0), np.float32(2.0)
    (rows, columns), (dy, dx) = chosen
    ny, nx = planes[0].shape
    pixels, weight = planes[0].reshape(-1), planes[1].reshape(-1)
    # Unsigned: no index is looked at whether it counts from the end.
    step = np.uint64(dy * nx + dx)
    step2, step3 = step + step, step + step + step
    for k in range(len(out)):
        y, x = rows[k], columns[k]
        if not (_REACH * dy <= y < ny - _REACH * dy and _REACH * dx <= x < nx - _REACH * dx):
            continue
        at = np.uint64(y * nx + x)
        near = (weight[at - step] > zero) & (weight[at + step] > zero) & (weight[at] > zero)
        next_ = (weight[at - step2] > zero) & (weight[at + step2] > zero)
        if not (near & next_ & (weight[at - step3] > zero) & (weight[at + step3] > zero)):
            continue
        ahead = _NEAR * (pixels[at + step] - pixels[at - step])
        ahead += _NEXT * (pixels[at + step2] - pixels[at - step2])
        third = ahead + _FAR * (pixels[at + step3] - pixels[at - step3])
        phase = np.float32(positions[k] - np.floor(positions[k]))
        out[k] += factor * phase * (one - phase) * (one - two * phase) * third
