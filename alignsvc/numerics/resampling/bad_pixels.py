"""Which pixels of a chip are bad by their values, and no longer hold them."""

from __future__ import annotations

import math

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.domain.exposure import ChipRows
from alignsvc.numerics.compiled import compiled

_NOTHING = np.zeros((0, 0), bool)


def mark_bad(rows: ChipRows, saturation: float | None, also_bad: BoolArray | None) -> None:
    """Find what is saturated or bad in rows of a chip; bad pixels are 0 from then on.

    Parameters
    ----------
    rows : ChipRows
        With the pixels as they were read; the rest is written.
    saturation : float or None
        Pixels as bright as that are saturated, and bad; None = not known, none is.
    also_bad : bool array, shape as of the rows, or None
        What else is bad, besides pixels that are not finite.
    """
    _mark(
        (rows.pixels, rows.mask, rows.saturated),
        np.float32(math.nan if saturation is None else saturation),
        np.ascontiguousarray(_NOTHING if also_bad is None else also_bad),
    )


@compiled
def _mark(
    rows: tuple[Float32Array, BoolArray, BoolArray], saturation: np.float32, also_bad: BoolArray
) -> None:
    pixels, mask, saturated = rows
    infinite, none = np.float32(np.inf), np.float32(0.0)
    for r in range(pixels.shape[0]):
        values, bad, bright = pixels[r], mask[r], saturated[r]
        for c in range(len(values)):
            # An infinite pixel overflowed float32: it is bad, and as bright as can be.
            bright[c] = values[c] >= saturation
            bad[c] = bright[c] | (not (abs(values[c]) < infinite))
        if also_bad.size:
            other = also_bad[r]
            for c in range(len(values)):
                bad[c] |= other[c]
        for c in range(len(values)):
            values[c] = none if bad[c] else values[c]
