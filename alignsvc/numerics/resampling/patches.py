"""A contribution that differs from another in a few pixels: these alone, bit for bit.

Where cosmic rays hit, a few hundred pixels of a chip of millions hold other values. What they
change on the grid is found by dropping only the pixels that reach it, in the order in which all of
them are dropped; and a mosaic takes it up without summing its exposures anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import EMPTY_BELOW, Contribution
from alignsvc.numerics.resampling.drops import PlacedPart
from alignsvc.numerics.resampling.grid_units import (
    drops_box,
    middle_jacobian,
    middle_scale,
    pixels_in_grid_units,
)
from alignsvc.numerics.resampling.phase_skew import SKEW_REACH_PX, skew_at_pixels
from alignsvc.numerics.resampling.sparse_drops import (
    Frame,
    Wanted,
    mark_drops,
    reach_any,
    sums_there,
)
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Of a chip, places along each axis where its map's slope is looked at; and how much it may differ
#: between them.
_PLACES, _ALLOWANCE = 5, 1.1


class PixelSums(NamedTuple):
    """Numerators and weights of n pixels: float32 arrays, shape (n,)."""

    numerator: Float32Array
    weight: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """The pixels in which a contribution differs from another of the same box.

    Parameters
    ----------
    box : PixelBox
        In pixels of the grid.
    at : int64 array, shape (n,)
        Indices of the pixels in the box, row after row, ascending.
    before, after : PixelSums
        What the other has there, and what it has.
    """

    box: PixelBox
    at: IntArray
    before: PixelSums
    after: PixelSums

    @classmethod
    def empty(cls, box: PixelBox) -> Patch:
        """Return that of two contributions that are the same."""
        nothing = PixelSums(np.zeros(0, np.float32), np.zeros(0, np.float32))
        return cls(box, np.zeros(0, np.int64), nothing, nothing)

    def cut(self, box: PixelBox) -> Patch:
        """Return the part within another box, in its indices."""
        row, column = np.divmod(self.at, max(self.box.shape[1], 1))
        y, x = row + (self.box.y0 - box.y0), column + (self.box.x0 - box.x0)
        inside = (y >= 0) & (y < box.shape[0]) & (x >= 0) & (x < box.shape[1])
        at = y[inside] * box.shape[1] + x[inside]
        before, after = (
            PixelSums(one.numerator[inside], one.weight[inside])
            for one in (self.before, self.after)
        )
        return Patch(box, at, before, after)


@dataclass(frozen=True, slots=True, eq=False)
class ChipInTwoStates:
    """A chip before and after some of its pixels became others.

    Parameters
    ----------
    before, after : CalibratedChip
    pixel_map : PixelMap
    differing : int64 array, shape (n,)
        Indices of all pixels that may differ, in any order.
    """

    before: CalibratedChip
    after: CalibratedChip
    pixel_map: PixelMap
    differing: IntArray


@dataclass(frozen=True, slots=True)
class TurboPatches:
    """What turbo drizzle makes of pixels that differ.

    Parameters
    ----------
    pixfrac : float
    reach : float
        Of a drop, chip pixels at pixfrac 1.
    unskewed : bool
        As of the `DrizzleResampler`.
    """

    pixfrac: float
    reach: float
    unskewed: bool

    def __call__(self, chips: Sequence[ChipInTwoStates], grid: MosaicGrid) -> Patch:
        """Return the pixels in which an exposure's contributions differ, over its chips' box.

        Bit for bit those of the chips drizzled whole and added up (`coadd.merge_chips`).
        """
        boxes = [drops_box(one.pixel_map, self.reach).intersect(grid.box) for one in chips]
        laid = [
            _ChipOnGrid(one, box, self.pixfrac * middle_scale(one.pixel_map), self.unskewed)
            for one, box in zip(chips, boxes, strict=True)
            if not box.is_empty
        ]
        if not laid:
            return Patch.empty(PixelBox(0, 0, 0, 0))
        box = PixelBox.holding([one.box for one in laid])
        there = [one.reached() for one in laid]
        reached = [_in_other_box(w.at, c.box, box) for c, w in zip(laid, there, strict=True)]
        at = reached[0] if len(laid) == 1 else np.unique(np.concatenate(reached))
        sums = np.zeros((2, 2, len(at)))  # state, plane
        for one, wanted, own in zip(laid, there, reached, strict=True):
            inside = _inside(at, box, one.box)
            others = at[inside & ~np.isin(at, own, assume_unique=True)]
            foreign = _in_other_box(others, box, one.box)
            if len(foreign):
                wanted.there.reshape(-1)[foreign] = True
                wanted = Wanted.of(wanted.there)
            sums[:, :, inside] += one.sums_on(wanted, foreign)
        before, after = (PixelSums(*planes.astype(np.float32)) for planes in sums)
        differs = (before.numerator != after.numerator) | (before.weight != after.weight)
        return Patch(
            box,
            at[differs],
            PixelSums(*(plane[differs] for plane in before)),
            PixelSums(*(plane[differs] for plane in after)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _ChipOnGrid:
    """A chip, the box of its contribution, and the side of its drops in grid pixels."""

    chip: ChipInTwoStates
    box: PixelBox
    side: float
    unskewed: bool

    @property
    def frame(self) -> Frame:
        """The drops' side, and the first pixel of the box."""
        return (self.side, self.box.x0, self.box.y0)

    def reached(self) -> Wanted:
        """Return the grid pixels that may differ: those that drops of differing pixels reach."""
        mask = np.zeros(self.chip.pixel_map.shape, bool)
        where = _rows_and_columns(self.chip.differing, mask.shape)
        for reach in ((0, SKEW_REACH_PX), (SKEW_REACH_PX, 0)) if self.unskewed else ((0, 0),):
            _mark_around(where, reach, mask)
        there = np.zeros(self.box.shape, bool)
        mark_drops(self.chip.pixel_map.positions_at(*_chosen(mask)), self.frame, there)
        return Wanted.of(there)

    def sums_on(self, wanted: Wanted, foreign: IntArray) -> Float32Array:
        """Return what the chip gives to grid pixels: shape (2 states, 2 planes, n).

        `foreign` are those of them that only another chip's differing pixels reach.
        """
        pixel_map, turn = self.chip.pixel_map, middle_jacobian(self.chip.pixel_map)
        chosen = self._about(foreign)
        positions = pixel_map.positions_at(*chosen)
        is_needed = reach_any(positions, self.frame, wanted.there)
        chosen = (chosen[0][is_needed], chosen[1][is_needed])
        positions = np.ascontiguousarray(positions[:, is_needed])
        areas = pixel_map.areas_at(*chosen)
        found = []
        for chip in (self.chip.before, self.chip.after):
            less = skew_at_pixels(chip, chosen, positions, turn) if self.unskewed else None
            part = pixels_in_grid_units(chip, chosen, areas, less)
            found.append(sums_there(PlacedPart(part, positions[:, None]), self.frame, wanted))
        return np.stack(found)

    def _about(self, foreign: IntArray) -> tuple[IntArray, IntArray]:
        """Return rows and columns, in order, of pixels: all that reach what is reached or foreign.

        Two drops that reach one grid pixel lie less than a drop and a pixel from each other along
        each axis.
        """
        pixel_map = self.chip.pixel_map
        mask = np.zeros(pixel_map.shape, bool)
        reach = _chip_pixels(pixel_map, self.side + 1.0)
        around = reach + (SKEW_REACH_PX if self.unskewed else 0)
        _mark_around(_rows_and_columns(self.chip.differing, mask.shape), (around, around), mask)
        if len(foreign):
            row, column = _rows_and_columns(foreign, self.box.shape)
            x, y = (column + self.box.x0).astype(np.float64), (row + self.box.y0).astype(np.float64)
            on_grid = Points(x, y)
            on_chip = pixel_map.to_chip(on_grid, beyond=reach + 1.0)
            near = np.isfinite(on_chip.x) & np.isfinite(on_chip.y)
            row, column = (np.rint(one[near]).astype(np.int64) for one in (on_chip.y, on_chip.x))
            _mark_around((row, column), (reach + 1, reach + 1), mask)
        return _chosen(mask)


