"""The noise of a mosaic, as it comes through a blot and its smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.numerics.displacement.psf_matching import MatchingKernel
from alignsvc.numerics.displacement.spline import gaussian_kernel

#: Frequencies per period, and periods on each side of 0, that integrals are taken over.
_SAMPLES, _PERIODS = 64, 2


@dataclass(frozen=True, slots=True, eq=False)
class NoiseFactors:
    """Mean products of two versions of a noisy template, per unit of its pixels' variance.

    Parameters
    ----------
    value : float64 array, shape (n,)
        Of the values.
    slope : float64 array, shape (n,)
        Of the slopes along one axis, per px^2.
    """

    value: FloatArray
    slope: FloatArray


@dataclass(frozen=True, slots=True)
class TemplateNoise:
    """How the noise of the mosaic varies from pixel to pixel.

    Parameters
    ----------
    neighbour_covariance : float
        Covariance of two neighbours along an axis, in units of the noise of a large area. A
        drizzled pixel shares its input pixels with its neighbours: for pixfrac 1, equal scales
        and random dithers the covariances along an axis are 1/6, 2/3, 1/6 (the overlap of two
        unit boxes at a random phase). 0: every pixel has noise of its own.
    """

    neighbour_covariance: float = 1.0 / 6.0

    def factors(self, sigma_px: FloatArray, kernel: MatchingKernel) -> NoiseFactors:
        """Return the mean products of templates and the same smoothed by `sigma_px`.

        The power of the noise, ``1 - 2 c + 2 c cos(2 pi f)``, passes the quintic spline through
        the mosaic, is sampled by the chip, and passes the quintic spline through the blot, once
        plain and once times the transform of the smoothing. A quintic through samples has the
        response ``sinc^6 / B_5`` (Unser 1999, doi 10.1109/79.799930).

        Parameters
        ----------
        sigma_px : float64 array, shape (n,)
        kernel : MatchingKernel
            With which the templates were convolved; of its terms the round ones are counted.
        """
        widths, width = np.unique(sigma_px, return_inverse=True)
        passed = _Passed.through(self.neighbour_covariance, kernel)
        smoothing = gaussian_kernel(widths, _SAMPLES)
        value, slope = smoothing @ passed.value, smoothing @ passed.slope
        return NoiseFactors(
            value=(value**2 @ passed.weight)[width],
            slope=((slope * value) @ passed.weight)[width],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Passed:
    """The noise along one axis that splines and a kernel pass, by distance of two pixels.

    The kernel is a sum of separable terms, so its square is one of pairs of them.

    Parameters
    ----------
    value, slope : float64 arrays, shape (distances, pairs)
        Covariances of values, and of slopes.
    weight : float64 array, shape (pairs,)
    """

    value: FloatArray
    slope: FloatArray
    weight: FloatArray

    @classmethod
    @lru_cache(maxsize=16)  # every chunk of a chip asks for the same
    def through(cls, neighbour_covariance: float, kernel: MatchingKernel) -> _Passed:
        """Return what a kernel passes of a mosaic's noise."""
        f = _frequencies()
        c, phase = neighbour_covariance, 2 * np.pi * f
        quintic = np.sinc(f) ** 6 / ((66 + 52 * np.cos(phase) + 2 * np.cos(2 * phase)) / 120)
        # Sampling by the chip folds all periods onto one.
        folded = np.tile((quintic**2).reshape(-1, _SAMPLES).sum(axis=0), 2 * _PERIODS)
        power = (1 - 2 * c + 2 * c * np.cos(phase)) * folded * quintic**2 / _SAMPLES
        terms = gaussian_kernel(np.array([0.0, *kernel.sigma_px]), _SAMPLES) @ _cosines()
        parts = np.array([1 - sum(kernel.round), *kernel.round])
        pairs = (terms[:, None] * terms).reshape(-1, len(f)) * power
        return cls(
            read_only(_cosines() @ pairs.T),
            read_only(_cosines() @ (pairs * phase**2).T),
            read_only(np.outer(parts, parts).ravel()),
        )


def _frequencies() -> FloatArray:
    """Return the frequencies that integrals are taken over, cycles per pixel."""
    return np.arange(-_PERIODS * _SAMPLES, _PERIODS * _SAMPLES) / _SAMPLES


@cache
def _cosines() -> FloatArray:
    """Return what makes a transform of a symmetric kernel of its values at 0, 1, 2, ... px."""
    distance = np.arange(_SAMPLES)
    cosines = np.cos(2 * np.pi * np.outer(distance, _frequencies()))
    return read_only(cosines * np.where(distance > 0, 2, 1)[:, None])
