"""The filter that detection looks through."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array, contiguous
from alignsvc.numerics.compiled import compiled

T = TypeVar("T", bound=np.generic)

#: One axis of the kernel is 1, this, 1. 1-2-1 in both axes is a Gaussian of FWHM 2 px, broad
#: enough for undersampled stars, narrow enough to keep close pairs apart (SExtractor's default).
_MIDDLE = np.float32(2.0)
#: Pixels about which the filter looks on each side.
REACH = 1


def signal_to_noise(values: Float32Array, weight: Float32Array) -> Float32Array:
    """Return the significance of a star at every pixel.

    Parameters
    ----------
    values : float32 array, shape (ny, nx)
        Above the background; anything where the weight is 0.
    weight : float32 array, shape (ny, nx)
        Inverse variance; 0 = hole.

    Returns
    -------
    float32 array, shape (ny, nx)
        ``sum(k v w) / sqrt(sum(k^2 w))`` over the kernel k: for white noise of variance 1/w a
        unit Gaussian. 0 in holes. A pixel depends on its 3 x 3 neighbours alone, in the same
        order of operations everywhere; pixels beyond the array count as holes.
    """
    planes = (contiguous(plane) for plane in (values, weight))
    return _filtered(*planes)


@compiled
def _filtered(values: Float32Array, weight: Float32Array) -> Float32Array:
    """Return the significance; of three rows at a time, each smoothed along itself."""
    ny, nx = weight.shape
    result = np.empty((ny, nx), np.float32)
    light = np.empty(nx, np.float32)
    # Row y is kept at y modulo 3; those before the first and after the last are 0.
    signal, noise = np.zeros((3, nx), np.float32), np.zeros((3, nx), np.float32)
    for y in range(ny + 1):
        behind, middle, ahead = (y + 1) % 3, (y + 2) % 3, y % 3
        if y < ny:
            for x in range(nx):
                light[x] = values[y, x] * weight[y, x]
            _smooth(light, _MIDDLE, signal[ahead])
            _smooth(weight[y], _MIDDLE * _MIDDLE, noise[ahead])
        else:
            signal[ahead], noise[ahead] = 0.0, 0.0
        for x in range(nx if y > 0 else 0):
            seen = signal[middle, x] * _MIDDLE + signal[behind, x] + signal[ahead, x]
            variance = noise[middle, x] * (_MIDDLE * _MIDDLE) + noise[behind, x] + noise[ahead, x]
            value = seen / np.sqrt(variance)
            result[y - 1, x] = value if weight[y - 1, x] > 0 else np.float32(0)
    return result


@compiled
def _smooth(row: Float32Array, middle: np.float32, smoothed: Float32Array) -> None:
    """Write each pixel times `middle` plus the two beside it; beyond the border is 0."""
    last = row.size - 1
    for x in range(1, last):
        smoothed[x] = row[x] * middle + row[x - 1] + row[x + 1]
    if last == 0:
        smoothed[0] = row[0] * middle
    else:
        smoothed[0] = row[0] * middle + row[1]
        smoothed[last] = row[last] * middle + row[last - 1]


def inner(plane: NDArray[T]) -> NDArray[T]:
    """Return the part of a filtered plane whose pixels had all their neighbours."""
    return plane[REACH:-REACH, REACH:-REACH]
