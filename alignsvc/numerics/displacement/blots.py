"""Blots: the mosaic of all the others, seen through the pixels of an exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.local_map import LocalMap, Windows, sampled
from alignsvc.numerics.displacement.noise import MosaicNoise, NoiseTexture
from alignsvc.numerics.displacement.prefilter import spline_coefficients
from alignsvc.numerics.resampling.coadd import Contribution, Sums, flat
from alignsvc.numerics.sources.spread_masks import dilated

#: A hole's neighbours within this many pixels count as hole: the spline there uses the hole's 0.
#: Beyond, the prefilter passes on less than 0.43^3 = 8 % of the jump, of what is mostly sky.
GUARD_PX = 2
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
        own_weight = own.cut(others.box).weight
        value, share = (np.empty(others.box.shape, np.float32) for _ in range(2))
        sums = flat(others.numerator), flat(others.weight)
        _average(sums, flat(own_weight), value.reshape(-1), share.reshape(-1))
        hole = ~(others.weight > 0)
        weight = others.weight.astype(np.float32, copy=False)
        if hole.any():
            weight = np.where(dilated(hole, GUARD_PX), np.float32(0), weight)
        sky = ~hole if segmentation is None else segmentation == 0
        return cls(
            others.box,
            read_only(spline_coefficients(value)),
            read_only(weight),
            read_only(share),
            MosaicNoise.measured(value, others.weight, sky),
            segmentation,
        )


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
    area = local_map.area.astype(np.float32)[:, None, None]
    values = sampled(reference.coefficients, here, windows)
    nearest = here.nearest(windows, reference.box.shape)
    weight = np.take(reference.weight, nearest.index)
    weight[~nearest.inside] = 0
    good = weight > 0
    others = np.zeros(good.shape, bool)
    if reference.segmentation is not None:
        label = np.take(reference.segmentation, nearest.index)
        others = (label != 0) & (label != source[:, None, None]) & nearest.inside
    values *= area
    values[~good] = 0
    finite = np.where(good, weight, np.float32(np.inf))
    variance: Float32Array = np.divide(area**2, finite, dtype=np.float32)
    share = np.take(reference.share, nearest.index)
    return BlotStack(values, good, variance, share, others, reference.noise.texture(here))
