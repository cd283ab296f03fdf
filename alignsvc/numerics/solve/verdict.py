"""What sources that the fit did not use say of a correction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.outcome import Verdict
from alignsvc.numerics.solve.clipping import MEDIAN_LENGTH

#: With fewer held-out sources there is nothing to say.
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the robust residual per axis that it rests on, in pixels (NaN: none)."""

    verdict: Verdict
    before_px: float
    after_px: float


def judge(before_px: FloatArray, after_px: FloatArray) -> Judgement:
    """Return whether held-out sources lie nearer to the mosaic of the others than before.

    The median length of the offsets over the median of a normal vector's; its own error is
    about 0.7 / sqrt(n) of it. Better or worse is what differs by more than two such errors.

    Parameters
    ----------
    before_px, after_px : arrays, shapes (n, 2) and (m, 2)
        Displacements of held-out sources in the first and in the last pass, pixels; finite.
    """
    if min(len(before_px), len(after_px)) < _FEWEST:
        return Judgement(Verdict.UNTESTED, float("nan"), float("nan"))
    before, after = _scatter(before_px), _scatter(after_px)
    doubt = 2.0 * 0.7 * math.sqrt(1.0 / len(before_px) + 1.0 / len(after_px))
    if after < before * (1.0 - doubt / (1.0 + doubt)):
        return Judgement(Verdict.IMPROVED, before, after)
    if after > before * (1.0 + doubt):
        return Judgement(Verdict.WORSE, before, after)
    return Judgement(Verdict.UNCHANGED, before, after)


def _scatter(offsets: FloatArray) -> float:
    return float(np.median(np.hypot(offsets[:, 0], offsets[:, 1]))) / MEDIAN_LENGTH
