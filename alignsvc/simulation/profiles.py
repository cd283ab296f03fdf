"""Light profiles as sums of round Gaussians.

A sum of Gaussians is convolved with another, sheared by the local WCS and integrated over
pixels in closed form; nothing else needs to be known of a profile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls
from scipy.special import gammaincinv

from alignsvc.domain.arrays import FloatArray, read_only

#: Step in ln t of the Moffat quadrature: an error of a few 1e-4 (see `moffat_mixture`).
_MOFFAT_STEP = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """Unit flux as a sum of round Gaussians.

    Parameters
    ----------
    fractions : float64, shape (k,)
        Flux of each; they sum to 1.
    sigmas : float64, shape (k,)
        Widths, in the unit of the radius that the profile was made for.
    offsets : float64, shape (k, 2), optional
        Where (x, y) each is, in the same unit; left out, they are concentric.
    """

    fractions: FloatArray
    sigmas: FloatArray
    offsets: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))

    def __post_init__(self) -> None:
        total = float(np.sum(self.fractions))
        object.__setattr__(self, "fractions", read_only(np.asarray(self.fractions) / total))
        object.__setattr__(self, "sigmas", read_only(np.asarray(self.sigmas, float)))
        offsets = np.asarray(self.offsets, float)
        if not len(offsets):
            offsets = np.zeros((len(self.sigmas), 2))
        object.__setattr__(self, "offsets", read_only(offsets))

    def surface_brightness(self, radius: FloatArray) -> FloatArray:
        """Return the profile at `radius`, per square unit of it, as if it were concentric."""
        variance = self.sigmas**2
        peak = self.fractions / (2.0 * math.pi * variance)
        exponent = -0.5 * np.square(np.asarray(radius, float))[..., None] / variance
        profile: FloatArray = np.exp(exponent) @ peak
        return profile

    def scaled(self, factor: float) -> GaussianMixture:
        """Return the profile with all radii multiplied by `factor`."""
        return GaussianMixture(self.fractions, self.sigmas * factor, self.offsets * factor)

    def with_tail(self, light: float, offset: tuple[float, float]) -> GaussianMixture:
        """Return the profile with a part of its light in a tail: itself moved and blurred.

        Parameters
        ----------
        light : float
            Part of the flux.
        offset : tuple of float
            (x, y) of the tail's middle; it is blurred by a Gaussian half as wide as that is far.
        """
        blurred = np.hypot(self.sigmas, 0.5 * math.hypot(*offset))
        return GaussianMixture(
            np.concatenate([(1 - light) * self.fractions, light * self.fractions]),
            np.concatenate([self.sigmas, blurred]),
            np.concatenate([self.offsets, self.offsets + np.array(offset)]),
        )


def gaussian_mixture(fwhm: float) -> GaussianMixture:
    """Return one Gaussian of this full width at half maximum."""
    return GaussianMixture(np.ones(1), np.array([fwhm / math.sqrt(8.0 * math.log(2.0))]))


def moffat_mixture(fwhm: float, beta: float) -> GaussianMixture:
    """Return a Moffat profile ``(1 + r^2/a^2)^-beta``, to 1e-3 of its value within 4 FWHM.

    From the integral of the gamma function,
    ``(1 + r^2/a^2)^-beta = 1/Gamma(beta) int t^(beta-1) exp(-t) exp(-t r^2/a^2) dt``,
    Gaussians of variance ``a^2 / 2t``. The trapezoidal rule in ln t converges
    exponentially. The widest Gaussian ends the wings, whose flux a CCD would not see either.
    """
    a = fwhm / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))
    log_t = np.arange(-6.0, math.log(beta) + 3.0, _MOFFAT_STEP)
    t = np.exp(log_t)
    heights = np.exp(beta * log_t - t)
    variance = a**2 / (2.0 * t)
    flux = heights * variance
    # The narrow ones hold little flux but make the peak.
    keep = (flux > 1e-5 * flux.sum()) | (heights > 1e-4 * heights.sum())
    return GaussianMixture(flux[keep], np.sqrt(variance[keep]))


def sersic_mixture(index: float) -> GaussianMixture:
    """Return a Sersic profile of unit half-light radius, with at most a dozen Gaussians.

    ``exp(-b (r^(1/n) - 1))``, with b such that r = 1 holds half of the light. The fluxes of
    Gaussians of fixed widths follow from a non-negative least-squares fit of the profile
    times the radius, which weighs rings by their light (Hogg & Lang 2013).
    """
    b = float(gammaincinv(2.0 * index, 0.5))
    radius = np.geomspace(0.02, 8.0, 200)
    # Far less light than 1 % lies beyond; the sharp cusp within is below any seeing.
    wanted = np.exp(-b * (radius ** (1.0 / index) - 1.0)) * radius
    sigmas = np.geomspace(0.02 if index > 1.5 else 0.1, 4.0, 12)
    columns = np.exp(-0.5 * (radius[:, None] / sigmas) ** 2) / (2.0 * math.pi * sigmas**2)
    flux, _ = nnls(columns * radius[:, None], wanted)
    keep = flux > 1e-4 * flux.sum()
    return GaussianMixture(flux[keep], sigmas[keep])
