"""Galaxies among the sources of a chip: their shapes, and what the chip makes of them.

A galaxy's shape is that of Sersic's profile behind the chip's PSF, fitted to the template: the
mosaic of the others in the chip's pixels and given the chip's seeing (`psf_matching.py`). There
the shape is held, and in the exposure only place, flux and sky are free. So a shape is as good as
the mosaic is deep, and needs no conversion. It is fitted anew on each chip, which costs time and
needs no stage of its own: errors of it are symmetric about the place, and move nobody in the first
order.

The template also shows what is there beside the galaxy and is in no model, and what no Sersic
profile describes. What stands out of its noise is taken from the exposure's pixels.

The sources that the chip's PSF is learnt from may be small galaxies. So a Gaussian is taken from
the PSF that galaxies are behind: what that is too much or too little of, radius and index make
good, in the template as in the exposure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.spline import Surface
from alignsvc.numerics.displacement.star_fit import Psf, StarFit, StarStack
from alignsvc.numerics.models.chip_profile import ChipProfile, surface
from alignsvc.numerics.models.galaxies.sersic import Sersic
from alignsvc.numerics.models.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.profile import Places
from alignsvc.numerics.models.profiles.convolved import Convolved
from alignsvc.numerics.models.shape_fit import ExpectedShape, FittedShapes, Pixels, ShapeFit

#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
#: A Gaussian of a PSF keeps at least this part of its variance.
_LEAST_KEPT = 0.3
#: Light of others is judged over boxes of this side, and is what exceeds so many times the noise.
_NEARBY_PX, _NOISE_POWER = 5, 2.0
#: What galaxies look like before one looks: ln radius over the PSF's FWHM, e1, e2, index.
_EXPECTED = (math.log(0.5), 0.0, 0.0, 1.8)
_SPREAD = (1.0, 0.3, 0.3, 1.2)
#: How far shapes in an exposure may be from those in its template: what differs of the PSFs is not
#: all in a kernel.
_KEPT = (0.1, 0.05, 0.05, 0.3)


@dataclass(frozen=True, slots=True, eq=False)
class SourceProfiles:
    """What each of n sources looks like on a chip: as a star, or a galaxy with its own shape.

    Parameters
    ----------
    star : Psf
        Of the n.
    galaxy : Convolved
        A Sersic profile behind the chip's PSF.
    is_galaxy : bool array, shape (n,)
    shape : float64 array, shape (n, k)
        Of galaxies, in pixels of the chip; any numbers for stars.
    """

    star: Psf
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
                    self.star.select(which).at(some, side)
                    if is_star
                    else self._galaxies(some, side)
                ).planes
        return Surface(planes)

    def select(self, which: BoolArray | IntArray) -> SourceProfiles:
        """Return those of sources named by a mask or by indices."""
        star = self.star.select(which)
        return replace(self, star=star, is_galaxy=self.is_galaxy[which], shape=self.shape[which])

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
        Variance that is taken from PSFs, over that of their core.
    bright_snr : float
        Galaxies brighter than this in the exposure have the last word on their shapes there: what
        is left of seeing that no kernel takes away makes chi^2 doubt their places.
    sharpest_px : float
        Where stars have a smaller FWHM nobody is told: a drizzled template shows no such star as it
        is, and what is placed against it follows the phase of the pixel.
    fit : ShapeFit
    star_fit : StarFit
    psf_components, components : int
        Gaussians of a PSF and of a galaxy.
    """

    least_evidence: float = 1.0
    psf_error: float = 0.06
    narrowing: float = 0.3
    bright_snr: float = 50.0
    sharpest_px: float = 2.6
    fit: ShapeFit = field(default_factory=ShapeFit)
    star_fit: StarFit = field(default_factory=StarFit)
    psf_components: int = 3
    components: int = 8

    def on_chip(self, star: ChipProfile) -> GalaxiesOnChip | None:
        """Return how galaxies of a chip are found whose stars have a profile; None if too sharp."""
        if star.fwhm_px < self.sharpest_px:
            return None
        psf = mixture_of(star.profile, star.shape, self.psf_components)
        variance = self.narrowing * (star.fwhm_px / _FWHM_PER_SIGMA) ** 2
        galaxy = Convolved(Sersic(self.components), narrowed(psf, variance), precision="single")
        return GalaxiesOnChip(star, galaxy, self)


