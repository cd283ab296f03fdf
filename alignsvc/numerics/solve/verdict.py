"""What sources that the fit did not use say of a correction."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import Verdict
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.solve.clipping import MEDIAN_LENGTH, weighted_median_by

#: With fewer held-out sources there is nothing to say.
_FEWEST = 8
#: Standard errors by which the sources must have come nearer to be called improved.
_IMPROVED_BY = 2.0
#: Robust deviations beyond which a change of length is a leap to another peak.
_LEAP = 5.0
#: Standard errors, and part of the residual before, by which they must have gone away to be
#: called worse: that takes a correction back, so chance (0.1 %) must not.
_WORSE_BY, _WORSE_PART = 3.0, 0.05


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Displacements of one exposure's sources that were kept out of the fit.

    Parameters
    ----------
    key : int64, shape (n, 2)
        Source id and chip.
    offset_px : float64, shape (n, 2)
        Finite.
    variance_px2 : float64, shape (n,)
        Mean over the axes, of the exposure's own noise and the template's.
    """

    key: IntArray
    offset_px: FloatArray
    variance_px2: FloatArray

    @classmethod
    def of(cls, measured: Displacements) -> HeldOut:
        """Return the rows that were held out and are sound otherwise."""
        covariance = measured.own_covariance + measured.template_covariance
        offset = np.stack([measured.dx, measured.dy], axis=1)
        variance = 0.5 * (covariance[:, 0] + covariance[:, 2])
        sound = np.isfinite(offset).all(axis=1) & np.isfinite(variance)
        rows = sound & (measured.flags == DisplacementFlag.HELD_OUT)
        key = np.stack([measured.source, measured.chip], axis=1)
        return cls(key[rows], offset[rows], variance[rows])

    def among(self, other: HeldOut) -> HeldOut:
        """Return the rows whose source and chip `other` has too, in order of these."""
        theirs = {(int(source), int(chip)) for source, chip in other.key}
        mine = [(int(source), int(chip)) for source, chip in self.key]
        order = sorted(range(len(mine)), key=mine.__getitem__)
        rows = np.array([i for i in order if mine[i] in theirs], np.int64)
        return replace(
            self,
            key=self.key[rows],
            offset_px=self.offset_px[rows],
            variance_px2=self.variance_px2[rows],
        )

    @property
    def lengths_px(self) -> FloatArray:
        """Length of each offset."""
        return np.hypot(self.offset_px[:, 0], self.offset_px[:, 1])


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the residual per axis that it rests on, in pixels (NaN: none)."""

    verdict: Verdict
    before_px: float
    after_px: float


def judge(before: HeldOut, after: HeldOut) -> Judgement:
    """Return whether held-out sources lie nearer to the mosaic of the others than before.

    Each source is compared with itself: its noise is the same before and after, so that the
    difference of the two lengths tells of a hundredth of a pixel where the lengths themselves
    scatter by a third of one. Each difference counts by ``1 / (variance + scatter^2)``, so that
    a faint crowd does not outvote the stars that carry the fit, nor one star the rest.

    The residuals reported are the median length, counted alike, over that of a normal vector.

    Parameters
    ----------
    before, after : HeldOut
        Of the first and of the last pass.
    """
    before, after = before.among(after), after.among(before)
    n = len(after.key)
    if n < _FEWEST:
        return Judgement(Verdict.UNTESTED, math.nan, math.nan)
    # Of the bright half, since faint ones scatter by their own noise alone.
    bright = after.variance_px2 <= np.median(after.variance_px2)
    scatter = float(np.median(after.lengths_px[bright])) / MEDIAN_LENGTH
    # A perfect fit of a perfect source would divide by nothing.
    weight = 1.0 / np.maximum(after.variance_px2 + scatter**2, 1e-20)
    weight = weight / weight.sum()
    nearer = _without_leaps(before.lengths_px - after.lengths_px)
    mean = float(weight @ nearer)
    error = math.sqrt(float(weight**2 @ (nearer - mean) ** 2))
    was, now = (_typical(one, weight) for one in (before, after))
    if mean > _IMPROVED_BY * error:
        return Judgement(Verdict.IMPROVED, was, now)
    if mean < -_WORSE_BY * error and now > (1.0 + _WORSE_PART) * was:
        return Judgement(Verdict.WORSE, was, now)
    return Judgement(Verdict.UNCHANGED, was, now)


def _without_leaps(values: FloatArray) -> FloatArray:
    """Return values no farther than `_LEAP` robust deviations from their median.

    A faint source whose peak was another one before says nothing of the correction, and has
    come nearer, or gone, by pixels.
    """
    middle = np.median(values)
    reach = _LEAP * 1.4826 * np.median(np.abs(values - middle))
    return np.clip(values, middle - reach, middle + reach)


def _typical(held_out: HeldOut, weight: FloatArray) -> float:
    label = np.zeros(len(weight), np.int64)
    return float(weighted_median_by(label, held_out.lengths_px, weight, 1)[0]) / MEDIAN_LENGTH
