"""The mosaic of all others than one exposure, made tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, contiguous, hold_read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.resampling.coadd import EMPTY_BELOW, Contribution, Sums

#: A hole's neighbours within this many pixels count as hole: a spline there uses the hole's 0.
#: Beyond, the prefilter passes on less than 0.43^3 = 8 % of the jump, of what is mostly sky.
GUARD_PX = 2


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """The mean of all the others, its weight, and an exposure's share.

    Parameters
    ----------
    box : PixelBox
    value : float32 array, shape of the box
        Per grid pixel; 0 in holes.
    weight : float32 array
        Inverse variance of the mean; 0 in holes and `GUARD_PX` about them.
    share : float32 array
        The exposure's part of the weight of the whole mosaic, 0 to 1; 0 where that is 0.
    """

    box: PixelBox
    value: Float32Array
    weight: Float32Array
    share: Float32Array

    def __post_init__(self) -> None:
        hold_read_only(self, "value", "weight", "share")

    @classmethod
    def of(
        cls,
        tiles: Iterable[Contribution],
        own: Iterable[Contribution],
        box: PixelBox,
        look: Callable[[SeenBand], None] | None = None,
    ) -> Others:
        """Return the mosaic of all over a box, less an exposure's own part.

        Drizzling is linear, so subtracting is the same as not having added; it is done in float64.
        Where less than 1e-6 of the weight is left, nothing is.

        Parameters
        ----------
        tiles : iterable of Contribution
            The mosaic, with the exposure, in order of rows. They cover the box and do not overlap;
            each may reach beyond.
        own : iterable of Contribution
            The exposure alone: bands of whole rows of the box, from the first to the last, each
            looked at once.
        box : PixelBox
        look : callable or None
            Is shown each band with what the others have there, while all of it is in the cache.

        Raises
        ------
        ValueError
            The tiles or the bands do not cover the box.
        """
        planes = _Planes(*(np.empty(box.shape, np.float32) for _ in _Planes._fields))
        n_pixels, guard = 0, _Guard.of(planes.weight)
        for band, near in _with_tiles(own, tiles):
            rows = band.box.slices_in(box)[0]
            mine = _sums(band, np.float32)
            for tile in near:
                common = tile.box.intersect(band.box)
                if common.is_empty:
                    continue
                corners = [
                    (common.y0 - frame.y0, common.x0 - frame.x0)
                    for frame in (tile.box, band.box, box)
                ]
                _fill(_sums(tile, np.float64), mine, (*corners, common.shape), planes)
                n_pixels += common.shape[0] * common.shape[1]
            if look is not None:
                value, share = (contiguous(one[rows]) for one in (planes.value, planes.share))
                look(SeenBand(band.box, *mine, value, share))
            guard.clear(planes.weight, rows.stop)
        if n_pixels != box.shape[0] * box.shape[1]:
            raise ValueError(f"others: tiles and bands cover {n_pixels} pixels of {box}")
        return cls(box, *planes)


class SeenBand(NamedTuple):
    """What an exposure and the others hold in a band of rows, shape (ny, nx) of its box.

    Parameters
    ----------
    box : PixelBox
    numerator, weight : float32 arrays
        Sums of the exposure.
    others, share : float32 arrays
        Mean of the others, and the exposure's part of the weight of all.
    """

    box: PixelBox
    numerator: Float32Array
    weight: Float32Array
    others: Float32Array
    share: Float32Array


def _with_tiles(
    bands: Iterable[Contribution], tiles: Iterable[Contribution]
) -> Iterator[tuple[Contribution, list[Contribution]]]:
    """Yield bands with the tiles that have rows in common with them; both come in order."""
    near, rest = list[Contribution](), iter(tiles)
    following = next(rest, None)
    for band in bands:
        while following is not None and following.box.y0 < band.box.y1:
            near.append(following)
            following = next(rest, None)
        near = [tile for tile in near if tile.box.y1 > band.box.y0]
        yield band, near


class _Planes(NamedTuple):
    """As in `Others`, to be filled."""

    value: Float32Array
    weight: Float32Array
    share: Float32Array


def _sums(given: Contribution, dtype: type) -> Sums:
    """Return the planes in the one form that loops are compiled for."""
    numerator, weight = (
        contiguous(plane.astype(dtype, copy=False)) for plane in (given.numerator, given.weight)
    )
    return numerator, weight


@compiled
def _fill(tile: Sums, own: Sums, where: tuple[tuple[int, int], ...], others: _Planes) -> None:
    """Fill a part of `others`: its corner (y, x) in the tile, the band and there, and its shape."""
    (v, u), (q, p), (y, x), (height, width) = where
    for k in range(height):
        of_all, of_own, here = slice(u, u + width), slice(p, p + width), slice(x, x + width)
        _fill_row(
            (tile[0][v + k, of_all], tile[1][v + k, of_all]),
            (own[0][q + k, of_own], own[1][q + k, of_own]),
            others.value[y + k, here],
            others.weight[y + k, here],
            others.share[y + k, here],
        )


@compiled
def _fill_row(
    total: Sums, own: Sums, value: Float32Array, weight: Float32Array, share: Float32Array
) -> None:
    """Fill pixels of a row; all is float32 but for the difference of the sums."""
    none = np.float32(0)
    for i in range(value.size):
        left = total[1][i] - own[1][i]
        is_left = left > EMPTY_BELOW * total[1][i]
        numerator = np.float32(total[0][i] - own[0][i])
        weight[i] = np.float32(left) if is_left else none
        value[i] = numerator / weight[i] if is_left else none
        whole = weight[i] + own[1][i]
        share[i] = own[1][i] / whole if whole > 0 else none


@dataclass(slots=True, eq=False)
class _Guard:
    """Clears weights about those that are 0, row after row as they are filled in.

    Parameters
    ----------
    least : float32 array, shape (2 GUARD_PX + 1, nx)
        The least of neighbours along each of the rows about the next, before any is cleared; of
        those that have a hole.
    has_hole : bool array, shape (2 GUARD_PX + 1,)
    row : int
        The next.
    """

    least: Float32Array
    has_hole: BoolArray
    row: int = -2 * GUARD_PX

    @classmethod
    def of(cls, weight: Float32Array) -> _Guard:
        n = 2 * GUARD_PX + 1
        return cls(np.empty((n, weight.shape[1]), np.float32), np.zeros(n, bool))

    def clear(self, weight: Float32Array, n_known: int) -> None:
        """Clear what is due when so many rows are filled in; none of them is below 0."""
        end = n_known if n_known == len(weight) else max(n_known - GUARD_PX, self.row)
        _guard(weight, (self.row, end), self.least, self.has_hole)
        self.row = end


@compiled
def _guard(
    weight: Float32Array, rows: tuple[int, int], least: Float32Array, has_hole: BoolArray
) -> None:
    ny, nx = weight.shape
    padded = np.empty(nx + 2 * GUARD_PX, np.float32)
    for x in range(padded.size):
        padded[x] = np.float32(np.inf)  # beyond the plane there are no holes
    for y in range(rows[0], rows[1]):
        new = y + GUARD_PX
        k = new % (2 * GUARD_PX + 1)
        has_hole[k] = 0 <= new < ny and _has_hole(weight[new])
        if has_hole[k]:
            for x in range(nx):
                padded[GUARD_PX + x] = weight[new, x]
            _take_least(padded, least[k])
        if y >= 0:
            for near in range(2 * GUARD_PX + 1):
                if has_hole[near]:
                    _clear(weight[y], least[near])


@compiled
def _has_hole(row: Float32Array) -> bool:
    n = 0
    for x in range(row.size):
        n += not row[x] > 0
    return n > 0


@compiled
def _take_least(padded: Float32Array, found: Float32Array) -> None:
    for x in range(found.size):
        least = padded[x]
        for shift in range(1, 2 * GUARD_PX + 1):
            least = min(least, padded[x + shift])
        found[x] = least


@compiled
def _clear(row: Float32Array, least: Float32Array) -> None:
    """Clear pixels of a row where the least of a row about it is 0."""
    for x in range(row.size):
        row[x] = row[x] if least[x] > 0 else np.float32(0)
