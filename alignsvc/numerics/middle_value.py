"""The value in the middle of a few, without sorting them."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.compiled import compiled


@compiled
def middle_value(values: Float32Array) -> np.float32:
    """Return what would lie at half their number if they were sorted: of an odd number the median.

    Hoare's selection, which is little to compile: values are parted about one of them until the
    middle one lies in its place. They are put into another order, with none above it before it.
    """
    half, low, high = values.size // 2, 0, values.size - 1
    while low < high:
        pivot = values[half]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if j < half:
            low = i
        if half < i:
            high = j
    return np.float32(values[half])
