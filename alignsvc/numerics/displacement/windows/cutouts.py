"""Cutouts: many small square pieces of one chip, cut at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous, hold_read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip

_Number = TypeVar("_Number", np.float32, np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class MaskedStack:
    """Equal square frames, each with its mask.

    Parameters
    ----------
    values : float32 array, shape (n, ..., side, side)
        Finite everywhere. Axes between the first and the last two are versions of a frame
        that share one mask: the four half-pixel blots.
    good : bool array, shape (n, side, side)
        True = the value counts.
    """

    values: Float32Array
    good: BoolArray

    def __post_init__(self) -> None:
        if self.values.shape[-2:] != self.good.shape[-2:] or len(self.values) != len(self.good):
            raise ValueError(
                f"masked stack: values {self.values.shape} and mask {self.good.shape} do not fit"
            )

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.values.shape[-1])

    @property
    def counted(self) -> Float32Array:
        """The values, 0 where not good."""
        if self.good.all():
            return self.values
        good = np.expand_dims(self.good, tuple(range(1, self.values.ndim - 2)))
        # A product takes a fifth of the time of a choice.
        counted: Float32Array = self.values * good
        return counted


@dataclass(frozen=True, slots=True, eq=False)
class CutoutStack:
    """Square cutouts of one chip, all of one size.

    Parameters
    ----------
    corner_x, corner_y : int64 array, shape (n,)
        Chip pixel of each cutout's first pixel.
    pixels : float32 array, shape (n, side, side)
        0 where not good.
    weight : float32 array, shape (n, side, side)
        Inverse variance of the sky noise; 0 where not good.
    good : bool array, shape (n, side, side)
        False = bad, or off the chip.
    saturated, on_chip : bool array, shape (n, side, side)
    """

    corner_x: IntArray
    corner_y: IntArray
    pixels: Float32Array
    weight: Float32Array
    good: BoolArray
    saturated: BoolArray
    on_chip: BoolArray

    def __post_init__(self) -> None:
        hold_read_only(self)

    def __len__(self) -> int:
        return len(self.corner_x)

    @property
    def side(self) -> int:
        """Pixels along a side."""
        return int(self.pixels.shape[-1])


def cut(chip: CalibratedChip, centres: Points, side: int) -> CutoutStack:
    """Return the cutout of `chip` about each of `centres`.

    Parameters
    ----------
    chip : CalibratedChip
    centres : Points, shape (n,)
        Finite chip pixels; a cutout's middle is within half a pixel of its centre.
    side : int
        Pixels along a side.

    Returns
    -------
    CutoutStack
        Pixels off the chip are not good.
    """
    corner_x = np.rint(centres.x - 0.5 * (side - 1)).astype(np.int64)
    corner_y = np.rint(centres.y - 0.5 * (side - 1)).astype(np.int64)
    shape = (len(corner_x), side, side)
    pixels, weight = np.empty(shape, np.float32), np.empty(shape, np.float32)
    good, saturated, on_chip = (np.empty(shape, bool) for _ in range(3))
    planes = chip.pixels, chip.weight, chip.saturated
    _cut(planes, (corner_x, corner_y), (pixels, weight), (good, saturated, on_chip))
    return CutoutStack(corner_x, corner_y, pixels, weight, good, saturated, on_chip)


@compiled
def _cut(
    chip: tuple[Float32Array, Float32Array, BoolArray],
    corner: tuple[IntArray, IntArray],
    values: tuple[Float32Array, Float32Array],
    masks: tuple[BoolArray, BoolArray, BoolArray],
) -> None:
    """Fill pixels and weights, and which are good, saturated, on the chip; see `CutoutStack`."""
    chip_pixels, chip_weight, chip_saturated = chip
    pixels, weight = values[0].reshape(-1), values[1].reshape(-1)
    good, saturated, on_chip = masks[0].reshape(-1), masks[1].reshape(-1), masks[2].reshape(-1)
    (ny, nx), side, zero = chip_pixels.shape, values[0].shape[1], np.float32(0)
    for k in range(len(corner[0])):
        left, low = corner[0][k], corner[1][k]
        begin, end = min(max(-left, 0), side), max(min(nx - left, side), 0)
        for row in range(side):
            # Unsigned, or each index might count from the end: nothing would be done together.
            start = np.uint64((k * side + row) * side)
            if begin > 0 or end < side or not 0 <= low + row < ny:
                for i in range(np.uint64(side)):
                    pixels[start + i] = weight[start + i] = zero
                    good[start + i] = saturated[start + i] = on_chip[start + i] = False
            if not 0 <= low + row < ny:
                continue
            y, x, into = np.uint64(low + row), np.uint64(left + begin), start + np.uint64(begin)
            n = np.uint64(max(end - begin, 0))
            for i in range(n):
                one, light = chip_weight[y, x + i], chip_pixels[y, x + i]
                weight[into + i] = one if one > 0 else zero
                pixels[into + i] = light if one > 0 else zero
            for i in range(n):
                good[into + i] = chip_weight[y, x + i] > 0
            for i in range(n):
                saturated[into + i] = chip_saturated[y, x + i]
            for i in range(n):
                on_chip[into + i] = True


def pieces(plane: NDArray[_Number], row: IntArray, column: IntArray, side: int) -> NDArray[_Number]:
    """Return copies of square pieces of a plane, shape (n, side, side).

    Parameters
    ----------
    plane : array, shape (ny, nx)
    row, column : int64 arrays, shape (n,)
        First of each piece; beyond the plane its outermost values continue.
    side : int
    """
    ny, nx = plane.shape
    inside = (row >= 0) & (row <= ny - side) & (column >= 0) & (column <= nx - side)
    if inside.all():
        return _inner_pieces(plane, row, column, side)
    step = np.arange(side)
    found = np.empty((len(row), side, side), plane.dtype)
    if inside.any():
        found[inside] = _inner_pieces(plane, row[inside], column[inside], side)
    rows = np.clip(row[~inside, None] + step, 0, ny - 1)
    columns = np.clip(column[~inside, None] + step, 0, nx - 1)
    found[~inside] = plane[rows[:, :, None], columns[:, None, :]]
    return found


def _inner_pieces(
    plane: NDArray[_Number], row: IntArray, column: IntArray, side: int
) -> NDArray[_Number]:
    """Return copies of pieces that lie within the plane: whole rows at once, not pixels."""
    return sliding_window_view(plane, (side, side))[row, column]


def middles(stack: NDArray[_Number], side: int) -> NDArray[_Number]:
    """Return the middle `side` x `side` pixels of each frame, of equal parity: a view."""
    first = (stack.shape[-1] - side) // 2
    return stack[..., first : first + side, first : first + side]


def boxes(stack: NDArray[_Number], row: IntArray, column: IntArray, side: int) -> NDArray[_Number]:
    """Return a square box of each frame, by its first pixel, shape (n, side, side): copies."""
    found = np.empty((len(stack), side, side), stack.dtype)
    _copy_boxes(contiguous(stack), row, column, found)
    return found


@compiled
def _copy_boxes(
    stack: NDArray[_Number], row: IntArray, column: IntArray, found: NDArray[_Number]
) -> None:
    wider, side, into, of = stack.shape[1], found.shape[1], found.reshape(-1), stack.reshape(-1)
    for k in range(len(found)):
        for y in range(side):
            start = np.uint64((k * side + y) * side)
            first = np.uint64((k * wider + row[k] + y) * wider + column[k])
            for x in range(np.uint64(side)):
                into[start + x] = of[first + x]
