"""Which sources serve to learn from, which the fit, and which its test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray

#: Below this many sources in a component none is held out: the fit needs them all.
FEWEST_TO_HOLD_OUT = 50
#: Part of the sources, the brightest, that always serve the fit. They carry most of what is known:
#: where their lots fell badly, errors grew by a quarter.
SPARED = 0.1
# 2^64 over the golden ratio (Knuth, The Art of Computer Programming 3, section 6.4): multiplying
# by it spreads consecutive ids evenly.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def brightest(snr: FloatArray, most: int) -> IntArray:
    """Return the indices of the `most` brightest sources, ascending; of equals the first."""
    return np.sort(np.argsort(-snr, kind="stable")[:most]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Which sources are kept out of the fit, to test it.

    A source's lot depends on its id alone, so that it stays with it across passes, whatever
    other sources come and go. The brightest tenth draws none.

    Parameters
    ----------
    fraction : float
        Of those that draw, 0 to below 1.
    spared_snr : float
        Who is brighter draws none.
    """

    fraction: float
    spared_snr: float

    @classmethod
    def among(cls, snr: FloatArray, fraction: float) -> HoldOut:
        """Return the rule for a component by all of its sources; with fewer than 50 none is."""
        if len(snr) < FEWEST_TO_HOLD_OUT:
            return cls(0.0, 0.0)
        return cls(fraction, float(np.quantile(np.nan_to_num(snr), 1.0 - SPARED)))

    def __call__(self, ids: IntArray, snr: FloatArray) -> BoolArray:
        """Return which of some sources are kept out."""
        spread = (ids.astype(np.uint64) * _GOLDEN) >> np.uint64(11)
        is_drawn = spread.astype(np.float64) / 2.0**53 < self.fraction
        return np.asarray(is_drawn & ~(np.nan_to_num(snr) > self.spared_snr), bool)
