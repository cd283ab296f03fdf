"""Planes plus what a few neighbours say of their convolution."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums


def stencilled(
    planes: Float32Array, smooth: Float32Array, numbers: tuple[float, float, float, float]
) -> Float32Array:
    """Return sums of planes, of others and of differences of the others' neighbours.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
    smooth : float32 array, shape (n, side + 2, side + 2)
        One pixel more on each side.
    numbers : tuple of float
        By which are multiplied the planes, the others, the second difference along x of these less
        that along y, and the difference along x of that along y.
    """
    found = np.empty(planes.shape, np.float32)
    itself, middle, plus, cross = numbers
    weights = np.array([itself, middle, plus, 0.25 * cross], np.float32)
    _stencil(contiguous(planes), contiguous(smooth), weights, found)
    return found


@compiled
def _stencil(
    planes: Float32Array, smooth: Float32Array, weights: Float32Array, found: Float32Array
) -> None:
    n, side = planes.shape[0], planes.shape[1]
    for i in range(n):
        for y in range(side):
            _add_row(planes[i, y], smooth[i, y : y + 3], weights, found[i, y])


@compiled_sums
def _add_row(
    plane: Float32Array, smooth: Float32Array, weights: Float32Array, found: Float32Array
) -> None:
    n = len(found)
    itself, middle, plus, cross = weights[0], weights[1], weights[2], weights[3]
    a, b, c = smooth[0, :n], smooth[0, 1 : n + 1], smooth[0, 2 : n + 2]
    d, e, f = smooth[1, :n], smooth[1, 1 : n + 1], smooth[1, 2 : n + 2]
    g, h, i = smooth[2, :n], smooth[2, 1 : n + 1], smooth[2, 2 : n + 2]
    for x in range(n):
        round_part = itself * plane[x] + middle * e[x]
        stretched = plus * ((d[x] + f[x]) - (b[x] + h[x])) + cross * ((a[x] + i[x]) - (c[x] + g[x]))
        found[x] = round_part + stretched
