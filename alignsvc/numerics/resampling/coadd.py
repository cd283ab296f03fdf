"""Sums of resampled exposures: numerator and weight of a box of the grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, contiguous, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled

#: Less than this part of the weight left is rounding, not weight: float32 keeps 6e-8 of a number.
EMPTY_BELOW = 1e-6

#: Of a plane that is worked on in strips, so that what lies between stays in the cache.
_PIXELS_AT_ONCE = 1 << 16
#: Numerators and weights, pixel after pixel.
Sums: TypeAlias = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


class MeanImage(NamedTuple):
    """Weighted mean of each pixel, 0 in holes; `hole` True = nothing contributed there."""

    value: NDArray[np.floating[Any]]
    hole: BoolArray


class SumsInBox(Protocol):
    """Sums over a box, of which any part can be had: a `Contribution`, or what lies in a store."""

    @property
    def box(self) -> PixelBox:
        """In pixels of the grid."""
        ...

    def cut(self, box: PixelBox) -> Contribution:
        """Return the part within `box`; nothing (weight 0) where `box` reaches beyond."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What one exposure, or a sum of them, gives to a box of the grid.

    Parameters
    ----------
    box : PixelBox
        In pixels of the grid.
    numerator, weight : float32 or float64 arrays, both of the box's shape
        Sums of value x weight and of weight. Values are per grid pixel, weights their inverse
        variances, never below 0. Where the weight is 0, so is the numerator.
    """

    box: PixelBox
    numerator: NDArray[np.floating[Any]]
    weight: NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        for name in ("numerator", "weight"):
            plane = getattr(self, name)
            if plane.shape != self.box.shape:
                raise ValueError(
                    f"contribution: {name} has shape {plane.shape}, its box {self.box.shape}"
                )
            object.__setattr__(self, name, read_only(plane))

    @classmethod
    def empty(cls, box: PixelBox) -> Contribution:
        """Return the float64 contribution of nothing to `box`."""
        return cls(box, np.zeros(box.shape), np.zeros(box.shape))

    @property
    def is_empty(self) -> bool:
        """Whether no pixel has weight."""
        return not self.weight.any()

    def mean(self) -> MeanImage:
        """Return numerator over weight, in their precision, and where there is none."""
        hole = ~(self.weight > 0)
        # Dividing all and mending holes takes half the time of dividing where there is weight.
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.numerator / self.weight
        np.copyto(value, 0, where=hole)
        return MeanImage(value, hole)

    def cut(self, box: PixelBox) -> Contribution:
        """Return the part within `box`; nothing (weight 0) where `box` reaches beyond."""
        common = self.box.intersect(box)
        if common == box:
            inside = box.slices_in(self.box)
            return Contribution(box, self.numerator[inside], self.weight[inside])
        numerator = np.zeros(box.shape, self.numerator.dtype)
        weight = np.zeros(box.shape, self.weight.dtype)
        if not common.is_empty:
            here, there = common.slices_in(box), common.slices_in(self.box)
            numerator[here], weight[here] = self.numerator[there], self.weight[there]
        return Contribution(box, numerator, weight)

    def narrowed(self) -> Contribution:
        """Return it in float32, as contributions of exposures are stored."""
        return Contribution(
            self.box,
            self.numerator.astype(np.float32, copy=False),
            self.weight.astype(np.float32, copy=False),
        )


def merge(contributions: Iterable[Contribution], box: PixelBox) -> Contribution:
    """Return the float64 sum over `box`, taken in the order given.

    The order belongs to the result's bits: callers sort by exposure id. One contribution is
    looked at a time, so an iterator that reads them keeps memory flat.
    """
    numerator, weight = np.zeros(box.shape), np.zeros(box.shape)
    for part in contributions:
        common = part.box.intersect(box)
        if common.is_empty:
            continue
        here, there = common.slices_in(box), common.slices_in(part.box)
        numerator[here] += part.numerator[there]
        weight[here] += part.weight[there]
    return Contribution(box, numerator, weight)


def merge_chips(contributions: Iterable[Contribution]) -> Contribution:
    """Return the sum of an exposure's chips over the box that holds them all, float32."""
    parts = [part for part in contributions if not part.box.is_empty]
    if len(parts) == 1:
        return parts[0].narrowed()
    if not parts:
        return Contribution.empty(PixelBox(0, 0, 0, 0)).narrowed()
    return merge(parts, PixelBox.holding([part.box for part in parts])).narrowed()


def leave_one_out(total: SumsInBox, own: Contribution) -> Contribution:
    """Return the mosaic of all the others over `total`'s box: ``(S - s, W - w)``, float32.

    Drizzling is linear, so subtracting is the same as not having added; it is done in float64.
    Where less than 1e-6 of the weight is left, nothing is: numerator and weight are then exactly 0.
    """
    box = total.box
    numerator, weight = (np.empty(box.shape, np.float32) for _ in range(2))
    for part in strips(box):
        all_, mine, rows = total.cut(part), own.cut(part), part.slices_in(box)[0]
        _subtract(
            (flat(all_.numerator), flat(all_.weight)),
            (flat(mine.numerator), flat(mine.weight)),
            (numerator[rows].reshape(-1), weight[rows].reshape(-1)),
        )
    return Contribution(box, numerator, weight)


def strips(box: PixelBox) -> Iterator[PixelBox]:
    """Yield a box's rows from the first to the last, as many at once as the cache holds."""
    height = max(1, _PIXELS_AT_ONCE // max(box.shape[1], 1))
    for y0 in range(box.y0, box.y1, height):
        yield PixelBox(box.x0, y0, box.x1, min(y0 + height, box.y1))


def flat(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of a plane in a row, read-only: the form that loops are compiled for."""
    return contiguous(plane).reshape(-1)


@compiled
def _subtract(total: Sums, own: Sums, left: Sums) -> None:
    """Fill the third pair of numerators and weights with the first less the second."""
    for i in range(total[1].size):
        weight = total[1][i] - own[1][i]
        is_left = weight > EMPTY_BELOW * total[1][i]
        left[0][i] = total[0][i] - own[0][i] if is_left else 0.0
        left[1][i] = weight if is_left else 0.0
