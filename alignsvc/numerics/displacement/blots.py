"""Blots: the mosaic of all the others, seen through the pixels of an exposure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.bands import KNOTS
from alignsvc.numerics.displacement.blot_loops import (
    BELOW,
    BlotPlanes,
    GridPlanes,
    Views,
    fill_blots,
)
from alignsvc.numerics.displacement.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.noise import MosaicNoise, NoiseTexture
from alignsvc.numerics.displacement.prefilter import prefilter
from alignsvc.numerics.resampling.coadd import Contribution, Sums, flat, leave_one_out
from alignsvc.numerics.sources.spread_masks import dilated

#: A hole's neighbours within this many pixels count as hole: the spline there uses the hole's 0.
#: Beyond, the prefilter passes on less than 0.43^3 = 8 % of the jump, of what is mostly sky.
GUARD_PX = 2
#: Pixels whose others are taken at once.
_PIXELS_AT_ONCE = 1 << 15
Plane: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The mosaic of all the others over a box of the grid, ready to be blotted.

    Parameters
    ----------
    box : PixelBox
    coefficients : float32 array, shape of the box
        Of the quintic B-spline through the mean; holes hold 0.
    weight : float32 array
        Inverse variance of the mean; 0 in holes and `GUARD_PX` about them.
    share : float32 array
        The measured exposure's part of the weight of the whole mosaic, 0 to 1.
    noise : MosaicNoise
    segmentation : int64 array or None
        Source ids, 0 = none.
    """

    box: PixelBox
    coefficients: Float32Array
    weight: Float32Array
    share: Float32Array
    noise: MosaicNoise
    segmentation: IntArray | None = None

    @classmethod
    def build(
        cls, total: Contribution, own: Contribution, segmentation: IntArray | None = None
    ) -> Reference:
        """Return the reference made of the mosaic of all and the exposure's own part.

        Parameters
        ----------
        total : Contribution
            The mosaic, with the exposure.
        own : Contribution
            The exposure alone; its box may be another.
        segmentation : int64 array or None
            Over the box of `total`.

        Raises
        ------
        ValueError
            The segmentation has another shape.
        """
        box = total.box
        if segmentation is not None and segmentation.shape != box.shape:
            raise ValueError(
                f"reference: segmentation {segmentation.shape} and mosaic {box.shape} "
                "must cover the same box"
            )
        others = _Others.of(total, own)
        hole = others.weight == 0
        sky = ~hole if segmentation is None else segmentation == 0
        noise = MosaicNoise.measured(others.value, others.weight, sky)
        prefilter(others.value)
        if hole.any():
            np.copyto(others.weight, 0, where=dilated(hole, GUARD_PX))
        return cls(
            box,
            read_only(others.value),
            read_only(others.weight),
            read_only(others.share),
            noise,
            segmentation,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Others:
    """The mean of all the others, its weight, and an exposure's share: float32, writable."""

    value: Float32Array
    weight: Float32Array
    share: Float32Array

    @classmethod
    def of(cls, total: Contribution, own: Contribution) -> _Others:
        """Return the planes over `total`'s box.

        Rows are taken a few at a time: what lies between stays in the processor's cache, and new
        memory costs as much as the sums.
        """
        box = total.box
        found = cls(*(np.empty(box.shape, np.float32) for _ in fields(cls)))
        height = max(1, _PIXELS_AT_ONCE // max(box.shape[1], 1))
        for y0 in range(box.y0, box.y1, height):
            part = PixelBox(box.x0, y0, box.x1, min(y0 + height, box.y1))
            mine = own.cut(part)
            others = leave_one_out(total.cut(part), mine)
            rows = part.slices_in(box)[0]
            found.weight[rows] = others.weight
            _average(
                (flat(others.numerator), flat(others.weight)),
                flat(mine.weight),
                found.value[rows].reshape(-1),
                found.share[rows].reshape(-1),
            )
        return found


@compiled
def _average(others: Sums, own: Plane, value: Float32Array, share: Float32Array) -> None:
    """Fill `value` with the mean, and `share` with an exposure's part of the weight of the whole.

    Both are 0 in holes of the mean and of the whole.
    """
    numerator, weight = others
    for i in range(weight.size):
        value[i] = numerator[i] / weight[i] if weight[i] > 0 else 0.0
        whole = weight[i] + own[i]
        share[i] = own[i] / whole if whole > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class BlotStack:
    """Templates of many sources at the whole pixels of the chip, shapes (n, side, side).

    Parameters
    ----------
    values : float32 array
        Per chip pixel; 0 where not good.
    good : bool array
        False = hole, or beyond the reference's box.
    variance : float32 array
        Of the mean per chip pixel, from the sky; 0 where not good.
    share : float32 array
        The exposure's part of the mosaic's weight.
    others : bool array
        True = the pixel belongs to another source.
    texture : NoiseTexture
    """

    values: Float32Array
    good: BoolArray
    variance: Float32Array
    share: Float32Array
    others: BoolArray
    texture: NoiseTexture


def blot(
    reference: Reference, local_map: LocalMap, source: IntArray, windows: Windows
) -> BlotStack:
    """Return the reference as the chip would see it about each source.

    Parameters
    ----------
    reference : Reference
    local_map : LocalMap
        To pixels of the grid.
    source : int64 array, shape (n,)
        Ids, as in the segmentation.
    windows : Windows
        Of the templates.

    Notes
    -----
    The mean is a surface brightness per grid pixel; a chip pixel of A grid pixels' area holds A
    times it. Drizzle's weight W is the inverse variance per grid pixel of values ``f / a`` whose
    noise is independent from one *chip* pixel to the next: the noise's density is ``a / W``, so
    that averages over chip pixels behave as if each had the variance ``A^2 (a / W) / A = A^2/W``
    with a = A, exposures of similar scales.
    """
    here = local_map.moved(reference.box.x0, reference.box.y0)
    shape = (len(source), windows.side, windows.side)
    found = BlotPlanes(
        values=np.empty(shape, np.float32),
        good=np.empty(shape, bool),
        variance=np.empty(shape, np.float32),
        share=np.empty(shape, np.float32),
        others=np.empty(shape, bool),
    )
    planes = _planes(reference)
    fill_blots(planes, _views(here, source, windows, reference.box.shape), found)
    return BlotStack(*found, reference.noise.texture(here))


def _planes(reference: Reference) -> GridPlanes:
    """Return the planes in the one form that the loops are compiled for."""
    unknown = np.zeros((0, 0), np.int64)
    label = unknown if reference.segmentation is None else reference.segmentation
    planes = (reference.coefficients, reference.weight, reference.share, label)
    return GridPlanes(*(contiguous(plane) for plane in planes))


def _views(
    local_map: LocalMap, source: IntArray, windows: Windows, shape: tuple[int, int]
) -> Views:
    """Return which pieces of a box windows see, and how; `local_map` leads to its pixels."""
    place, last = local_map.within(windows), windows.side - 1
    slopes, bend = last * place[:, :, 1:3], last**2 * np.abs(place[:, :, 3:]).sum(axis=2)
    lowest = place[:, :, 0] + np.minimum(slopes, 0).sum(axis=2) - bend
    highest = place[:, :, 0] + np.maximum(slopes, 0).sum(axis=2) + bend
    # Two pixels beyond the box nothing is good, and no more of it is needed.
    most = np.array(shape[::-1])
    first = np.clip(np.floor(lowest), -2, most).astype(np.int64) - BELOW
    end = np.clip(np.floor(highest), -1, most + 1).astype(np.int64) + KNOTS - BELOW
    place[:, :, 0] -= first
    size = (end - first).max(axis=0, initial=KNOTS)[::-1]
    seen = (first, size, place, local_map.area.astype(np.float32), source)
    return Views(*(contiguous(one) for one in seen))
