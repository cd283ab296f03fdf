"""The mosaic of all the others at chosen pixels of a chip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.coadd import EMPTY_BELOW, Contribution, Sums
from alignsvc.numerics.sky.pixel_map import PixelMap
from alignsvc.numerics.sources.spread_masks import dilated

#: Rows of the chip for which the others are worked out at once: they stay in the cache.
_ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True, eq=False)
class OthersUnderChip:
    """The mosaic of all the others about a chip, and how the chip lies on it.

    It is the mosaic of all less the exposure's own contribution, but is worked out only at the
    pixels that somebody asks for.

    Parameters
    ----------
    total : tuple of Contribution
        Sums of all exposures, in parts of the grid that do not overlap and hold the box of `own`.
    own : Contribution
        The exposure's share of them.
    pixel_map : PixelMap
        From the chip's pixels to the grid's.
    misalignment_px : int or None
        How far a source may lie from where the others see it, chip pixels, if the exposure was
        never aligned with them; None = it was.
    """

    total: tuple[Contribution, ...]
    own: Contribution
    pixel_map: PixelMap
    misalignment_px: int | None = None


class PixelBlots(NamedTuple):
    """The others at n pixels of a chip, in units of the chip's; arrays of shape (n,).

    Parameters
    ----------
    at : int64 array
        Indices of the chip's pixels, row after row.
    value, variance : float32 arrays
        0 where they are not known.
    is_known : bool array
        False where nobody else was.
    jump : float32 array
        What part of the others of one pixel is missing in another, of those that it was
        interpolated between, by their weights: so far the mean changes its members; 1 where it
        is not known.
    """

    at: IntArray
    value: Float32Array
    variance: Float32Array
    is_known: BoolArray
    jump: Float32Array

    def select(self, chosen: BoolArray | slice) -> PixelBlots:
        """Return those of the pixels that are `chosen`, shape (n,); views if they are a slice."""
        return PixelBlots(
            self.at[chosen],
            self.value[chosen],
            self.variance[chosen],
            self.is_known[chosen],
            self.jump[chosen],
        )


def interpolated(others: OthersUnderChip, at: IntArray) -> PixelBlots:
    """Return the others at some pixels of the chip, by cubics (Keys 1981, a = -1/2).

    A pixel is known if all sixteen about it have weight. Few pixels are asked for, so that
    nothing is done for the whole chip, no prefilter either.

    Parameters
    ----------
    others : OthersUnderChip
    at : int64 array, shape (n,)
        Indices of the chip's pixels, row after row, rising.
    """
    found, place = _no_blots(at), _placed(others, at)
    for part in _parts(others, place, at, 2):
        _cubics(part.left, part.place, found.select(part.chosen))
    return found


def brightest_nearby(
    others: OthersUnderChip, reach: int, at: IntArray, enough: Float32Array
) -> PixelBlots:
    """Return the others' brightest pixel near some pixels of the chip; 0 at least.

    Parameters
    ----------
    others : OthersUnderChip
    reach : int
        How far is looked along both axes, from the pixel of the grid that lies nearest: its
        weight is the one that tells the variance.
    at : int64 array, shape (n,)
        Indices of the chip's pixels, row after row; quickest if they rise.
    enough : float32 array, shape (n,)
        Once one as bright as this is found, no brighter one is sought.
    """
    found, place = _no_blots(at), _placed(others, at)
    nearest = _Places(np.floor(place.x + 0.5), np.floor(place.y + 0.5), place.area)
    for part in _parts(others, nearest, at, reach):
        _brightest(part.left, part.place, (reach, enough[part.chosen]), found.select(part.chosen))
    return found


class _Places(NamedTuple):
    """Where pixels of a chip lie on the grid, and grid pixels per chip pixel."""

    x: FloatArray
    y: FloatArray
    area: Float32Array

    def select(self, chosen: slice) -> _Places:
        """Return some of them, as views."""
        return _Places(self.x[chosen], self.y[chosen], self.area[chosen])


class _Left(NamedTuple):
    """Mean and weight of the others in a box, where asked for; NaN and 0 without any."""

    value: Float32Array
    weight: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Some of the pixels that are asked for, their places in a box, and what is left there."""

    chosen: slice
    place: _Places
    left: _Left


