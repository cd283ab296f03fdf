"""Which sources serve the fit, and which its test."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray

#: Below this many sources in a component none is held out: the fit needs them all.
FEWEST_TO_HOLD_OUT = 50
# 2^64 over the golden ratio (Knuth, The Art of Computer Programming 3, section 6.4): multiplying
# by it spreads consecutive ids evenly.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def held_out(ids: IntArray, fraction: float) -> BoolArray:
    """Return which sources are kept out of the fit, to test it.

    A source's lot depends on its id alone, so that it stays with it across passes, whatever
    other sources come and go.

    Parameters
    ----------
    ids : int64 array, shape (n,)
        Of all sources of a component; fewer than 50: none is held out.
    fraction : float
        0 to below 1.
    """
    if len(ids) < FEWEST_TO_HOLD_OUT:
        return np.zeros(len(ids), bool)
    spread = (ids.astype(np.uint64) * _GOLDEN) >> np.uint64(11)
    lot: BoolArray = spread.astype(np.float64) / 2.0**53 < fraction
    return lot
