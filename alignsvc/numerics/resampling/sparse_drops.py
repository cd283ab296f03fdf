"""Turbo's drops on few pixels of the grid, where planes would cost more than the sums in them."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.drops import PlacedPart, drop

#: Side of a block of the grid that is summed at once, pixels.
_BLOCK = 32
#: Shares of a drop are float32.
_ROUNDING = 1e-5

#: The side of drops, and x and y of the first pixel of a box of the grid.
Frame: TypeAlias = tuple[float, int, int]


def mark_drops(positions: FloatArray, frame: Frame, there: BoolArray) -> None:
    """Mark the pixels of a box of the grid that drops reach: none too few.

    Parameters
    ----------
    positions : float64 array, shape (2, n)
        Grid x and y.
    frame : tuple
    there : bool array, shape (ny, nx)
        Over the box.
    """
    _mark(positions, frame, there)


def reach_any(positions: FloatArray, frame: Frame, there: BoolArray) -> BoolArray:
    """Return which drops reach any marked pixel, shape (n,): none too few."""
    found = np.empty(positions.shape[1], np.bool_)
    _look(positions, frame, there, found)
    return found


class Wanted(NamedTuple):
    """Pixels of a box of the grid whose sums are wanted.

    Attributes
    ----------
    there : bool array, shape (ny, nx)
        Which.
    at : int64 array, shape (n,)
        Their indices, row after row.
    before_row : int64 array, shape (ny,)
        How many come before each row.
    """

    there: BoolArray
    at: IntArray
    before_row: IntArray

    @classmethod
    def of(cls, there: BoolArray) -> Wanted:
        """Return those that are marked."""
        at = np.flatnonzero(there)
        starts = np.arange(there.shape[0]) * there.shape[1]
        return cls(there, at, np.searchsorted(at, starts).astype(np.int64))


def sums_there(given: PlacedPart, frame: Frame, wanted: Wanted) -> Float32Array:
    """Return what chip pixels give to pixels of the grid.

    Parameters
    ----------
    given : PlacedPart
        Shape (1, m): all that reach these grid pixels, in order of their rows on the chip.
    frame : tuple
    wanted : Wanted

    Returns
    -------
    float32 array, shape (2, n)
        Numerators and weights, in the order of the pixels: bit for bit those of `TurboDrops`.
    """
    found = np.empty((2, len(wanted.at)), np.float32)
    part, positions = given
    _sum_in_blocks((part.pixels, part.weight), positions, frame, wanted, found)
    return found


@compiled
def _mark(positions: FloatArray, frame: Frame, there: BoolArray) -> None:
    side, x0, y0 = frame
    ny, nx = there.shape
    to_corner = 0.5 + 0.5 * side
    for k in range(positions.shape[1]):
        x, y = positions[0, k] + to_corner, positions[1, k] + to_corner
        i, j = int(np.floor(x)) - x0, int(np.floor(y)) - y0
        wide = int(np.ceil(max(side - (x - np.floor(x)) + _ROUNDING, 0.0)))
        high = int(np.ceil(max(side - (y - np.floor(y)) + _ROUNDING, 0.0)))
        for row in range(max(j - high, 0), min(j + 1, ny)):
            for column in range(max(i - wide, 0), min(i + 1, nx)):
                there[row, column] = True


@compiled
def _look(positions: FloatArray, frame: Frame, there: BoolArray, found: BoolArray) -> None:
    side, x0, y0 = frame
    ny, nx = there.shape
    to_corner = 0.5 + 0.5 * side
    span = int(np.ceil(side + _ROUNDING))
    for k in range(positions.shape[1]):
        i = int(np.floor(positions[0, k] + to_corner)) - x0
        j = int(np.floor(positions[1, k] + to_corner)) - y0
        is_any = False
        for row in range(max(j - span, 0), min(j + 1, ny)):
            for column in range(max(i - span, 0), min(i + 1, nx)):
                is_any |= there[row, column]
        found[k] = is_any


@compiled
def _sum_in_blocks(
    planes: tuple[Float32Array, Float32Array],
    positions: FloatArray,
    frame: Frame,
    wanted: Wanted,
    sums: Float32Array,
) -> None:
    """Write sums of wanted pixels, block after block."""
    side, x0, y0 = frame
    there, at, before_row = wanted
    ny, nx = there.shape
    high, wide = (ny + _BLOCK - 1) // _BLOCK, (nx + _BLOCK - 1) // _BLOCK
    is_wanted = np.zeros((high, wide), np.bool_)
    for k in range(len(at)):
        is_wanted[at[k] // nx // _BLOCK, at[k] % nx // _BLOCK] = True
    latest, chain, pixel = _chained(positions, frame, is_wanted)
    block = np.empty((2, _BLOCK, _BLOCK), np.float32)
    written = before_row.copy()
    for b in range(high):
        for a in range(wide):
            if not is_wanted[b, a]:
                continue
            first = (side, x0 + a * _BLOCK, y0 + b * _BLOCK)
            _sum_block(planes, positions, first, (latest[b, a], chain, pixel), block)
            # Blocks beside each other come from left to right: pixels of a row in order.
            for row in range(b * _BLOCK, min((b + 1) * _BLOCK, ny)):
                # Wanted pixels of a row are few: they are gone through, not the row.
                while written[row] < len(at) and at[written[row]] < row * nx + (a + 1) * _BLOCK:
                    if at[written[row]] >= (row + 1) * nx:
                        break
                    n = written[row]
                    y, x = row - b * _BLOCK, at[n] - row * nx - a * _BLOCK
                    sums[0, n], sums[1, n] = block[0, y, x], block[1, y, x]
                    written[row] += 1


@compiled
def _sum_block(
    planes: tuple[Float32Array, Float32Array],
    positions: FloatArray,
    frame: Frame,
    chained: tuple[int, IntArray, IntArray],
    block: Float32Array,
) -> None:
    """Write the sums of a block of the grid, whose first pixel `frame` has, of a chain of drops."""
    first, chain, pixel = chained
    n, link = 0, first
    while link >= 0:
        n, link = n + 1, chain[link]
    values, weights, places = (
        np.empty((1, n), np.float32),
        np.empty((1, n), np.float32),
        np.empty((2, 1, n)),
    )
    n, link = 0, first
    while link >= 0:
        k = pixel[link]
        values[0, n], weights[0, n] = planes[0][0, k], planes[1][0, k]
        places[0, 0, n], places[1, 0, n] = positions[0, 0, k], positions[1, 0, k]
        n, link = n + 1, chain[link]
    for y in range(_BLOCK):
        for x in range(_BLOCK):
            block[0, y, x] = block[1, y, x] = np.float32(0.0)
    if n > 0:
        drop((values, weights), places, frame, (block[0], block[1]))


@compiled
def _chained(
    positions: FloatArray, frame: Frame, is_wanted: BoolArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Return a chain of drops for each wanted block that they may reach, in their order.

    The first link of each block (-1 = none), the link that follows each, and its drop.
    """
    side, x0, y0 = frame
    high, wide = is_wanted.shape
    to_corner = 0.5 + 0.5 * side
    span = int(np.ceil(side + _ROUNDING))
    n = positions.shape[2]
    latest = np.full((high, wide), -1, np.int64)
    room = n * (span // _BLOCK + 2) ** 2
    chain, pixel = np.empty(room, np.int64), np.empty(room, np.int64)
    link = 0
    for k in range(n - 1, -1, -1):
        i = int(np.floor(positions[0, 0, k] + to_corner)) - x0
        j = int(np.floor(positions[1, 0, k] + to_corner)) - y0
        if i < 0 or j < 0:
            continue
        for b in range(max(j - span, 0) // _BLOCK, min(j // _BLOCK + 1, high)):
            for a in range(max(i - span, 0) // _BLOCK, min(i // _BLOCK + 1, wide)):
                if is_wanted[b, a]:
                    chain[link], pixel[link], latest[b, a] = latest[b, a], k, link
                    link += 1
    return latest, chain, pixel
