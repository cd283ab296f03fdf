"""The filter that detection looks through."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array

T = TypeVar("T", bound=np.generic)

#: One axis of the kernel: 1-2-1 in both axes is a Gaussian of FWHM 2 px, broad enough for
#: undersampled stars, narrow enough to keep close pairs apart (SExtractor's default).
_TAPS = (1.0, 2.0, 1.0)
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
    signal = _smoothed(values * weight, _TAPS)
    noise = _smoothed(weight, tuple(tap * tap for tap in _TAPS))
    result = np.zeros_like(signal)
    np.divide(signal, np.sqrt(noise), out=result, where=weight > 0)
    return result


def _smoothed(plane: Float32Array, taps: tuple[float, ...]) -> Float32Array:
    """Return `plane` convolved with ``taps x taps``, symmetric; zeros beyond the border."""
    side, middle = np.float32(taps[0]), np.float32(taps[1])
    along_x = plane * middle
    along_x[:, 1:] += plane[:, :-1] * side
    along_x[:, :-1] += plane[:, 1:] * side
    both = along_x * middle
    both[1:] += along_x[:-1] * side
    both[:-1] += along_x[1:] * side
    return both


def inner(plane: NDArray[T]) -> NDArray[T]:
    """Return the part of a filtered plane whose pixels had all their neighbours."""
    return plane[REACH:-REACH, REACH:-REACH]