def _no_blots(at: IntArray) -> PixelBlots:
    value, variance = (np.zeros(at.size, np.float32) for _ in range(2))
    return PixelBlots(at, value, variance, np.zeros(at.size, bool), np.ones(at.size, np.float32))


def _placed(others: OthersUnderChip, at: IntArray) -> _Places:
    nx = others.pixel_map.shape[1]
    row = at // nx
    column = at - row * nx
    x, y = others.pixel_map.positions_at(row, column)
    return _Places(x, y, others.pixel_map.areas_at(row, column))


def _parts(others: OthersUnderChip, place: _Places, at: IntArray, reach: int) -> Iterator[_Part]:
    """Yield the pixels some rows at a time, with the others within `reach` about their places.

    What one part has of the others lies where that of the next will.
    """
    rows = at // (others.pixel_map.shape[1] * _ROWS_AT_ONCE)
    ends = [0, *(np.flatnonzero(np.diff(rows)) + 1).tolist(), at.size]
    chosen = [slice(*ends[k : k + 2]) for k in range(len(ends) - 1) if at.size]
    places = [place.select(one) for one in chosen]
    boxes = [_box_about(one, reach).intersect(others.own.box) for one in places]
    room = np.empty((2, max((math.prod(box.shape) for box in boxes), default=0)), np.float32)
    for one, there, box in zip(chosen, places, boxes, strict=True):
        if not box.is_empty:
            within = _Places(there.x - box.x0, there.y - box.y0, there.area)
            left = _Left(*(plane[: math.prod(box.shape)].reshape(box.shape) for plane in room))
            _leave_out(others, box, _near(within, reach, box.shape), left)
            yield _Part(one, within, left)


def _box_about(place: _Places, reach: int) -> PixelBox:
    return PixelBox.around(Points(place.x, place.y)).expand(reach + 1)


def _near(place: _Places, reach: int, shape: tuple[int, int]) -> BoolArray:
    """Return the pixels of a box within `reach` of those that some places lie in."""
    mask = np.zeros(shape, bool)
    _mark(mask, place.x, place.y)
    return dilated(mask, reach)


def _leave_out(others: OthersUnderChip, box: PixelBox, wanted: BoolArray, left: _Left) -> None:
    """Fill what is left of the others at the pixels of a box that are wanted."""
    for total in others.total:
        common = total.box.intersect(box)
        if common.is_empty:
            continue
        at = np.flatnonzero(wanted[common.slices_in(box)])
        _subtract(
            (at, common.shape[1]),
            (_sums(total), _corner(common, total.box)),
            (_sums(others.own), _corner(common, others.own.box)),
            (left, _corner(common, box)),
        )


def _corner(part: PixelBox, of: PixelBox) -> tuple[int, int]:
    """Return row and column of a part's first pixel in the box that it is of."""
    return part.y0 - of.y0, part.x0 - of.x0


def _sums(of: Contribution) -> Sums:
    return contiguous(of.numerator), contiguous(of.weight)


@compiled
def _mark(mask: BoolArray, x: FloatArray, y: FloatArray) -> None:
    """Mark the pixels that positions lie in, each from its whole number to the next."""
    ny, nx = mask.shape
    for k in range(x.size):
        if x[k] >= 0 and y[k] >= 0 and x[k] < nx and y[k] < ny:  # False for NaN too
            mask[int(y[k]), int(x[k])] = True


