"""Convolution of many small planes with Gaussians, taken as 0 outside the planes."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.surfaces import clear, copy_row

#: Where a Gaussian ends, in sigma: beyond lie six parts in 10^5 of it, and what is left is as
#: symmetric and has the sum that it should have.
_REACH_SIGMA = 4.0
#: Weights less than this part of the largest are none; multiplied, they would be denormal and slow.
_NEGLIGIBLE = 1e-9
#: Weights that are applied in one go, and numbers that a processor takes at once: lines of a
#: multiple of these begin where it reads fastest.
_AT_ONCE, _LANES = 8, 8


def reach_of(sigma_px: float, side: int) -> int:
    """Return how many pixels a Gaussian reaches, within planes of a side."""
    return int(min(np.ceil(_REACH_SIGMA * sigma_px), side - 1))


def convolved(planes: Float32Array, half: FloatArray) -> Float32Array:
    """Return planes convolved along both axes, each with a symmetric kernel of its own.

    Parameters
    ----------
    planes : float32 array, shape (n, side, side)
    half : float64 array, shape (n, reach + 1)
        Kernels at distances 0 .. reach.

    Returns
    -------
    float32 array, shape of `planes`
    """
    result = np.empty(planes.shape, np.float32)
    _convolve(contiguous(planes), counting(half), result)
    return result


def counting(half: FloatArray) -> Float32Array:
    """Return kernels without what counts for nothing."""
    return np.where(half > _NEGLIGIBLE * half[:, :1], half, 0.0).astype(np.float32)


@compiled
def _convolve(planes: Float32Array, half: Float32Array, result: Float32Array) -> None:
    """Convolve plane by plane."""
    room = room_to_convolve(planes.shape[1], half.shape[1])
    for i in range(len(planes)):
        reach = lay_out(half[i], room[2])
        convolve_one(planes[i], room, reach, result[i])


#: Lines between lines of zeros, lines alone, and a kernel's weights.
Room: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]


@compiled
def room_to_convolve(side: int, n_half: int) -> Room:
    """Return room for planes of a side, one after another, and kernels of so many distances."""
    row = (side + _LANES - 1) // _LANES * _LANES
    tall = np.zeros((side + 2 * _AT_ONCE) * row, np.float32)
    return tall, np.empty(side * row, np.float32), np.empty(2 * n_half + _AT_ONCE, np.float32)


@compiled_sums
def convolve_one(plane: Float32Array, room: Room, reach: int, result: Float32Array) -> None:
    """Convolve a plane down its columns, and down those of what has been turned.

    A sum down columns is one of moved copies of all lines, laid out one after another: it fills the
    lanes of a processor however small the plane. Where the result is wider than the plane, it is
    so by as much on all sides.
    """
    tall, lines, weights = room
    inner, side = len(plane), len(result)
    row, beyond = len(lines) // side, (side - inner) // 2
    clear(tall)
    for y in range(inner):
        start = (_AT_ONCE + beyond + y) * row + beyond
        copy_row(plane[y], tall[start : start + inner])
    _filter_columns(tall, row, (weights, reach), lines)
    for y in range(side):
        for x in range(side):
            tall[(_AT_ONCE + y) * row + x] = lines[x * row + y]
    _filter_columns(tall, row, (weights, reach), lines)
    for y in range(side):
        for x in range(side):
            result[y, x] = lines[x * row + y]


@compiled
def lay_out(half: Float32Array, weights: Float32Array) -> int:
    """Write both sides of a kernel, and zeros to a multiple after them; return its reach."""
    reach = len(half) - 1
    while reach > 0 and half[reach] == 0:
        reach -= 1
    clear(weights)
    for k in range(-reach, reach + 1):
        weights[reach + k] = half[abs(k)]
    return reach


@compiled_sums
def _filter_columns(
    tall: Float32Array, row: int, kernel: tuple[Float32Array, int], lines: Float32Array
) -> None:
    """Write sums down the columns; `tall` has lines of zeros above and below."""
    weights, reach = kernel
    side = len(lines) // row
    clear(lines)
    for first in range(0, 2 * reach + 1, _AT_ONCE):
        # From a line, the nearest and the farthest that these weights see.
        near, far = first - reach, first - reach + _AT_ONCE - 1
        top, end = max(0, -far), min(side, side - near)
        if top < end:
            seen = tall[(_AT_ONCE + top + near) * row : (_AT_ONCE + end + far) * row]
            _add_lines(seen, row, weights[first : first + _AT_ONCE], lines[top * row : end * row])


@compiled_sums
def _add_lines(values: Float32Array, row: int, weights: Float32Array, total: Float32Array) -> None:
    """Add ``sum_t weights[t] values[j + t row]``, eight terms, to each j of `total`."""
    n = len(total)
    a, b, c, d = weights[0], weights[1], weights[2], weights[3]
    e, f, g, h = weights[4], weights[5], weights[6], weights[7]
    at_a, at_b, at_c = values[:n], values[row : row + n], values[2 * row : 2 * row + n]
    at_d, at_e = values[3 * row : 3 * row + n], values[4 * row : 4 * row + n]
    at_f, at_g = values[5 * row : 5 * row + n], values[6 * row : 6 * row + n]
    at_h = values[7 * row : 7 * row + n]
    for j in range(n):
        one = (a * at_a[j] + b * at_b[j]) + (c * at_c[j] + d * at_d[j])
        other = (e * at_e[j] + f * at_f[j]) + (g * at_g[j] + h * at_h[j])
        total[j] += one + other
