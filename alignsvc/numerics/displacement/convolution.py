"""Convolution of many small planes with kernels that are sums of products of short ones."""

from __future__ import annotations

from typing import cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.numerics.compiled import compiled_sums

#: Where a Gaussian ends, in sigma: beyond, it is less than the rounding of its middle.
REACH_SIGMA = 5.5
#: Weights less than this part of the largest are none.
_NEGLIGIBLE = 1e-9
#: Weights that are applied in one go.
_AT_ONCE = 4
#: The step to the next value: typed, for a number written out makes a function of its own.
_NEXT = cast(int, np.int64(1))


def reach_of(sigma_px: float, side: int) -> int:
    """Return how many pixels a Gaussian reaches, within planes of a side."""
    return int(min(np.ceil(REACH_SIGMA * sigma_px), side - 1))


def convolved(planes: Float32Array, along_x: FloatArray, along_y: FloatArray) -> Float32Array:
    """Return ``sum_t planes * (along_x_t(x) along_y_t(y))``, the planes taken as 0 outside.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
    along_x, along_y : float arrays, shape (n or 1, terms, 2 reach + 1)
        Kernels at distances -reach to reach; one set for all planes, or one for each.

    Returns
    -------
    float32 array, shape of `planes`
    """
    result = np.empty(planes.shape, np.float32)
    weights = _weights(along_x), _weights(along_y)
    _convolve(contiguous(planes), *weights, along_x.shape[-1] // 2, result)
    return result


def _weights(kernels: FloatArray) -> Float32Array:
    """Return kernels by increasing place of what they weigh, zeros to a multiple at the end."""
    short = -kernels.shape[-1] % _AT_ONCE
    # Ends that round to nothing are skipped; multiplied, they would be denormal and slow.
    largest = np.abs(kernels).max(axis=2, keepdims=True)
    counted = np.where(np.abs(kernels) > _NEGLIGIBLE * largest, kernels, 0)
    flipped = np.pad(counted[..., ::-1], ((0, 0), (0, 0), (0, short)))
    return contiguous(flipped.astype(np.float32))


@compiled_sums
def _convolve(
    planes: Float32Array,
    along_x: Float32Array,
    along_y: Float32Array,
    reach: int,
    result: Float32Array,
) -> None:
    """Convolve plane by plane, each laid out as one long row.

    Between rows, above and below lie zeros: a kernel along either axis is then one sum of moved
    copies of the whole, which fills the lanes of a processor however small the plane. The zeros
    between two rows are beyond the end of one and before the beginning of the other.
    """
    n, side = planes.shape[0], planes.shape[1]
    n_terms, n_weights = along_x.shape[1], along_x.shape[2]
    row = side + reach
    length = side * row
    padded = np.zeros(length + n_weights, np.float32)
    rows = np.zeros((side + n_weights) * row, np.float32)
    whole = np.zeros(length, np.float32)
    for i in range(n):
        mine = i if along_x.shape[0] > 1 else 0
        for y in range(side):
            for x in range(side):
                padded[reach + y * row + x] = planes[i, y, x]
        whole[:] = 0
        for term in range(n_terms):
            seen = rows[reach * row : reach * row + length]
            seen[:] = 0
            _add_filtered(padded, _NEXT, along_x[mine, term], seen)
            _add_filtered(rows, row, along_y[mine, term], whole)
        for y in range(side):
            for x in range(side):
                result[i, y, x] = whole[y * row + x]


@compiled_sums
def _add_filtered(
    values: Float32Array, step: int, weights: Float32Array, total: Float32Array
) -> None:
    """Add ``sum_t weights[t] values[j + t step]`` to each j of `total`."""
    n = len(total)
    for first in range(0, len(weights), 4):
        a, b, c, d = weights[first], weights[first + 1], weights[first + 2], weights[first + 3]
        if a == 0 and b == 0 and c == 0 and d == 0:
            continue
        start = first * step
        at_a = values[start : start + n]
        at_b = values[start + step : start + step + n]
        at_c = values[start + 2 * step : start + 2 * step + n]
        at_d = values[start + 3 * step : start + 3 * step + n]
        for j in range(n):
            total[j] += a * at_a[j] + b * at_b[j] + c * at_c[j] + d * at_d[j]
