"""Convolution of many small planes with kernels that are sums of products of short ones."""

from __future__ import annotations

from typing import cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.numerics.compiled import compiled_sums

#: Where a kernel's Gaussian ends, in sigma: beyond lie four parts in 10^5 of it, and what is left
#: is as symmetric and has the sum that it should have.
_REACH_SIGMA = 4.5
#: Weights less than this part of the largest are none.
_NEGLIGIBLE = 1e-9
#: Weights that are applied in one go.
_AT_ONCE = 4
#: The step to the next value: typed, for a number written out makes a function of its own.
_NEXT = cast(int, np.int64(1))


def reach_of(sigma_px: float, side: int) -> int:
    """Return how many pixels a Gaussian reaches, within planes of a side."""
    return int(min(np.ceil(_REACH_SIGMA * sigma_px), side - 1))


def convolved(
    planes: Float32Array, along_x: FloatArray, along_y: FloatArray, itself: float = 0.0
) -> Float32Array:
    """Return planes convolved with ``itself delta + sum_t along_x_t(x) along_y_t(y)``.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
        Taken as 0 outside.
    along_x, along_y : float arrays, shape (n or 1, terms, 2 reach + 1)
        Kernels at distances -reach to reach; one set for all planes, or one for each.
    itself : float

    Returns
    -------
    float32 array, shape of `planes`
    """
    result = np.empty(planes.shape, np.float32)
    weights_x = _weights(along_x)
    weights_y = weights_x if along_y is along_x else _weights(along_y)
    reach = along_x.shape[-1] // 2
    _convolve(contiguous(planes), (weights_x, weights_y), reach, np.float32(itself), result)
    return result


def _weights(kernels: FloatArray) -> Float32Array:
    """Return kernels by increasing place of what they weigh, zeros to a multiple at the end."""
    size = kernels.shape[-1]
    weights = np.zeros((*kernels.shape[:-1], size + -size % _AT_ONCE), np.float32)
    # Ends that round to nothing are skipped; multiplied, they would be denormal and slow.
    sizes = np.abs(kernels)
    counts = sizes > _NEGLIGIBLE * sizes.max(axis=2, keepdims=True)
    np.multiply(kernels, counts, out=weights[..., size - 1 :: -1], casting="same_kind")
    return contiguous(weights)


@compiled_sums
def _convolve(
    planes: Float32Array,
    kernels: tuple[Float32Array, Float32Array],
    reach: int,
    itself: np.float32,
    result: Float32Array,
) -> None:
    """Convolve plane by plane, each laid out as one long row.

    Between rows, above and below lie zeros: a kernel along either axis is then one sum of moved
    copies of the whole, which fills the lanes of a processor however small the plane. The zeros
    between two rows are beyond the end of one and before the beginning of the other.
    """
    along_x, along_y = kernels
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
        for j in range(length):
            whole[j] = itself * padded[reach + j]
        for term in range(n_terms):
            seen = rows[reach * row : reach * row + length]
            for j in range(length):
                seen[j] = 0
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
