"""Elliptical Gaussians at the pixels of boxes, filled in the cache."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.numerics.compiled import compiled, compiled_sums

#: Middle x and y, pixels, and covariance xx, xy, yy, px^2.
Gaussian: TypeAlias = tuple[float, float, float, float, float]

#: An exponential is this power, two to `_SQUARINGS`, of that of a small number, which four terms
#: give: what fills all lanes of a processor, to a few in 10^5.
_SQUARINGS, _POWER = 8, 256.0
#: Beyond it a Gaussian is as good as none; multiplied, what is less would be denormal and slow.
_LEAST_EXPONENT = -40.0


@compiled
def wider(profile: Gaussian, variance_px2: float) -> Gaussian:
    """Return a Gaussian convolved with a round one; a negative variance takes one away."""
    x, y, xx, xy, yy = profile
    return x, y, xx + variance_px2, xy, yy + variance_px2


@compiled
def fill_gaussian(profile: Gaussian, plane: Float32Array) -> None:
    """Fill a plane (side, side) with a Gaussian of unit sum."""
    middle_x, middle_y, xx, xy, yy = profile
    determinant = xx * yy - xy**2
    along = -0.5 * yy / determinant
    for y in range(plane.shape[0]):
        off = y - middle_y
        terms = along, xy / determinant * off, -0.5 * xx / determinant * off**2
        _fill_exponents(plane[y], middle_x, terms)
    _exponentiate(plane.reshape(-1), 1 / (2 * np.pi * np.sqrt(determinant)))


@compiled_sums
def _fill_exponents(row: Float32Array, middle: float, terms: tuple[float, float, float]) -> None:
    """Fill a row with ``a u^2 + b u + c``, u the distance from the middle."""
    a, b, c = np.float32(terms[0]), np.float32(terms[1]), np.float32(terms[2])
    centre = np.float32(middle)
    for x in range(len(row)):
        u = np.float32(x) - centre
        row[x] = (a * u + b) * u + c


@compiled_sums
def _exponentiate(values: Float32Array, norm: float) -> None:
    """Put ``norm exp(value)`` in place of each, all of a plane at once: rows are short."""
    scale, unit = np.float32(norm), np.float32(1)
    least, part = np.float32(_LEAST_EXPONENT), np.float32(1 / _POWER)
    half, third, fourth = np.float32(1 / 2), np.float32(1 / 3), np.float32(1 / 4)
    for k in range(len(values)):
        t = max(values[k], least) * part
        value = unit + t * (unit + t * half * (unit + t * third * (unit + t * fourth)))
        for _ in range(_SQUARINGS):
            value *= value
        values[k] = scale * value


@compiled_sums
def amplitude(plane: Float32Array, profile: Float32Array) -> float:
    """Return by how much a profile fits a plane, not below 0."""
    values, light = plane.reshape(-1), profile.reshape(-1)
    across = power = np.float32(0)
    for k in range(len(light)):
        across += values[k] * light[k]
        power += light[k] * light[k]
    return max(np.float64(across) / np.float64(power), 0.0)


@compiled
def fitted_profile(
    products: FloatArray, place: tuple[float, float], bounds: tuple[float, float, float]
) -> Gaussian:
    """Return the Gaussian whose slopes and values have some products.

    For a Gaussian of covariance C, ``sum dT dT^T = C^-1 / 2 sum T^2``: the moments of the slopes
    see the core, where second moments of T^2 see the wings and what lies in them.

    Parameters
    ----------
    products : float64 array, shape (4,)
        Sums of slopes xx, xy and yy, and of values.
    place : tuple
        x and y of its middle.
    bounds : tuple
        What is taken off its variances, px^2, and between what they then must lie.
    """
    less, least, most = bounds
    inverse = 2 / products[3] if products[3] > 0 else 0.0
    xx, xy, yy = inverse * products[0], inverse * products[1], inverse * products[2]
    half = 0.5 * (xx - yy)
    across = np.hypot(half, xy)
    narrow = 1 / max(0.5 * (xx + yy) + across, 0.0) - less
    wide = 1 / max(0.5 * (xx + yy) - across, 0.0) - less
    narrow, wide = min(max(narrow, least), most), min(max(wide, least), most)
    stretch = 0.5 * (wide - narrow) / across if across > 0 else 0.0
    mean = 0.5 * (wide + narrow)
    return place[0], place[1], mean - stretch * half, -stretch * xy, mean + stretch * half
