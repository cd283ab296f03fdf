"""Which sources serve to learn from, which the fit, and which its test."""

from __future__ import annotations

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


def held_out(ids: IntArray, snr: FloatArray, fraction: float) -> BoolArray:
    """Return which sources are kept out of the fit, to test it.

    A source's lot depends on its id alone, so that it stays with it across passes, whatever
    other sources come and go. The brightest tenth draws none.

    Parameters
    ----------
    ids : int64 array, shape (n,)
        Of all sources of a component; fewer than 50: none is held out.
    snr : float64 array, shape (n,)
    fraction : float
        0 to below 1.
    """
    if len(ids) < FEWEST_TO_HOLD_OUT:
        return np.zeros(len(ids), bool)
    spread = (ids.astype(np.uint64) * _GOLDEN) >> np.uint64(11)
    is_drawn = spread.astype(np.float64) / 2.0**53 < fraction
    brightness = np.nan_to_num(snr)
    is_spared = brightness > np.quantile(brightness, 1.0 - SPARED)
    return np.asarray(is_drawn & ~is_spared, bool)
