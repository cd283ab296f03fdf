"""Sources placed by a profile that the chip's own stars have taught: ``method: model`` in a run.

An exposure's pixels give a source's place q in it, and the displacement is ``X - q`` from the
place X in the catalogue. With the latent offsets of sources that the joint solve has, the passes
together are a bundle adjustment: exposures are cameras, sources points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.centroids import on_catalogue
from alignsvc.numerics.displacement.chip_view import Targets
from alignsvc.numerics.displacement.information import Information
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.refine import Refined, judged
from alignsvc.numerics.displacement.sharp_stars import StarClass
from alignsvc.numerics.displacement.star_fit import (
    ExpectedStep,
    FittedStars,
    Psf,
    StarFit,
    StarStack,
)
from alignsvc.numerics.models.chip_profile import ChipProfile, ProfileFromStars
from alignsvc.numerics.models.close_sources import CloseSources, SkyOfChip, SourcesOnChip
from alignsvc.numerics.models.galaxies_on_chip import GalaxiesOnChip, GalaxyShapes
from alignsvc.numerics.models.neighbours import Neighbours
from alignsvc.numerics.models.unexplained import growth
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.selection import brightest

#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
#: Narrower stars than this no fit begins with, px.
_SHARPEST_PX = 1.0
#: Unknowns of a star: place, flux, background.
_OWN = 4
#: Apertures reach so far, in FWHM: of light farther away no place needs to know, and isophotes of
#: bright stars hold much of it.
_APERTURE_FWHM = 3.0
#: Places are those of stars smoothed to so many times the width that those of the mosaic have by
#: their flux and peak, which is 1.15 times that of their slopes: about as wide as a star that is
#: smoothed by itself, which is how a fit sees it.
_SMOOTHED = 1.35
#: What a pixel, a drop and a grid pixel of its size add to the variance of stars, px^2.
_DRIZZLE_VARIANCE_PX2 = 3 / 12
#: Fewer bright stars than this have no median.
_FEWEST = 3


@dataclass(frozen=True, slots=True, eq=False)
class ModelOnChip:
    """Sources of a chip, ready to be placed.

    Parameters
    ----------
    profile : ChipProfile or None
        None: the chip has too few stars, or none that a profile fits; centroids stay.
    sky : SkyOfChip or None
        With the light of all sources, which each one is freed of that is not its own.
    close : CloseSources
        For those that overlap.
    fit : StarFit
        Of bright sources.
    step : ExpectedStep
        Of faint ones.
    faint_snr : float
        Below this, as expected of the source in the exposure, it is faint.
    galaxies : GalaxiesOnChip or None
        What tells which sources are galaxies, and their shapes; None: all are placed as stars.
    """

    profile: ChipProfile | None
    sky: SkyOfChip | None
    close: CloseSources
    fit: StarFit
    step: ExpectedStep
    faint_snr: float
    galaxies: GalaxiesOnChip | None = None

    def measured(
        self, refined: Refined, pairs: PairStack, start: Points, source: IntArray
    ) -> Refined:
        """Return the displacements of all sources, ``X - q``; see `LearntStars`."""
        if self.profile is None or self.sky is None or not len(pairs):
            return refined
        profile = self.profile.seen_at(self.sky.places(source))
        told = None if self.galaxies is None else self.galaxies.told(pairs, profile)
        pairs = self.sky.neighbours.taken_from(pairs, source)
        is_star = np.ones(len(pairs), bool)
        if told is not None:
            pairs = told.with_galaxies(pairs)
            profile = told.profiles
            is_star = ~told.profiles.is_galaxy
        reach = np.where(is_star, _APERTURE_FWHM * self.profile.fwhm_px, np.inf)
        pairs = replace(pairs, aperture_px=np.minimum(pairs.aperture_px, reach))
        theirs = refined.information
        expected = Expected.of(profile, pairs, self.faint_snr)
        placed = self.placed(profile, pairs, start, expected)
        bright = placed.found & (expected.snr >= self.faint_snr)
        sources = SourcesOnChip(
            source,
            expected.flux,
            expected.snr,
            ~(expected.snr >= self.faint_snr),
            pairs.aperture_px,
            _common_offset(placed.place, pairs.catalogued, bright),
        )
        # Galaxies are compared with a template that has the same neighbours.
        stars = np.flatnonzero(is_star)
        together = self.close(self.profile, self.sky, sources.select(stars))
        placed = together.of_all(stars).put_in(placed, pairs.catalogued)
        information = Information(
            own=placed.covariance,
            template=theirs.template,
            flux=np.where(placed.found, placed.flux, np.nan),
            share=theirs.share,
            informative=placed.found & np.isfinite(theirs.share),
        )
        off = on_catalogue(pairs.catalogued, placed.place, theirs.share)
        if told is not None:
            off = told.with_galaxies_off(off, placed.place)
        return judged(Points(off.x - pairs.whole.x, off.y - pairs.whole.y), information)

    def placed(
        self, profile: Psf, pairs: PairStack, start: Points, expected: Expected
    ) -> FittedStars:
        """Return all sources as placed in their boxes; covariances say what chi2 says of them.

        Bright ones are fitted until they stand still, from where the correlation found them. Faint
        ones are one step away from their place in the catalogue, moved as the bright ones are,
        and their flux is that of their template, in the proportion that the bright ones have.
        """
        bright = np.flatnonzero(expected.snr >= self.faint_snr)
        faint = np.flatnonzero(~(expected.snr >= self.faint_snr))
        some, at = pairs.select(bright), Points(start.x[bright], start.y[bright])
        begin = Points(some.centre.x - at.x, some.centre.y - at.y)
        stack = StarStack.of(some, at)
        psf = profile.select(bright)
        fitted = inflated(psf, stack, self.fit(psf, stack, begin))
        moved = _common_offset(fitted.place, some.catalogued, fitted.found)
        some = pairs.select(faint)
        begin = Points(some.catalogued.x + moved[0], some.catalogued.y + moved[1])
        at = Points(some.centre.x - begin.x, some.centre.y - begin.y)
        stack = StarStack.of(some, at)
        psf = profile.select(faint)
        stepped = self.step(psf, stack, begin, expected.flux[faint])
        order = np.argsort(np.concatenate([bright, faint]))
        return _in_order(fitted, inflated(psf, stack, stepped), order)


@dataclass(frozen=True, slots=True)
class ModelStars:
    """How sources are placed by a profile.

    Parameters
    ----------
    profile : ProfileFromStars
    least_snr, most_stars
        Of those that give the profile: S/N in the mosaic, and how many of a chip, the brightest.
    widest : float
        And their largest width, over that which a quarter of the bright ones do not reach. In the
        catalogue bright stars are wider than fainter ones, by a third, as more of their wings is
        seen; what is no star among these is for the fit to tell.
    fewest_unblended : int
        With fewer bright sources that were not deblended these count too.
    fit : StarFit
    step : ExpectedStep
    faint_snr : float
        See `ModelOnChip`.
    close_fwhm : float
        Sources closer than this overlap: widths of bright stars in the catalogue, which are 1.2
        times their FWHM. The same for all exposures.
    close : CloseSources
    galaxies : GalaxyShapes or None
        How galaxies are told and their shapes found; None: all sources are placed as stars.
    """

    profile: ProfileFromStars = field(default_factory=ProfileFromStars)
    least_snr: float = 30.0
    most_stars: int = 48
    widest: float = 1.4
    fewest_unblended: int = 8
    fit: StarFit = field(default_factory=StarFit)
    step: ExpectedStep = field(default_factory=ExpectedStep)
    faint_snr: float = 20.0
    close_fwhm: float = 1.7
    close: CloseSources = field(default_factory=CloseSources)
    galaxies: GalaxyShapes | None = None

    def among(self, sources: SourceCatalog, grid_per_chip_px: float) -> StarClass | None:
        """Return the stars: all sources are placed as if they were some; None: none is bright."""
        flags = sources.flags & ~int(SourceFlag.AT_EDGE)
        bright = (sources.snr >= self.least_snr) & (sources.fwhm > 0)
        chosen = bright & (flags == 0)
        if chosen.sum() < self.fewest_unblended:
            chosen = bright & ((flags & ~int(SourceFlag.BLENDED)) == 0)
        if not chosen.any():
            return None
        chosen &= sources.fwhm <= self.widest * np.quantile(sources.fwhm[chosen], 0.25)
        fwhm_px = float(np.median(sources.fwhm[chosen])) / grid_per_chip_px
        # A Gaussian of the same flux and peak.
        area = sources.flux[chosen] / sources.peak[chosen] / (2 * np.pi)
        spread_px = float(np.sqrt(max(np.median(area) - _DRIZZLE_VARIANCE_PX2, 0.0)))
        spread_px /= grid_per_chip_px
        return StarClass(sources.id, sources.id[chosen], fwhm_px, spread_px)

    def brightest(self, snr: FloatArray) -> IntArray:
        """Return the indices of the calibrators that are used, ascending."""
        return brightest(snr, self.most_stars)

    def learnt(
        self, chosen: StarClass, stars: Sequence[KnownStars], chip: CalibratedChip, targets: Targets
    ) -> ModelOnChip:
        """Return the profile that a chip's calibrators give, and all of its sources by it."""
        fwhm_px = max(_FWHM_PER_SIGMA * chosen.sigma_px, _SHARPEST_PX)
        profile = self.profile(stars, fwhm_px)
        sky, galaxies = None, None
        if profile is not None:
            neighbours = Neighbours.of(profile, chip, targets, profile.fwhm_px)
            alone = [neighbours.taken_from_stars(one) for one in stars]
            smoothed_px = _SMOOTHED * chosen.spread_px
            profile = self.profile(alone, profile.fwhm_px, smoothed_px) or profile
            neighbours = Neighbours.of(profile, chip, targets, profile.fwhm_px)
            sky = SkyOfChip(chip, neighbours, self.close_fwhm * chosen.fwhm_px)
            if self.galaxies is not None:
                galaxies = self.galaxies.on_chip(profile)
        return ModelOnChip(profile, sky, self.close, self.fit, self.step, self.faint_snr, galaxies)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What is expected of sources in an exposure.

    Parameters
    ----------
    flux : float64 array, shape (n,)
    snr : float64 array, shape (n,)
        In the exposure.
    """

    flux: FloatArray
    snr: FloatArray

    @classmethod
    def of(cls, profile: Psf, pairs: PairStack, faint_snr: float) -> Expected:
        """Return the fluxes of templates, in the proportion that the bright sources have."""
        shift = Points(-pairs.whole.x, -pairs.whole.y)
        light = profile.at(pairs.catalogued, pairs.side).value
        weight = pairs.weight * pairs.window(shift) * pairs.common(shift)
        template = pairs.spline.shifted(shift, pairs.side).value
        theirs, own = (_flux(light, weight, seen) for seen in (template, pairs.pixels))
        information = np.sqrt(np.sum(weight * light**2, axis=(1, 2), dtype=np.float64))
        for sample in (theirs * information >= faint_snr, theirs > 0):
            if sample.sum() >= _FEWEST:
                theirs = theirs * max(float(np.median(own[sample] / theirs[sample])), 0.0)
                break
        return cls(theirs, theirs * information)


def inflated(profile: Psf, stars: StarStack, fitted: FittedStars) -> FittedStars:
    """Return fitted stars, their covariances grown where a star alone is no good model."""
    place = Points(
        np.where(fitted.found, fitted.place.x, 0.0), np.where(fitted.found, fitted.place.y, 0.0)
    )
    flux, background = (
        np.nan_to_num(one).astype(np.float32)[:, None, None]
        for one in (fitted.flux, fitted.background)
    )
    left = stars.pixels - flux * profile.at(place, stars.side).value - background
    grown = growth(left, fitted.weight, stars.window * (stars.weight > 0), _OWN)
    grown = np.where(fitted.found, grown, 1.0)
    return replace(fitted, covariance=fitted.covariance * grown[:, None, None])


def _flux(light: Float32Array, weight: Float32Array, seen: Float32Array) -> FloatArray:
    """Return fluxes of unit stars in frames with a free background; 0 where there is none."""
    total = np.maximum(weight.sum(axis=(1, 2), dtype=np.float64), 1e-30)
    mean = np.sum(weight * light, axis=(1, 2), dtype=np.float64) / total
    shape = weight * (light - mean.astype(np.float32)[:, None, None])
    response = np.sum(shape * light, axis=(1, 2), dtype=np.float64)
    flux = np.sum(shape * seen, axis=(1, 2), dtype=np.float64)
    found: FloatArray = np.divide(flux, response, out=np.zeros(len(seen)), where=response > 0)
    return found


def _common_offset(place: Points, catalogued: Points, bright: BoolArray) -> tuple[float, float]:
    """Return how far sources are from their places in the catalogue, by their median."""
    if bright.sum() < _FEWEST:
        return 0.0, 0.0
    x, y = (place.x - catalogued.x)[bright], (place.y - catalogued.y)[bright]
    return float(np.median(x)), float(np.median(y))


def _in_order(one: FittedStars, other: FittedStars, order: IntArray) -> FittedStars:
    """Return both, in an order."""
    place = Points(
        np.concatenate([one.place.x, other.place.x])[order],
        np.concatenate([one.place.y, other.place.y])[order],
    )
    rest = (
        np.concatenate([getattr(one, name), getattr(other, name)])[order]
        for name in ("flux", "background", "covariance", "weight")
    )
    return FittedStars(place, *rest)