@dataclass(frozen=True, slots=True, eq=False)
class ToldSources:
    """Sources of which it is known what they are.

    Parameters
    ----------
    profiles : SourceProfiles
    pairs : PairStack
        Freed of what templates show beside the sources.
    place : Points, shape (n,)
        Of sources in templates, where those of `pairs` are.
    """

    profiles: SourceProfiles
    pairs: PairStack
    place: Points

    def with_galaxies_off(self, off: Points, place: Points) -> Points:
        """Return displacements of stars, `off`, and of galaxies: from the exposure to the template.

        Galaxies lie upon each other. Where a fit puts one in an exposure is as wrong as where it
        puts it in the template, but the catalogue is not.
        """
        which = self.profiles.is_galaxy
        return Points(
            np.where(which, self.place.x - place.x, off.x),
            np.where(which, self.place.y - place.y, off.y),
        )

    def with_galaxies(self, pairs: PairStack) -> PairStack:
        """Return `pairs`, in which stars are freed of others in their own way, with galaxies.

        What the stars' profile makes of galaxies nearby differs with the seeing, and so would the
        places of those that it is taken from; the template has the same light for all exposures.
        """
        which = self.profiles.is_galaxy[:, None, None]
        return replace(
            pairs,
            pixels=np.where(which, self.pairs.pixels, pairs.pixels),
            weight=np.where(which, self.pairs.weight, pairs.weight),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Stars:
    """Sources fitted as stars to their templates: chi^2, and that of their light alone."""

    place: Points
    found: BoolArray
    weight: Float32Array
    left: FloatArray
    chi2: FloatArray
    signal: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class GalaxiesOnChip:
    """What tells galaxies of a chip from stars, and gives their shapes.

    Parameters
    ----------
    star : ChipProfile
    galaxy : Convolved
        Behind the PSF of the stars, or somewhat less.
    shapes : GalaxyShapes
    """

    star: ChipProfile
    galaxy: Convolved
    shapes: GalaxyShapes

    def told(self, pairs: PairStack, star: Psf) -> ToldSources:
        """Return which sources are galaxies and what they look like, told from their templates.

        Parameters
        ----------
        pairs : PairStack
            With all light that is seen.
        star : Psf
            What each looks like if it is a star. The template's stars are as lopsided as the
            chip's own, if the optics are the same; otherwise that would pass for a galaxy.
        """
        stack = StarStack.of_templates(pairs)
        stars = self._as_stars(star, stack, pairs.catalogued)
        n_pixels = np.maximum(np.sum(stars.weight > 0, axis=(1, 2)), 1)
        schwarz = len(self.galaxy.parameters) * np.log(n_pixels)
        price: FloatArray = (
            self.shapes.least_evidence * schwarz + self.shapes.psf_error**2 * stars.signal
        )
        # Less than this no profile leaves, but for once in a hundred.
        least = n_pixels - 2.3 * np.sqrt(2.0 * n_pixels)
        rows = np.flatnonzero(~stars.found | (stars.chi2 - least > price))
        is_galaxy = np.zeros(len(pairs), bool)
        shape = self._expected(len(pairs)).mean
        left, x, y = stars.left, stars.place.x.copy(), stars.place.y.copy()
        if rows.size:
            pixels = Pixels(stack.pixels[rows], stars.weight[rows])
            found = self._fitted(pixels, stars.place, rows)
            better = (stars.chi2[rows] - found.chi2 > price[rows]) | ~stars.found[rows]
            better &= found.flux > 0
            is_galaxy[rows], shape[rows] = better, found.shape
            left[rows[better]] = self._left(pixels, found)[better]
            x[rows[better]], y[rows[better]] = found.place.x[better], found.place.y[better]
        pairs = freed(pairs, stars.weight, left)
        signal = np.sum(pairs.weight * stack.pixels**2 * stack.window, axis=(1, 2))
        bright = np.flatnonzero(is_galaxy & (signal > self.shapes.bright_snr**2))
        if bright.size:
            shape[bright] = self._as_in(pairs.select(bright), stack.pixels[bright], shape[bright])
        profiles = SourceProfiles(star, self.galaxy, is_galaxy, shape)
        return ToldSources(profiles, pairs, Points(x, y))

    def _as_in(self, pairs: PairStack, light: Float32Array, shape: FloatArray) -> FloatArray:
        """Return shapes as exposures have them, expected to be as the templates do."""
        window = pairs.window(Points(-pairs.whole.x, -pairs.whole.y)) * pairs.good
        pixels = Pixels(pairs.pixels, pairs.inverse_variance(light) * window)
        expected = ExpectedShape(shape, np.array(_KEPT))
        return self.shapes.fit(self.galaxy, pixels, pairs.catalogued, expected).shape

    def _as_stars(self, star: Psf, stack: StarStack, start: Points) -> _Stars:
        """Return all sources fitted as stars."""
        fitted = self.shapes.star_fit(star, stack, start)
        found = fitted.found
        place = Points(
            np.where(found, fitted.place.x, start.x), np.where(found, fitted.place.y, start.y)
        )
        light = star.at(place, stack.side).value.astype(np.float64)
        flux, sky = (np.nan_to_num(one)[:, None, None] for one in (fitted.flux, fitted.background))
        left = stack.pixels - flux * light - sky
        left = np.asarray(left)
        chi2: FloatArray = np.sum(fitted.weight * left**2, axis=(1, 2), dtype=np.float64)
        signal: FloatArray = np.sum(
            fitted.weight * (flux * light) ** 2, axis=(1, 2), dtype=np.float64
        )
        return _Stars(place, found, fitted.weight, left, chi2, signal)

    def _left(self, pixels: Pixels, found: FittedShapes) -> FloatArray:
        """Return what galaxies leave of their templates."""
        places = Places(found.place.x, found.place.y, pixels.value.shape[-1])
        light = self.galaxy(places, found.shape).value
        flux, sky = (one[:, None, None] for one in (found.flux, found.background))
        left: FloatArray = pixels.value - flux * light - sky
        return left

    def _fitted(self, pixels: Pixels, place: Points, rows: IntArray) -> FittedShapes:
        start = Points(place.x[rows], place.y[rows])
        return self.shapes.fit(self.galaxy, pixels, start, self._expected(len(rows)))

    def _expected(self, count: int) -> ExpectedShape:
        """Return what is expected of shapes, in pixels of the chip."""
        mean = np.array(_EXPECTED)
        mean[0] += math.log(self.star.fwhm_px)
        return ExpectedShape(np.tile(mean, (count, 1)), np.array(_SPREAD))


def freed(pairs: PairStack, weight: Float32Array, left: FloatArray) -> PairStack:
    """Return pairs without what templates show beside the sources, where that stands out.

    What a fit leaves has no part along its slopes, and its noise none either: to take it away
    from the exposure moves nobody but as the template's place is moved, and all exposures alike.

    Parameters
    ----------
    pairs : PairStack
    weight : float32 array, shape (n, side, side)
        Inverse variances of what is left; 0 for what says nothing.
    left : float64 array, shape (n, side, side)
    """
    size = (0, _NEARBY_PX, _NEARBY_PX)
    power, seen = (
        ndimage.uniform_filter(one, size, mode="constant")
        for one in (weight * left**2, (weight > 0).astype(np.float64))
    )
    # The part of the power that is not noise (Wiener), beyond what noise alone may reach.
    part = np.clip(1 - _NOISE_POWER * seen / np.maximum(power, 1e-30), 0, 1)
    others = np.where(pairs.good & (weight > 0), part * left, 0.0).astype(np.float32)
    variance = part.astype(np.float32) ** 2 * pairs.template_variance
    inverse = pairs.inverse_variance(others)
    return replace(pairs, pixels=pairs.pixels - others, weight=inverse / (1 + inverse * variance))


def narrowed(psf: GaussianMixture, variance: float) -> GaussianMixture:
    """Return a PSF less a Gaussian of this variance [px^2]: what both together give is the PSF.

    Gaussians too narrow for that keep a part of theirs.
    """
    xx, xy, yy = psf.covariance.T
    least = 0.5 * (xx + yy) - np.sqrt(0.25 * (xx - yy) ** 2 + xy**2)
    taken = np.minimum(variance, (1 - _LEAST_KEPT) * least)
    return GaussianMixture(psf.flux, np.stack([xx - taken, xy, yy - taken], axis=1))
