"""Planes plus what a few neighbours say of their convolution with a Gaussian."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.convolution import (
    convolve_one,
    counting,
    lay_out,
    room_to_convolve,
)


def stencilled(planes: Float32Array, half: FloatArray, numbers: FloatArray) -> Float32Array:
    """Return sums of planes, of their convolution and of differences of its neighbours.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
        0 outside.
    half : float64 array, shape (reach + 1,)
        The symmetric kernel along both axes, at distances 0 .. reach.
    numbers : float64 array, shape (k, 4)
        By which in each of k sums are multiplied the planes, their convolution, its second
        difference along x less that along y, and its difference along x of that along y.

    Returns
    -------
    float32 array, shape (k, n, side, side)
    """
    found = np.empty((len(numbers), *planes.shape), np.float32)
    weights = (numbers * np.array([1, 1, 1, 0.25])).astype(np.float32)
    _stencil(contiguous(planes), counting(half[None])[0], weights, found)
    return found


@compiled
def _stencil(
    planes: Float32Array, half: Float32Array, weights: Float32Array, found: Float32Array
) -> None:
    n, side = planes.shape[0], planes.shape[1]
    room, smooth = room_to_convolve(side + 2, len(half)), np.empty((side + 2, side + 2), np.float32)
    reach = lay_out(half, room[2])
    for i in range(n):
        convolve_one(planes[i], room, reach, smooth)
        for k in range(len(weights)):
            for y in range(side):
                _add_row(planes[i, y], smooth[y : y + 3], weights[k], found[k, i, y])


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
        found[x] = (itself * plane[x] + middle * e[x]) + (
            plus * ((d[x] + f[x]) - (b[x] + h[x])) + cross * ((a[x] + i[x]) - (c[x] + g[x]))
        )
