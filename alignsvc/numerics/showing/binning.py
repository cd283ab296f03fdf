"""Mosaics made smaller by whole numbers of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution, merge


def binned(sums: Contribution, factor: int) -> Contribution:
    """Return sums over squares of `factor` x `factor` pixels, float64.

    Squares are counted from pixel 0 of the grid, so that the binned tiles of a mosaic add up to the
    binned mosaic, and what is binned twice is binned by the product. The mean of a square is the
    weighted mean of its covered pixels; a pixel whose numerator or weight is no number counts as
    not covered.

    Parameters
    ----------
    sums : Contribution
        Of any box of the grid.
    factor : int
        1 leaves pixels as they are.

    Returns
    -------
    Contribution
        Its box is in squares; those that the box of `sums` covers in part are among them.
    """
    box = sums.box
    if factor < 1:
        raise ValueError(f"binning: wanted a factor of 1 or more, got {factor}")
    if box.is_empty:
        return Contribution.empty(PixelBox(0, 0, 0, 0))
    sound = np.isfinite(sums.numerator) & np.isfinite(sums.weight) & (sums.weight > 0)
    squares = _in_squares(box, factor)
    planes = (_summed(plane, sound, box, factor) for plane in (sums.numerator, sums.weight))
    return Contribution(squares, *planes)


def _summed(
    plane: NDArray[np.floating[Any]], sound: BoolArray, box: PixelBox, factor: int
) -> FloatArray:
    """Return sums of what is sound over squares, those at the edges filled up with zeros."""
    squares = _in_squares(box, factor)
    whole = np.zeros((squares.shape[0] * factor, squares.shape[1] * factor))
    y, x = box.y0 % factor, box.x0 % factor
    inside = whole[y : y + box.shape[0], x : x + box.shape[1]]
    np.copyto(inside, plane, where=sound)
    rows = whole[::factor]
    for k in range(1, factor):
        rows += whole[k::factor]
    total = rows[:, ::factor].copy()
    for k in range(1, factor):
        total += rows[:, k::factor]
    return total


def binned_shape(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return how many squares a grid of pixels has, ``(ny, nx)``."""
    return (-(-shape[0] // factor), -(-shape[1] // factor))


def factor_for(shape: tuple[int, int], longest: int) -> int:
    """Return the smallest factor by which no side has more than `longest` squares."""
    return -(-max(shape) // longest)


def added(parts: Iterable[Contribution], shape: tuple[int, int]) -> Contribution:
    """Return the sum of binned parts over a whole grid of squares."""
    return merge(parts, PixelBox(0, 0, shape[1], shape[0]))


def shown(sums: Contribution) -> FloatArray:
    """Return the weighted mean, NaN where nothing is; float64, so that a picture is one picture."""
    planes = (plane.astype(np.float64, copy=False) for plane in (sums.numerator, sums.weight))
    value, hole = Contribution(sums.box, *planes).mean()
    return np.where(hole, np.nan, value)


def _in_squares(box: PixelBox, factor: int) -> PixelBox:
    return PixelBox(box.x0 // factor, box.y0 // factor, -(-box.x1 // factor), -(-box.y1 // factor))
