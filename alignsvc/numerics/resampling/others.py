"""The mosaic of all others than one exposure, made tile by tile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, contiguous, read_only
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
        for name in ("value", "weight", "share"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    @classmethod
    def of(cls, tiles: Iterable[Contribution], own: Contribution, box: PixelBox) -> Others:
        """Return the mosaic of all over a box, less an exposure's own part.

        Drizzling is linear, so subtracting is the same as not having added; it is done in float64.
        Where less than 1e-6 of the weight is left, nothing is.

        Parameters
        ----------
        tiles : iterable of Contribution
            The mosaic, with the exposure. They cover the box and do not overlap; each may reach
            beyond, and is looked at once.
        own : Contribution
            The exposure alone; its box may be another.
        box : PixelBox

        Raises
        ------
        ValueError
            The tiles do not cover the box.
        """
        planes = _Planes(*(np.empty(box.shape, np.float32) for _ in _Planes._fields))
        mine = _sums(own.cut(box), np.float32)
        n_pixels = 0
        for tile in tiles:
            common = tile.box.intersect(box)
            if common.is_empty:
                continue
            there, here = common.slices_in(tile.box), common.slices_in(box)
            corners = (there[0].start, there[1].start), (here[0].start, here[1].start)
            _fill(_sums(tile, np.float64), mine, (*corners, common.shape), planes)
            n_pixels += common.shape[0] * common.shape[1]
        if n_pixels != box.shape[0] * box.shape[1]:
            raise ValueError(f"others: the tiles cover {n_pixels} pixels of {box}")
        _guard(planes.weight)
        return cls(box, *planes)


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
    """Fill a part of `others`: its corner (y, x) in the tile, that in the box, and its shape."""
    (v, u), (y, x), (height, width) = where
    for k in range(height):
        of_all, here = slice(u, u + width), slice(x, x + width)
        _fill_row(
            (tile[0][v + k, of_all], tile[1][v + k, of_all]),
            (own[0][y + k, here], own[1][y + k, here]),
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


@compiled
def _guard(weight: Float32Array) -> None:
    """Clear weights about those that are 0; none is below."""
    ny, nx = weight.shape
    # The least of neighbours in the rows about one, before any of these is cleared.
    least = np.empty((2 * GUARD_PX + 1, nx), np.float32)
    padded = np.empty(nx + 2 * GUARD_PX, np.float32)
    for x in range(padded.size):
        padded[x] = np.float32(np.inf)  # beyond the plane there are no holes
    for y in range(-2 * GUARD_PX, ny):
        new = y + GUARD_PX
        is_row = 0 <= new < ny
        for x in range(nx):
            padded[GUARD_PX + x] = weight[new, x] if is_row else np.float32(np.inf)
        _take_least(padded, least[new % (2 * GUARD_PX + 1)])
        if y >= 0:
            _clear(weight[y], least)


@compiled
def _take_least(padded: Float32Array, found: Float32Array) -> None:
    for x in range(found.size):
        least = padded[x]
        for shift in range(1, 2 * GUARD_PX + 1):
            least = min(least, padded[x + shift])
        found[x] = least


@compiled
def _clear(row: Float32Array, least: Float32Array) -> None:
    """Clear pixels of a row where the least of any of the rows about it is 0."""
    for x in range(row.size):
        near = least[0, x]
        for k in range(1, 2 * GUARD_PX + 1):
            near = min(near, least[k, x])
        row[x] = row[x] if near > 0 else np.float32(0)
