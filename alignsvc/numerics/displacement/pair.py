"""One cutout and its four blots: the building block, without a mosaic or a map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, read_only
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak, interlaced
from alignsvc.numerics.displacement.correlators import Correlator
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack


@dataclass(frozen=True, slots=True, eq=False)
class PairDisplacement:
    """Displacement of one cutout against its blots.

    Parameters
    ----------
    dx, dy : float
        Pixels; what must be added to a position in the cutout to reach the blot. NaN where
        there is no peak.
    height : float
        Of the correlation at its peak; NaN where there is none.
    flags : DisplacementFlag
        GOOD, PEAK_AT_EDGE or NO_PEAK.
    map : float32 array, shape (4 max_lag + 1, 4 max_lag + 1)
        The interlaced correlation; the middle is lag 0, a sample is half a pixel.
    """

    dx: float
    dy: float
    height: float
    flags: DisplacementFlag
    map: Float32Array


@dataclass(frozen=True, slots=True)
class PairCorrelation:
    """The displacement of one cutout by correlation with four half-pixel blots.

    Parameters
    ----------
    correlator : Correlator
    max_lag : int
        Pixels; a peak nearer than one pixel to it is PEAK_AT_EDGE.
    peak : PolynomialPeak
    """

    correlator: Correlator
    max_lag: int = 4
    peak: PolynomialPeak = field(default_factory=PolynomialPeak)

    def __call__(
        self,
        image: Float32Array,
        blots: Float32Array,
        image_mask: BoolArray | None = None,
        blot_mask: BoolArray | None = None,
    ) -> PairDisplacement:
        """Return the displacement of `image`.

        Parameters
        ----------
        image : array, shape (k, k)
            The cutout, sky subtracted. Masked pixels may hold anything.
        blots : array, shape (4, K, K)
            The reference at pixel positions plus (x, y) = (0, 0), (1/2, 0), (0, 1/2),
            (1/2, 1/2). K is k or larger by an even number, centre on centre.
        image_mask, blot_mask : bool arrays, shapes (k, k) and (K, K), or None
            True = bad.
        """
        score = self.correlator(_stack(image, image_mask), _stack(blots, blot_mask), self.max_lag)
        maps = interlaced(score)
        peaks = self.peak(maps)
        return PairDisplacement(
            dx=float(peaks.dx[0]),
            dy=float(peaks.dy[0]),
            height=float(peaks.height[0]),
            flags=DisplacementFlag(int(peaks.flags[0])),
            map=read_only(maps[0]),
        )


def _stack(values: Float32Array, mask: BoolArray | None) -> MaskedStack:
    """Return a stack of one frame: where the mask is True or the value not finite, it is bad."""
    single = np.asarray(values, np.float32)
    frames = np.isfinite(single).reshape(-1, *single.shape[-2:])
    good = np.asarray(frames.all(axis=0), bool)
    if mask is not None:
        good = good & ~np.asarray(mask, bool)
    return MaskedStack(np.where(good, single, np.float32(0))[None], good[None])