@dataclass(frozen=True, slots=True, eq=False)
class Under:
    """What sums are, at some of their pixels, without patches.

    Parameters
    ----------
    at : int64 array, shape (n,)
        Indices of pixels, row after row, ascending.
    numerator, weight : float64 arrays, shape (n,)
    """

    at: IntArray
    numerator: FloatArray
    weight: FloatArray


NOTHING_UNDER = Under(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


class LaidOver(NamedTuple):
    """Sums with patches taken up, and what lies under these."""

    sums: Contribution
    under: Under


def laid_over(
    sums: Contribution, patches: Iterable[Patch], under: Under = NOTHING_UNDER
) -> LaidOver:
    """Return a mosaic's sums with patches of its exposures in place of those that are in it.

    A patch adds what its contribution has more than the one without it, in the order given, which
    belongs to the result's bits. Where less than 1e-6 of the weight is left, nothing is: numerator
    and weight are exactly 0, as in `Others`.

    Parameters
    ----------
    sums : Contribution
        Float64.
    patches : iterable of Patch
        Each over the box of the sums.
    under : Under
        What they are without the patches that they hold.
    """
    patches = [one for one in patches if len(one.at)]
    at = np.unique(np.concatenate([under.at, *(one.at for one in patches)]))
    if not len(at):
        return LaidOver(sums, under)
    without = np.stack([plane.reshape(-1)[at] for plane in (sums.numerator, sums.weight)])
    without[:, np.searchsorted(at, under.at)] = under.numerator, under.weight
    over = without.copy()
    for one in patches:
        here = np.searchsorted(at, one.at)
        for plane, after, before in zip(over, one.after, one.before, strict=True):
            plane[here] += after.astype(np.float64) - before
    over[:, ~(over[1] > EMPTY_BELOW * without[1])] = 0.0
    planes = sums.numerator.copy(), sums.weight.copy()
    for plane, values in zip(planes, over, strict=True):
        plane.reshape(-1)[at] = values
    return LaidOver(Contribution(sums.box, *planes), Under(at, *without))


def _rows_and_columns(at: IntArray, shape: tuple[int, int]) -> tuple[IntArray, IntArray]:
    row, column = np.divmod(at, shape[1])
    return row, column


def _chosen(mask: BoolArray) -> tuple[IntArray, IntArray]:
    """Return rows and columns of what is marked, row after row."""
    return _rows_and_columns(np.flatnonzero(mask), mask.shape)


def _inside(at: IntArray, box: PixelBox, other: PixelBox) -> BoolArray:
    """Return which pixels of a box lie in another."""
    row, column = _rows_and_columns(at, box.shape)
    y, x = row + box.y0, column + box.x0
    inside: BoolArray = (y >= other.y0) & (y < other.y1) & (x >= other.x0) & (x < other.x1)
    return inside


def _in_other_box(at: IntArray, box: PixelBox, other: PixelBox) -> IntArray:
    """Return the indices in `other` of pixels of `box` that lie in both."""
    if box == other:
        return at
    row, column = _rows_and_columns(at, box.shape)
    found: IntArray = (row + (box.y0 - other.y0)) * other.shape[1] + (column + (box.x0 - other.x0))
    return found


def _chip_pixels(pixel_map: PixelMap, grid_px: float) -> int:
    """Return how far apart pixels of a chip are along its axes, which are so far on the grid."""
    ny, nx = pixel_map.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _PLACES), np.linspace(0, ny - 1, _PLACES))
    back = np.linalg.inv(pixel_map.jacobian(Points(x, y)))
    return math.ceil(_ALLOWANCE * grid_px * float(np.abs(back).sum(axis=-1).max()))


@compiled
def _mark_around(where: tuple[IntArray, IntArray], reach: tuple[int, int], mask: BoolArray) -> None:
    """Mark boxes about rows and columns, so many pixels on each side."""
    ny, nx = mask.shape
    for k in range(len(where[0])):
        y, x = where[0][k], where[1][k]
        first, last = max(x - reach[1], 0), min(x + reach[1] + 1, nx)
        for row in range(max(y - reach[0], 0), min(y + reach[0] + 1, ny)):
            for column in range(first, last):
                mask[row, column] = True
