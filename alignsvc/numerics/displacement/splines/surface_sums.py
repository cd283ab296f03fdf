"""Sums over spline surfaces and pixels: one source after another, in the cache.

Surfaces and planes are laid out as in `surfaces`; only the part of a box is looked at that has any
weight. A number of planes lies in one array, as loops are handed few things.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from alignsvc.domain.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    contiguous,
    read_only,
)
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.bands import KNOTS
from alignsvc.numerics.displacement.splines.surfaces import (
    SPARE,
    BandTuple,
    clear,
    copy_row,
    extents,
    rows_apart,
    surface,
)


class Boxes(NamedTuple):
    """Boxes of an exposure's pixels.

    Parameters
    ----------
    pixels, weight : float32 arrays, shape (n, side, side)
    extent : int64 array, shape (n, 4)
        First row with weight and the one after the last, then columns.
    """

    pixels: Float32Array
    weight: Float32Array
    extent: IntArray

    @classmethod
    def of(cls, pixels: Float32Array, weight: Float32Array) -> Boxes:
        """Return the boxes of these planes, in the form that the sums are compiled for."""
        plain = contiguous(weight)
        return cls(contiguous(pixels), plain, extents(plain))

    def select(self, which: BoolArray | IntArray) -> Boxes:
        """Return the boxes that a mask or indices name."""
        pixels, weight, extent = (plane[which] for plane in self)
        return Boxes(contiguous(pixels), contiguous(weight), read_only(extent))


BoxTuple: TypeAlias = tuple[Float32Array, Float32Array, IntArray]


Workspace: TypeAlias = tuple[Float32Array, Float32Array, tuple[Float32Array, Float32Array]]


@compiled
def workspace(side: int) -> Workspace:
    """Return room for what one source after another needs.

    Its scratch, two planes (weight and pixels), and the surfaces of two splines.
    """
    rows = rows_apart(11, (side + SPARE) ** 2)
    return rows[:3], rows[3:5], (rows[5:8], rows[8:11])


@compiled
def workband() -> BandTuple:
    """Return room for the band of one source after another."""
    return np.empty(2, np.int64), np.empty((2, 2, KNOTS), np.float32)


@compiled
def boxes_laid_out(boxes: BoxTuple, i: int, seen: Float32Array) -> int:
    """Lay out a source's weight and pixels; return the length of such planes."""
    pixels, weight, extents = boxes
    laid_out(pixels[i], extents[i], seen[1])
    return laid_out(weight[i], extents[i], seen[0])


@compiled
def sums_at(
    band: BandTuple,
    splines: tuple[Float32Array, Float32Array],
    box: tuple[IntArray, int],
    work: Workspace,
    sums: Float32Array,
) -> None:
    """Write the weighted sums of products of a source's instrument with its template and pixels.

    Parameters
    ----------
    band : tuple
        Where the pixels lie on the splines, see `Bands`.
    splines : tuple of float32 arrays, shape (template side, template side)
        Coefficients of instrument and template.
    box : tuple
        The box's extent, and the length of its planes, which are laid out (`boxes_laid_out`).
    work : Workspace
    sums : float32 array, shape (4, 5)
        Filled: slopes along x and y, value and 1 of the instrument times the same of the template,
        and times the pixels.
    """
    scratch, seen, found = work
    extent, n = box
    for one in range(2):
        surface(splines[one], band, extent, scratch, found[one])
    add_products(found[0], found[1], n, seen, sums)


@compiled
def laid_out(plane: Float32Array, extent: IntArray, found: Float32Array) -> int:
    """Write the part of a plane that counts, 0 in the spare pixels; return the length."""
    width = extent[3] - extent[2]
    row = width + SPARE
    for y in range(extent[1] - extent[0]):
        start = y * row
        copy_row(plane[extent[0] + y, extent[2] : extent[3]], found[start : start + width])
        clear(found[start + width : start + row])
    return int((extent[1] - extent[0]) * row)


@compiled_sums
def add_products(
    own: Float32Array, theirs: Float32Array, n: int, seen: Float32Array, sums: Float32Array
) -> None:
    """Write the sums of one source's surfaces; `seen` are its weight and its pixels."""
    for plane in range(4):
        x = y = value = one = pixels = np.float32(0)
        for j in range(n):
            weighted = seen[0, j] * own[plane, j] if plane < 3 else seen[0, j]
            x += weighted * theirs[0, j]
            y += weighted * theirs[1, j]
            value += weighted * theirs[2, j]
            one += weighted
            pixels += weighted * seen[1, j]
        sums[plane, 0], sums[plane, 1], sums[plane, 2] = x, y, value
        sums[plane, 3], sums[plane, 4] = one, pixels


@compiled_sums
def add_all_products(
    rows: Float32Array, columns: Float32Array, weighted: Float32Array, n: int, sums: FloatArray
) -> None:
    """Write the sums of all rows times all columns, laid out.

    The first row of `weighted` is the weight; the second, room for a row times it.
    """
    for row in range(len(rows)):
        for j in range(n):
            weighted[1, j] = weighted[0, j] * rows[row, j]
        for column in range(len(columns)):
            total = np.float32(0)
            for j in range(n):
                total += weighted[1, j] * columns[column, j]
            sums[row, column] = total


@compiled
def total_product(one: Float32Array, other: Float32Array, extent: IntArray) -> float:
    """Return the sum of the products of two planes over a part of them."""
    total = 0.0
    for y in range(extent[0], extent[1]):
        total += np.float64(row_product(one[y], other[y], extent[2], extent[3]))
    return total


@compiled_sums
def row_product(one: Float32Array, other: Float32Array, first: int, end: int) -> np.float32:
    """Return the sum of the products of two rows from a pixel to before another."""
    total = np.float32(0)
    for x in range(first, end):
        total += one[x] * other[x]
    return total


@compiled
def doubled(sums: Float32Array, found: FloatArray) -> None:
    """Write sums (4, 5) in double precision."""
    for j in range(sums.shape[0]):
        for k in range(sums.shape[1]):
            found[j, k] = sums[j, k]
