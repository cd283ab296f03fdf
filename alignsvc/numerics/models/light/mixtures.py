"""Sums of concentric Gaussians: what can be convolved in closed form.

`mixture_of` makes one of any profile of stars as pixels see it, so what is convolved with it
needs no integration over pixels of its own. The usual way, 1/12 px^2 added to each variance, is
right to the second moment only and errs by 7e-4 of the peak at FWHM 3 px, 3e-3 at 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from alignsvc.domain.arrays import FloatArray, hold_float64
from alignsvc.numerics.models.light.ellipticity import ellipses
from alignsvc.numerics.models.light.profile import Places, Profile

#: Radii that a star is compared at, and how far out, in FWHM: 1e-3 of the peak and less remain.
_SAMPLES = 80
_REACH = 6.0
#: Turns each sample by the golden angle from the one before: no direction is preferred.
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
#: Keeps Gaussians of nearly one width from large opposite fluxes.
_RIDGE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """Concentric Gaussians.

    Parameters
    ----------
    flux : float64 array, shape (m,)
        May be negative. A little below 1 in all: the farthest wings are left out.
    covariance : float64 array, shape (m, 3)
        xx, xy, yy of each [px^2].
    """

    flux: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        hold_float64(self, "flux", "covariance")
        if self.covariance.shape != (len(self.flux), 3):
            raise ValueError(
                f"mixture of {len(self.flux)} Gaussians: wanted covariances "
                f"({len(self.flux)}, 3), found {self.covariance.shape}"
            )

    def at(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the profile at places beside its centre, any shape [1/px^2]."""
        xx, xy, yy = self.covariance.T
        area = xx * yy - xy**2
        x, y = x[..., None], y[..., None]
        exponent = (yy * x**2 - 2 * xy * x * y + xx * y**2) / area
        found: FloatArray = np.exp(-0.5 * exponent) @ (self.flux / (2 * math.pi * np.sqrt(area)))
        return found


def mixture_of(star: Profile, shape: FloatArray, components: int = 4) -> GaussianMixture:
    """Return a star, integrated over pixels, as a few Gaussians of one ellipticity.

    Parameters
    ----------
    star : Profile
    shape : float64 array, shape (k,)
    components : int
        Gaussians. Four are right to 6e-4 of the peak for Moffat indices from 2 and FWHM from
        1.8 px, three to 1.2e-3 for indices from 2.5. At 1.2 px it is 4e-3 with any number: the
        corners of a square pixel show.

    Notes
    -----
    Least squares over widths and ellipticity, the fluxes eliminated (variable projection, Golub
    & Pereyra 1973), at points on a spiral; wings count as their radius, for the flux in them.
    """
    fwhm = _half_maximum(star, shape)
    radius = np.concatenate([[0.0], np.geomspace(0.1, _REACH, _SAMPLES)]) * fwhm
    angle = _GOLDEN_ANGLE * np.arange(len(radius))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    wanted = _star_at(star, shape, x, y)
    weight = (1 + radius / fwhm) / wanted[0]

    def mixture(unknown: FloatArray) -> GaussianMixture:
        covariance = _covariances(unknown)
        ones = GaussianMixture(np.ones(components), covariance)
        columns = np.concatenate([_each_at(ones, x, y) * weight[:, None], ridge])
        flux = np.linalg.lstsq(columns, np.append(wanted * weight, np.zeros(components)))[0]
        return GaussianMixture(flux, covariance)

    def left(unknown: FloatArray) -> FloatArray:
        difference: FloatArray = (mixture(unknown).at(x, y) - wanted) * weight
        return difference

    ridge = _RIDGE * np.eye(components)
    sigma = fwhm / math.sqrt(8 * math.log(2))
    begin = np.log(sigma * np.geomspace(0.7, 4.0, components)) if components > 1 else [0.0]
    found = least_squares(left, np.append(begin, [0.0, 0.0]), max_nfev=40)
    return mixture(found.x)


def _covariances(unknown: FloatArray) -> FloatArray:
    """Return covariances (m, 3) of ``ln sigma`` and two numbers that say e without bounds."""
    *log_sigma, u, v = unknown
    inside = math.sqrt(1 + u**2 + v**2)
    ellipse = ellipses(np.array([u / inside]), np.array([v / inside])).matrix
    covariances: FloatArray = np.exp(2 * np.array(log_sigma))[:, None] * ellipse
    return covariances


def _star_at(star: Profile, shape: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return what a pixel beside the star by (x, y) holds."""
    # A window of one pixel, from which the star is off the other way.
    return star(Places(-x, -y, 1), shape).value[:, 0, 0].astype(np.float64)


def _each_at(mixture: GaussianMixture, x: FloatArray, y: FloatArray) -> FloatArray:
    """Return Gaussians one by one: (n, m)."""
    columns = [
        GaussianMixture(mixture.flux[[k]], mixture.covariance[[k]]).at(x, y)
        for k in range(len(mixture.flux))
    ]
    return np.stack(columns, axis=1)


def _half_maximum(star: Profile, shape: FloatArray) -> float:
    """Return the full width at half maximum along x [px], to a few per cent."""
    radius = np.concatenate([[0.0], np.geomspace(0.2, 100.0, 200)])
    value = _star_at(star, shape, radius, np.zeros_like(radius))
    return 2 * float(radius[np.argmax(value < 0.5 * value[0])])
