"""The mosaic of all the others as the formula says it."""

from __future__ import annotations

import numpy as np

from alignsvc.numerics.resampling.coadd import EMPTY_BELOW, Contribution


def leave_one_out(total: Contribution, own: Contribution) -> Contribution:
    """Return ``(S - s, W - w)`` over the box of `total`, float32; 0 where no weight is left."""
    own = own.cut(total.box)
    weight = total.weight - own.weight.astype(np.float64)
    is_left = weight > EMPTY_BELOW * total.weight
    planes = (total.numerator - own.numerator.astype(np.float64), weight)
    return Contribution(
        total.box, *(np.where(is_left, one, 0).astype(np.float32) for one in planes)
    )
