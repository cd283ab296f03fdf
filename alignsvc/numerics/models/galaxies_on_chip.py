"""Galaxies among the sources of a chip: their shapes, and what the chip makes of them.

A galaxy's shape is that of Sersic's profile behind the PSF of the *mosaic of the others*, fitted to
the template that each source has in pixels of the chip anyway. There the shape is held, behind
the chip's own PSF, and only place, flux and sky are free. So a shape is as good as the mosaic is
deep, and comes in the chip's pixels without being converted. It is fitted anew on each chip, which
costs time and needs no stage of its own: errors of it are symmetric about the place, which moves
nobody in the first order.

Both PSFs come from the same compact sources, so that they differ by what the exposures' seeing
does, even where those sources are no points. Since they may be small galaxies, a Gaussian that is
the same for both is taken from the PSFs that galaxies are behind; what that is too much or too
little of, radius and index make good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.spline import Surface
from alignsvc.numerics.displacement.star_fit import StarFit, StarStack
from alignsvc.numerics.models.chip_profile import ChipProfile, ProfileFromStars, surface
from alignsvc.numerics.models.galaxies.sersic import Sersic
from alignsvc.numerics.models.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.profile import Places
from alignsvc.numerics.models.profiles.convolved import Convolved
from alignsvc.numerics.models.shape_fit import ExpectedShape, FittedShapes, Pixels, ShapeFit

#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
#: A Gaussian of a PSF keeps at least this part of its variance.
_LEAST_KEPT = 0.3
#: What galaxies look like before one looks: ln radius over the PSF's FWHM, e1, e2, index.
_EXPECTED = (math.log(0.5), 0.0, 0.0, 1.8)
_SPREAD = (1.0, 0.3, 0.3, 1.2)


@dataclass(frozen=True, slots=True, eq=False)
class SourceProfiles:
    """What each of n sources looks like on a chip: as a star, or a galaxy with its own shape.

    Parameters
    ----------
    star : ChipProfile
    galaxy : Convolved
        A Sersic profile behind the chip's PSF.
    is_galaxy : bool array, shape (n,)
    shape : float64 array, shape (n, k)
        Of galaxies, in pixels of the chip; any numbers for stars.
    """

    star: ChipProfile
    galaxy: Convolved
    is_galaxy: BoolArray
    shape: FloatArray

    def at(self, centre: Points, side: int) -> Surface:
        """Return all n sources of unit flux at places in windows; see `ChipProfile.at`."""
        planes = np.empty((len(centre.x), 4, side, side), np.float32)
        for which, is_star in ((~self.is_galaxy, True), (self.is_galaxy, False)):
            if which.any():
                some = Points(centre.x[which], centre.y[which])
                planes[which] = (
                    self.star.at(some, side) if is_star else self._galaxies(some, side)
                ).planes
        return Surface(planes)

    def select(self, which: BoolArray | IntArray) -> SourceProfiles:
        """Return those of sources named by a mask or by indices."""
        return replace(self, is_galaxy=self.is_galaxy[which], shape=self.shape[which])

    def _galaxies(self, centre: Points, side: int) -> Surface:
        places = Places(centre.x, centre.y, side)
        return surface(self.galaxy(places, self.shape[self.is_galaxy]))


@dataclass(frozen=True, slots=True)
class GalaxyShapes:
    """How galaxies are told from stars, and their shapes found.

    Parameters
    ----------
    least_evidence : float
        A source is a galaxy if that makes chi^2 in the mosaic smaller by more than this for each
        number of its shape and each e-fold of its pixels (1: Schwarz's criterion, 1978), and
        smaller by more than the mosaic's PSF is worth believing. 0: whenever it helps at all.
    psf_error : float
        Part of a star's light, in quadrature, that may not be the PSF's.
    narrowing : float
        Variance that is taken from PSFs, over that of the narrower one's core.
    fit : ShapeFit
    star : StarFit
    psf_components, components : int
        Gaussians of a PSF and of a galaxy.
    """

    least_evidence: float = 1.0
    psf_error: float = 0.02
    narrowing: float = 0.3
    fit: ShapeFit = field(default_factory=ShapeFit)
    star: StarFit = field(default_factory=StarFit)
    psf_components: int = 3
    components: int = 8

    def on_chip(
        self, profile: ChipProfile, stars: Sequence[KnownStars], from_stars: ProfileFromStars
    ) -> GalaxiesOnChip | None:
        """Return how galaxies of a chip are found; None where the mosaic shows no common PSF.

        Parameters
        ----------
        profile : ChipProfile
            Of the chip's stars.
        stars : sequence of KnownStars
            That it comes from, with their templates.
        from_stars : ProfileFromStars
            How.
        """
        theirs = [one.on_template() for one in stars]
        reference = from_stars([one for one in theirs if one is not None], profile.fwhm_px)
        if reference is None:
            return None
        core_px = min(profile.fwhm_px, reference.fwhm_px) / _FWHM_PER_SIGMA
        behind, behind_theirs = (
            Convolved(
                Sersic(self.components),
                narrowed(
                    mixture_of(one.profile, one.shape, self.psf_components),
                    self.narrowing * core_px**2,
                ),
                precision="single",
            )
            for one in (profile, reference)
        )
        return GalaxiesOnChip(profile, reference, behind, behind_theirs, self)


@dataclass(frozen=True, slots=True, eq=False)
class GalaxiesOnChip:
    """What tells galaxies of a chip from stars, and gives their shapes.

    Parameters
    ----------
    star, reference : ChipProfile
        Of stars on the chip, and in the mosaic of the others as seen in the chip's pixels.
    galaxy, reference_galaxy : Convolved
        Galaxies behind the one and the other.
    shapes : GalaxyShapes
    """

    star: ChipProfile
    reference: ChipProfile
    galaxy: Convolved
    reference_galaxy: Convolved
    shapes: GalaxyShapes

    def profiles(self, pairs: PairStack) -> SourceProfiles:
        """Return the profile of each source, told from its template."""
        stack = StarStack.of_templates(pairs)
        fitted = self.shapes.star(self.reference, stack, pairs.catalogued)
        place = Points(
            np.where(fitted.found, fitted.place.x, pairs.catalogued.x),
            np.where(fitted.found, fitted.place.y, pairs.catalogued.y),
        )
        light = self.reference.at(place, stack.side).value.astype(np.float64)
        flux, sky = np.nan_to_num(fitted.flux), np.nan_to_num(fitted.background)
        left = stack.pixels - flux[:, None, None] * light - sky[:, None, None]
        weight = fitted.weight
        chi2 = np.sum(weight * left**2, axis=(1, 2), dtype=np.float64)
        n_pixels = np.maximum(np.sum(weight > 0, axis=(1, 2)), 1)
        signal = flux**2 * np.sum(weight * light**2, axis=(1, 2), dtype=np.float64)
        n_shape = len(self.galaxy.parameters)
        schwarz = n_shape * np.log(n_pixels)
        price: FloatArray = self.shapes.least_evidence * schwarz + self.shapes.psf_error**2 * signal
        # Less than this no profile leaves, but for once in a hundred.
        least = n_pixels - 2.3 * np.sqrt(2.0 * n_pixels)
        rows = np.flatnonzero(~fitted.found | (chi2 - least > price))
        is_galaxy = np.zeros(len(pairs), bool)
        shape = np.tile(self._expected().mean, (len(pairs), 1))
        if rows.size:
            found = self._fitted(Pixels(stack.pixels[rows], weight[rows]), place, rows)
            better = chi2[rows] - found.chi2 > price[rows]
            is_galaxy[rows] = (found.flux > 0) & (better | ~fitted.found[rows])
            shape[rows] = found.shape
        return SourceProfiles(self.star, self.galaxy, is_galaxy, shape)

    def _fitted(self, pixels: Pixels, place: Points, rows: IntArray) -> FittedShapes:
        start = Points(place.x[rows], place.y[rows])
        return self.shapes.fit(self.reference_galaxy, pixels, start, self._expected())

    def _expected(self) -> ExpectedShape:
        """Return what is expected of shapes, in pixels of the chip."""
        mean = np.array(_EXPECTED)
        mean[0] += math.log(self.reference.fwhm_px)
        return ExpectedShape(mean, np.array(_SPREAD))


def narrowed(psf: GaussianMixture, variance: float) -> GaussianMixture:
    """Return a PSF less a Gaussian of this variance [px^2]: what both together give is the PSF.

    Gaussians too narrow for that keep a part of theirs.
    """
    xx, xy, yy = psf.covariance.T
    least = 0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    taken = np.minimum(variance, (1 - _LEAST_KEPT) * least)
    return GaussianMixture(psf.flux, np.stack([xx - taken, xy, yy - taken], axis=1))
