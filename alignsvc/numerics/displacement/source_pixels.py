"""What a measurement saw of a few sources, kept for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SourcePixels:
    """Cutouts, blots and correlation maps of sources, centre on centre.

    Sources of different size are measured in cutouts of different size: the small ones have a
    frame of NaN here.

    Parameters
    ----------
    source, chip : int64, shape (n,)
        Source ids, and the index of the chip in the exposure.
    corner_x, corner_y : int64, shape (n,)
        Of the cutout's first pixel in the chip, its frame included.
    cutout : float32, shape (n, side, side)
        The exposure without its sky; NaN where a pixel is bad, off the chip or another source's.
    blot : float32, shape (n, side, side)
        The mosaic of all the others on the cutout's pixels, by the present WCS, not shifted; NaN
        where it has holes.
    correlation : float32, shape (n, map side, map side)
        The interlaced map: the middle is no shift, a sample is half a pixel.
    """

    source: IntArray
    chip: IntArray
    corner_x: IntArray
    corner_y: IntArray
    cutout: Float32Array
    blot: Float32Array
    correlation: Float32Array

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def concatenate(cls, parts: Sequence[SourcePixels]) -> SourcePixels:
        """Return all sources of `parts`, in that order; none if there are no parts."""
        if not parts:
            whole, none = np.zeros(0, np.int64), np.zeros((0, 0, 0), np.float32)
            return cls(whole, whole, whole, whole, none, none, none)
        side = max(part.cutout.shape[-1] for part in parts)
        lags = max(part.correlation.shape[-1] for part in parts)
        frame = [(side - part.cutout.shape[-1]) // 2 for part in parts]
        pairs = list(zip(parts, frame, strict=True))
        return cls(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.chip for part in parts]),
            np.concatenate([part.corner_x - width for part, width in pairs]),
            np.concatenate([part.corner_y - width for part, width in pairs]),
            np.concatenate([_framed(part.cutout, side) for part in parts]),
            np.concatenate([_framed(part.blot, side) for part in parts]),
            np.concatenate([_framed(part.correlation, lags) for part in parts]),
        )


def telling_sources(snr: FloatArray, offset_px: FloatArray, count: int) -> IntArray:
    """Return the indices of the sources that tell most: half the brightest, half the farthest off.

    Parameters
    ----------
    snr : float64, shape (n,)
    offset_px : float64, shape (n,)
        Length of each displacement; NaN, for what could not be measured, comes last.
    count : int
        Of sources, at the most.

    Returns
    -------
    int64 array
        Ascending.
    """
    brightest = np.argsort(-snr, kind="stable")[: count // 2]
    farthest = np.argsort(-np.nan_to_num(offset_px, nan=-1.0), kind="stable")
    others = farthest[~np.isin(farthest, brightest)][: count - len(brightest)]
    return np.sort(np.concatenate([brightest, others])).astype(np.int64)


def _framed(stack: Float32Array, side: int) -> Float32Array:
    """Return a stack of frames with NaN around each, all sides even or all odd."""
    width = (side - stack.shape[-1]) // 2
    edges = ((0, 0), (width, width), (width, width))
    return np.pad(stack, edges, constant_values=np.float32(np.nan))