@compiled
def _subtract(
    pixels: tuple[IntArray, int],
    total: tuple[Sums, tuple[int, int]],
    own: tuple[Sums, tuple[int, int]],
    out: tuple[_Left, tuple[int, int]],
) -> None:
    """Fill what is left at pixels of a part, which has its corner elsewhere in each array.

    Indices go row after row through the part's columns, whose number comes with them.
    """
    at, nx = pixels
    (numerator, weight), (row, column) = total
    (own_numerator, own_weight), (own_row, own_column) = own
    left, (out_row, out_column) = out
    for k in range(at.size):
        y = at[k] // nx
        x = at[k] - y * nx
        there, mine = (row + y, column + x), (own_row + y, own_column + x)
        rest = weight[there] - own_weight[mine]
        is_left = rest > EMPTY_BELOW * weight[there]
        value = (numerator[there] - own_numerator[mine]) / rest
        left.value[out_row + y, out_column + x] = value if is_left else np.nan
        left.weight[out_row + y, out_column + x] = rest if is_left else 0.0


@compiled
def _cubics(left: _Left, place: _Places, found: PixelBlots) -> None:
    """Fill in the others interpolated at places, and the nearest pixel's variance."""
    ny, nx = left.value.shape
    across, along = np.empty(4), np.empty(4)
    for k in range(place.x.size):
        x, y = place.x[k], place.y[k]
        # False for NaN too.
        if not (x >= 1 and y >= 1 and x < nx - 2 and y < ny - 2):
            continue
        column, row = int(x), int(y)
        _keys(x - column, across)
        _keys(y - row, along)
        value, least, most = 0.0, np.float32(np.inf), np.float32(0)
        for j in range(4):
            four = left.value[row + j - 1, column - 1 : column + 3]
            line = across[0] * four[0] + across[1] * four[1]
            value += along[j] * (line + across[2] * four[2] + across[3] * four[3])
            for weight in left.weight[row + j - 1, column - 1 : column + 3]:
                least, most = min(least, weight), max(most, weight)
        if least > 0:  # no hole among them
            weight = left.weight[row + (y - row > 0.5), column + (x - column > 0.5)]
            _fill_in(found, k, value, weight, place.area[k])
            found.jump[k] = np.float32(1) - least / most


@compiled
def _keys(u: float, weights: FloatArray) -> None:
    """Write the weights of the four pixels about a position `u` beyond the second of them."""
    weights[0] = u * (-0.5 + u * (1.0 - 0.5 * u))
    weights[1] = 1.0 + u * u * (-2.5 + 1.5 * u)
    weights[2] = u * (0.5 + u * (2.0 - 1.5 * u))
    weights[3] = u * u * (-0.5 + 0.5 * u)


@compiled
def _brightest(
    left: _Left, place: _Places, sought: tuple[int, Float32Array], found: PixelBlots
) -> None:
    """Fill in the brightest pixel near whole places: rows of the grid from the middle outward."""
    ny, nx = left.value.shape
    reach, enough = sought
    for k in range(place.x.size):
        x, y = place.x[k], place.y[k]
        if not (x >= 0 and y >= 0 and x < nx and y < ny):
            continue
        column, row = int(x), int(y)
        weight = left.weight[row, column]
        if weight == 0:
            continue
        brightest, most = 0.0, enough[k] / place.area[k]
        for step in range(2 * reach + 1):
            line = row + ((step + 1) // 2 if step % 2 else -(step // 2))
            if line < 0 or line >= ny:
                continue
            for at in range(max(column - reach, 0), min(column + reach + 1, nx)):
                if left.value[line, at] > brightest:  # False for a hole
                    brightest = left.value[line, at]
            if brightest >= most:
                break
        _fill_in(found, k, brightest, weight, place.area[k])
        found.jump[k] = 0


@compiled
def _fill_in(found: PixelBlots, k: int, value: float, weight: float, area: float) -> None:
    """Write a blot in units of the chip."""
    found.value[k] = value * area
    found.variance[k] = np.float64(area) * area / weight
    found.is_known[k] = True
