"""Sersic profiles of any index as sums of Gaussians, smooth in the index.

The widths are a geometric series whose ends follow the index; the fluxes are linear least
squares of the profile as seen through Gaussians of several widths, each in units of its peak, so
that what is small is the error after a PSF, from a 25th of the half-light radius up. Indices
between those fitted are splines: exactly differentiable. (The idea of Gaussians for galaxies is
Hogg & Lang's, 2013, PASP 125, 719.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import gamma, gammaincinv, i0e

from alignsvc.domain.arrays import FloatArray

#: Indices that mixtures are made for.
LOWEST_INDEX, HIGHEST_INDEX = 0.5, 5.0
_FITTED = 64
#: Widths of the PSFs, over the half-light radius, that the fluxes are fitted behind.
_SEEN_THROUGH = (0.04, 0.1, 0.3, 1.0, 4.0)
#: Where, in half-light radii; the second are points of the integral over the profile.
_RADIUS = np.concatenate([[0.0], np.geomspace(0.01, 40.0, 90)])
_LOG_FINE = np.linspace(-9.0, math.log(300.0), 800)
#: Keeps neighbouring Gaussians from large opposite fluxes.
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class RadialMixture:
    """Concentric round Gaussians, and how they change with the parameters of a galaxy.

    Parameters
    ----------
    flux, variance : float64 array, shape (n, m)
        Variances along each axis in squares of the half-light radius.
    d_flux, d_variance : float64 array, shape (n, k, m)
        By each of the galaxy's own parameters.
    """

    flux: FloatArray
    variance: FloatArray
    d_flux: FloatArray
    d_variance: FloatArray


def sersic_mixture(index: FloatArray, components: int) -> RadialMixture:
    """Return Sersic profiles of unit flux and half-light radius.

    Parameters
    ----------
    index : float64 array, shape (n,)
        Within `LOWEST_INDEX` and `HIGHEST_INDEX`.
    components : int
        Gaussians. Behind any PSF wider than 0.04 half-light radii, twelve are right to 3e-4 of
        the peak (1e-4 from index 1 up), eight to 5e-4 at index 1.
    """
    spline = _flux_spline(components)
    log_first, log_last, d_first, d_last = _ends(index)
    part = np.linspace(0, 1, components)
    log_width = log_first[:, None] * (1 - part) + log_last[:, None] * part
    d_log_width = d_first[:, None] * (1 - part) + d_last[:, None] * part
    variance = np.exp(2 * log_width)
    return RadialMixture(
        flux=spline(np.log(index)),
        variance=variance,
        d_flux=(spline(np.log(index), 1) / index[:, None])[:, None],
        d_variance=(2 * variance * d_log_width)[:, None],
    )


def fixed_mixture(index: float, components: int, count: int) -> RadialMixture:
    """Return `count` times the mixture of one index, which is no parameter."""
    one = sersic_mixture(np.array([index]), components)
    none = np.zeros((count, 0, components))
    flux, variance = (
        np.broadcast_to(each, (count, components)) for each in (one.flux, one.variance)
    )
    return RadialMixture(flux, variance, none, none)


def sersic_profile(radius: FloatArray, index: float) -> FloatArray:
    """Return Sersic's profile of unit flux and half-light radius (Graham & Driver 2005)."""
    b = float(gammaincinv(2 * index, 0.5))
    flux = 2 * math.pi * index * gamma(2 * index) / b ** (2 * index)
    profile: FloatArray = np.exp(-b * radius ** (1 / index)) / flux
    return profile


def _ends(index: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return logarithms of the smallest and largest width, and their derivatives by the index.

    A Gaussian (0.5) is spanned by widths near its own; cusp and wings grow with the index.
    """
    cusp, core = 0.03 * index**-0.8, 0.3 * np.exp((0.5 - index) / 0.1)
    wings = 1.1 * index**1.35
    first, last = cusp + core, 0.9 + wings
    d_first, d_last = -0.8 * cusp / index - 10 * core, 1.35 * wings / index
    return np.log(first), np.log(last), d_first / first, d_last / last


@lru_cache(maxsize=16)
def _flux_spline(components: int) -> CubicSpline:
    """Return the fluxes as a function of the logarithm of the index; made once, in 0.1 s."""
    log_index = np.linspace(math.log(LOWEST_INDEX), math.log(HIGHEST_INDEX), _FITTED)
    kernels = [_seen_through(width) for width in _SEEN_THROUGH]
    flux = [_fitted_flux(float(np.exp(each)), components, kernels) for each in log_index]
    return CubicSpline(log_index, np.array(flux))


def _seen_through(width: float) -> FloatArray:
    """Return the matrix that convolves a profile, given at the fine radii, with a Gaussian."""
    fine = np.exp(_LOG_FINE)
    ring = 2 * math.pi * fine**2 * (_LOG_FINE[1] - _LOG_FINE[0])
    gaussian = np.exp(-0.5 * ((_RADIUS[:, None] - fine) / width) ** 2)
    matrix: FloatArray = gaussian * i0e(np.outer(_RADIUS, fine) / width**2) * ring
    return matrix / (2 * math.pi * width**2)


def _fitted_flux(index: float, components: int, kernels: list[FloatArray]) -> FloatArray:
    log_first, log_last, *_ = _ends(np.array([index]))
    variance = np.exp(2 * np.linspace(log_first[0], log_last[0], components))
    profile = sersic_profile(np.exp(_LOG_FINE), index)
    columns, wanted = [_RIDGE * np.eye(components)], [np.zeros(components)]
    for width, kernel in zip(_SEEN_THROUGH, kernels, strict=True):
        seen = kernel @ profile
        wider = variance + width**2
        gaussians = np.exp(-0.5 * _RADIUS[:, None] ** 2 / wider) / (2 * math.pi * wider)
        columns.append(gaussians / seen[0])
        wanted.append(seen / seen[0])
    flux: FloatArray = np.linalg.lstsq(np.concatenate(columns), np.concatenate(wanted))[0]
    return flux
