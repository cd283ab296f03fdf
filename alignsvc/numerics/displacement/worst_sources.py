"""Which sources of an exposure people want to look at: those that are worst off.

Before a solve nobody knows the correction. What most sources of a chip share is it, nearly: so a
source is as bad as its displacement is away from the chip's common one, in its own errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag

#: Sources of an exposure that are chosen, at the most.
MOST_SOURCES = 20
#: One in so many of those chosen is one that the measurement rejected, if there are as many.
_ONE_REJECTED_IN = 4
#: With fewer sound sources than this the common displacement is a median, not a linear map.
_FEWEST_FOR_A_MAP = 8
#: Rounds of reweighting, and robust deviations beyond which a source counts little (Cauchy).
_ROUNDS, _REACH = 5, 2.0
#: Added to each error for the common displacement, px, so that no single star is all of it.
_FLOOR_PX = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Badness:
    """How bad sources are.

    Parameters
    ----------
    deviation : float64, shape (n,)
        In errors, off what the chip's sources have in common; NaN where not known.
    is_sound : bool, shape (n,)
        False = the measurement rejected it.
    snr : float64, shape (n,)
    """

    deviation: FloatArray
    is_sound: BoolArray
    snr: FloatArray

    @classmethod
    def of(cls, measured: Displacements, snr: FloatArray) -> Badness:
        """Return that of the sources of one chip, all of them."""
        deviation = deviations(measured)
        return cls(deviation, is_sound(measured) & np.isfinite(deviation), snr)

    @classmethod
    def joined(cls, parts: Sequence[Badness]) -> Badness:
        """Return that of all sources of `parts`, in that order."""
        none = [cls(np.zeros(0), np.zeros(0, bool), np.zeros(0))]
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in [*none, *parts]])
                for field in fields(cls)
            )
        )

    def select(self, rows: IntArray) -> Badness:
        """Return that of sources by index."""
        return Badness(self.deviation[rows], self.is_sound[rows], self.snr[rows])


@dataclass(frozen=True, slots=True)
class WorstSources:
    """Chooses sources: the worst, and some that were rejected.

    A quarter of them are sources with a flag (not held-out ones, which are sound), the brightest
    first: a bright source that is not used is what people ask about. The others are sound ones, by
    how many of their own errors they lie off what the chip's sources have in common: a linear map
    of the chip (inverse variances, Cauchy weights) or, of fewer than eight, a median. Where there
    are too few of one kind the other fills up.

    Parameters
    ----------
    most : int
        Sources that are chosen.
    """

    most: int = MOST_SOURCES

    def __call__(self, bad: Badness) -> IntArray:
        """Return the rows that are chosen, at most `most`: sound ones worst first, then rejected.

        Ties are in order of the rows.
        """
        sound, rejected = np.flatnonzero(bad.is_sound), np.flatnonzero(~bad.is_sound)
        sound = sound[np.argsort(-bad.deviation[sound], kind="stable")]
        rejected = rejected[np.argsort(-bad.snr[rejected], kind="stable")]
        n_rejected = min(len(rejected), max(self.most // _ONE_REJECTED_IN, self.most - len(sound)))
        chosen = [sound[: self.most - n_rejected], rejected[:n_rejected]]
        return np.concatenate(chosen).astype(np.int64)


def is_sound(measured: Displacements) -> BoolArray:
    """Return which rows have no flag, or are held out only, and a displacement."""
    flags = measured.flags & ~int(DisplacementFlag.HELD_OUT)
    found: BoolArray = (flags == 0) & np.isfinite(measured.dx) & np.isfinite(measured.dy)
    return found


def deviations(measured: Displacements) -> FloatArray:
    """Return how many errors each source lies off the common displacement, shape (n,).

    NaN for what was not measured. The errors are of exposure and template; `significance` says how.
    """
    off = np.stack([measured.dx, measured.dy], axis=1)
    sound = is_sound(measured)
    if sound.any():
        off = off - _common(measured, sound)
    return significance(off, measured.own_covariance + measured.template_covariance)


def significance(off_px: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return ``sqrt(d^T C^-1 d)`` of offsets, shape (n,); NaN where C is no covariance.

    Parameters
    ----------
    off_px : float64, shape (n, 2)
    covariance : float64, shape (n, 3)
        xx, xy, yy.
    """
    xx, xy, yy = np.where(np.isfinite(covariance), covariance, np.nan).T
    x, y = off_px.T
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = xx * yy - xy**2
        square = (yy * x**2 - 2 * xy * x * y + xx * y**2) / determinant
        known = (xx > 0) & (determinant > 0) & (square >= 0)
        found: FloatArray = np.where(known, np.sqrt(square), np.nan)
    return found


def _common(measured: Displacements, sound: BoolArray) -> FloatArray:
    """Return what the sound sources share, at every source, shape (n, 2)."""
    off = np.stack([measured.dx[sound], measured.dy[sound]], axis=1)
    n = len(measured)
    common = np.broadcast_to(np.median(off, axis=0), (n, 2))
    if sound.sum() < _FEWEST_FOR_A_MAP:
        return common
    x, y = (axis - axis[sound].mean() for axis in (measured.x, measured.y))
    scale = max(float(np.abs(x).max()), float(np.abs(y).max()), 1.0)
    terms = np.stack([np.ones(n), x / scale, y / scale], axis=1)
    covariance = (measured.own_covariance + measured.template_covariance)[sound]
    variance = 0.5 * (covariance[:, 0] + covariance[:, 2])
    # Those of unknown error take no part; if all are such, the median stands.
    inverse = np.where(np.isfinite(variance) & (variance > 0), 1 / (variance + _FLOOR_PX**2), 0.0)
    if np.count_nonzero(inverse) < _FEWEST_FOR_A_MAP:
        return common
    for _ in range(_ROUNDS):
        errors = np.hypot(*(off - common[sound]).T) * np.sqrt(inverse)
        typical = max(float(np.median(errors[inverse > 0])), 1e-6)
        weight = np.sqrt(inverse / (1.0 + (errors / (_REACH * typical)) ** 2))[:, None]
        linear, *_ = np.linalg.lstsq(terms[sound] * weight, off * weight, rcond=None)
        common = terms @ linear
    return np.asarray(common, float)
