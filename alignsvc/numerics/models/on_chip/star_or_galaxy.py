"""Galaxies told from stars on the mosaic, with the shapes that they have behind its PSF.

Sources that the PSF is learnt from may be small galaxies. So a Gaussian is taken from the PSF that
galaxies are behind, the same in the mosaic and in the exposures: what that is too much or too
little of, radius and index make good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.star_fit import Psf, StarFit, StarStack
from alignsvc.numerics.models.light.shape_fit import ExpectedShape, Pixels, ShapeFit
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.source_profiles import galaxy_behind
from alignsvc.numerics.models.profiles.convolved import Convolved

#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
#: Unknowns of a companion.
_OF_A_COMPANION = 3
#: What galaxies look like before one looks: ln radius over the PSF's FWHM, e1, e2, index.
_EXPECTED = (math.log(0.5), 0.0, 0.0, 1.8)
_SPREAD = (1.0, 0.3, 0.3, 1.2)


@dataclass(frozen=True, slots=True, eq=False)
class ToldSources:
    """Sources of windows, of which it is known what they are.

    Parameters
    ----------
    place : Points, shape (n,)
        In the windows; where it began where no fit ended well.
    is_galaxy : bool array, shape (n,)
    shape : float64 array, shape (n, 4)
        NaN for stars.
    """

    place: Points
    is_galaxy: BoolArray
    shape: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows of the mosaic about sources, freed of the light of others.

    Parameters
    ----------
    whole : StarStack
        With the light of companions.
    alone : StarStack
        Without, as they are known: what a star would leave.
    n_companions : int64 array, shape (n,)
    star : Psf
        What each of the n looks like if it is a star. On a mosaic of lopsided stars anything else
        would make them galaxies.
    """

    whole: StarStack
    alone: StarStack
    n_companions: IntArray
    star: Psf


@dataclass(frozen=True, slots=True)
class GalaxyShapes:
    """How galaxies are told from stars, and their shapes found.

    Parameters
    ----------
    least_evidence : float
        A source is a galaxy if that makes chi^2 smaller by more than this for each number of its
        shape and each e-fold of its pixels (1: Schwarz's criterion, 1978), and smaller by more
        than the mosaic's PSF is worth believing. 0: whenever it helps at all. So is what a star
        leaves that much of, whatever it is.
    psf_error : float
        Part of a star's light, in quadrature, that may not be the PSF's.
    narrowing : float
        Variance that is taken from PSFs, over that of their core.
    sharpest_px : float
        Where stars have a smaller FWHM nobody is told: a drizzled mosaic shows no such star as it
        is.
    fit : ShapeFit
    star_fit : StarFit
    """

    least_evidence: float = 1.0
    psf_error: float = 0.06
    narrowing: float = 0.3
    sharpest_px: float = 2.6
    fit: ShapeFit = field(default_factory=ShapeFit)
    star_fit: StarFit = field(default_factory=StarFit)

    def narrowing_px2(self, star: ChipProfile) -> float:
        """Return the variance that is taken from a PSF, px^2."""
        return self.narrowing * (star.fwhm_px / _FWHM_PER_SIGMA) ** 2

    def galaxy(self, star: ChipProfile) -> Convolved | None:
        """Return what galaxies look like in a mosaic, by their shapes; None if it is too coarse."""
        if star.fwhm_px < self.sharpest_px:
            return None
        return galaxy_behind(star, self.narrowing_px2(star))

    def __call__(
        self, galaxy: Convolved, seen: Windows, fwhm_px: float, start: Points
    ) -> ToldSources:
        """Return what sources are.

        Parameters
        ----------
        galaxy : Convolved
        seen : Windows
        fwhm_px : float
            Of stars.
        start : Points, shape (n,)
            In the windows, finite.
        """
        as_stars, stack = _Stars.fitted(self.star_fit, seen.star, seen.alone, start), seen.whole
        n_pixels = np.maximum(np.sum(as_stars.weight > 0, axis=(1, 2)), 1)
        more = len(galaxy.parameters) - _OF_A_COMPANION * seen.n_companions
        schwarz = more * np.log(n_pixels)
        price: FloatArray = self.least_evidence * schwarz + self.psf_error**2 * as_stars.signal
        mean = np.array(_EXPECTED)
        mean[0] += math.log(fwhm_px)
        expected = ExpectedShape(np.tile(mean, (len(stack), 1)), np.array(_SPREAD))
        pixels = Pixels(stack.pixels, as_stars.weight)
        found = self.fit(galaxy, pixels, as_stars.place, expected)
        # What neither describes is no star, and is best compared with the mosaic as it is.
        best = np.minimum(found.chi2, n_pixels)
        is_galaxy = (as_stars.chi2 - best > price) | ~as_stars.found
        is_galaxy &= found.flux > 0
        return ToldSources(
            Points(
                np.where(is_galaxy, found.place.x, as_stars.place.x),
                np.where(is_galaxy, found.place.y, as_stars.place.y),
            ),
            is_galaxy,
            np.where(is_galaxy[:, None], found.shape, np.nan),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    """Sources fitted as stars: chi^2, and that of their light alone."""

    place: Points
    found: BoolArray
    weight: Float32Array
    chi2: FloatArray
    signal: FloatArray

    @classmethod
    def fitted(cls, fit: StarFit, profile: Psf, stack: StarStack, start: Points) -> _Stars:
        fitted = fit(profile, stack, start)
        found = fitted.found
        place = Points(
            np.where(found, fitted.place.x, start.x), np.where(found, fitted.place.y, start.y)
        )
        light = profile.at(place, stack.side).value.astype(np.float64)
        flux, sky = (np.nan_to_num(one)[:, None, None] for one in (fitted.flux, fitted.background))
        chi2: FloatArray = np.sum(
            fitted.weight * (stack.pixels - flux * light - sky) ** 2, axis=(1, 2), dtype=np.float64
        )
        signal: FloatArray = np.sum(
            fitted.weight * (flux * light) ** 2, axis=(1, 2), dtype=np.float64
        )
        return cls(place, found, fitted.weight, chi2, signal)
