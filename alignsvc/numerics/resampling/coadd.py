"""Sums of resampled exposures: numerator and weight of a box of the grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, contiguous, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled

#: Less than this part of the weight left is rounding, not weight: float32 keeps 6e-8 of a number.
EMPTY_BELOW = 1e-6

#: Numerators and weights, pixel after pixel.
Sums: TypeAlias = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]


class MeanImage(NamedTuple):
    """Weighted mean of each pixel, 0 in holes; `hole` True = nothing contributed there."""

    value: NDArray[np.floating[Any]]
    hole: BoolArray


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
        there, width = common.slices_in(part.box), box.shape[1]
        first = (common.y0 - box.y0) * width + common.x0 - box.x0
        at = _Rows(first, width, common.shape[1])
        _add(numerator.reshape(-1), flat(part.numerator[there]), at)
        _add(weight.reshape(-1), flat(part.weight[there]), at)
    return Contribution(box, numerator, weight)


class _Rows(NamedTuple):
    """Rows of a plane: where the first begins, how far it is to the next, how long they are."""

    first: int
    step: int
    length: int


# numpy takes three times as long to add float32 to float64 where rows are not all of a plane.
@compiled
def _add(total: FloatArray, part: NDArray[np.floating[Any]], at: _Rows) -> None:
    """Add pixels, row after row, to those of a plane."""
    for row in range(part.size // at.length):
        start = at.first + row * at.step
        sums = total[start : start + at.length]
        pixels = part[row * at.length : (row + 1) * at.length]
        for k in range(at.length):
            sums[k] += pixels[k]


def merge_chips(contributions: Iterable[Contribution]) -> Contribution:
    """Return the sum of an exposure's chips over the box that holds them all, float32."""
    parts = [part for part in contributions if not part.box.is_empty]
    if len(parts) == 1:
        return parts[0].narrowed()
    if not parts:
        return Contribution.empty(PixelBox(0, 0, 0, 0)).narrowed()
    return merge(parts, PixelBox.holding([part.box for part in parts])).narrowed()


def flat(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of a plane in a row, read-only: the form that loops are compiled for."""
    return contiguous(plane).reshape(-1)
