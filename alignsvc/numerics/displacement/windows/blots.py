"""Blots: the mosaic of all the others, seen through the pixels of an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous, read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.displacement.splines.bands import KNOTS
from alignsvc.numerics.displacement.splines.blot_loops import (
    BELOW,
    BlotPlanes,
    GridPlanes,
    Views,
    fill_blots,
)
from alignsvc.numerics.displacement.splines.prefilter import prefilter
from alignsvc.numerics.displacement.windows.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.windows.noise import MosaicNoise, NoiseTexture
from alignsvc.numerics.resampling.others import Others
from alignsvc.numerics.sources.segmentation import UNKNOWN, Segmentation


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
    segmentation : Segmentation or None
    """

    box: PixelBox
    coefficients: Float32Array
    weight: Float32Array
    share: Float32Array
    noise: MosaicNoise
    segmentation: Segmentation | None = None

    @classmethod
    def build(cls, others: Others, segmentation: Segmentation | None = None) -> Reference:
        """Return the reference made of the mosaic of all the others.

        Parameters
        ----------
        others : Others
        segmentation : Segmentation or None
            Over the same box.

        Raises
        ------
        ValueError
            The segmentation has another shape.
        """
        label = UNKNOWN if segmentation is None else segmentation.label
        if label is not UNKNOWN and label.shape != others.box.shape:
            raise ValueError(
                f"reference: segmentation {label.shape} and mosaic {others.box.shape} "
                "must cover the same box"
            )
        return cls(
            others.box,
            read_only(prefilter(others.value)),
            others.weight,
            others.share,
            MosaicNoise.measured(others.value, others.weight, label),
            segmentation,
        )


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
        Ids, as the segmentation knows them.
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
    if reference.segmentation is not None:
        source = reference.segmentation.labels(source)
    fill_blots(planes, _views(here, source, windows, reference.box.shape), found)
    return BlotStack(*found, reference.noise.texture(here))


def _planes(reference: Reference) -> GridPlanes:
    """Return the planes in the one form that the loops are compiled for."""
    label = UNKNOWN if reference.segmentation is None else reference.segmentation.label
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
