"""Blots: the mosaic of all the others, seen through the pixels of an exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.displacement.blot_loops import (
    BELOW,
    KNOTS,
    BlotPlanes,
    GridPlanes,
    Views,
    fill_blots,
)
from alignsvc.numerics.displacement.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.noise import MosaicNoise, NoiseTexture
from alignsvc.numerics.displacement.spline import ORDER
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.spread_masks import dilated

#: A hole's neighbours within this many pixels count as hole: the spline there uses the hole's 0.
#: Beyond, the prefilter passes on less than 0.43^3 = 8 % of the jump, of what is mostly sky.
GUARD_PX = 2
#: Pixels taken together, so that what lies between stays in the processor's cache.
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
        cls, others: Contribution, own: Contribution, segmentation: IntArray | None = None
    ) -> Reference:
        """Return the reference made of a leave-one-out mosaic and the exposure's own part.

        Parameters
        ----------
        others : Contribution
            The mosaic without the exposure.
        own : Contribution
            The exposure alone; its box may be another.
        segmentation : int64 array or None
            Over the box of `others`.

        Raises
        ------
        ValueError
            The segmentation has another shape.
        """
        if segmentation is not None and segmentation.shape != others.box.shape:
            raise ValueError(
                f"reference: segmentation {segmentation.shape} and mosaic {others.box.shape} "
                "must cover the same box"
            )
        value, hole = others.mean()
        own_weight = own.cut(others.box).weight
        share = _share(own_weight, others.weight)
        weight = others.weight.astype(np.float32)
        if hole.any():
            np.copyto(weight, 0, where=dilated(hole, GUARD_PX))
        coefficients = ndimage.spline_filter(value, order=ORDER, output=np.float32)
        sky = ~hole if segmentation is None else segmentation == 0
        return cls(
            others.box,
            read_only(coefficients),
            read_only(weight),
            read_only(share),
            MosaicNoise.measured(value, others.weight, sky),
            segmentation,
        )


def _share(own: Plane, others: Plane) -> Float32Array:
    """Return an exposure's part of the weight of the whole, float32; 0 in holes."""
    share = np.zeros(own.shape, np.float32)
    height = max(1, _PIXELS_AT_ONCE // max(own.shape[1], 1))
    for start in range(0, len(own), height):
        rows = slice(start, start + height)
        whole = others[rows] + own[rows]
        part = np.zeros(whole.shape)
        share[rows] = np.divide(own[rows], whole, out=part, where=whole > 0)
    return share


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
    return GridPlanes(*(read_only(np.ascontiguousarray(plane)) for plane in planes))


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
    return Views(*(read_only(np.ascontiguousarray(one)) for one in seen))
