"""The sources of a chip, placed by a profile that its own stars have taught.

Bright ones are fitted, faint ones take one step from where the mosaic has them (`Expected` says who
is which), those that overlap are fitted together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.numerics.displacement.fitting.centroids import on_catalogue, own_places
from alignsvc.numerics.displacement.fitting.information import Information
from alignsvc.numerics.displacement.fitting.refine import Refined, judged
from alignsvc.numerics.displacement.pictured import with_flux_and_sky
from alignsvc.numerics.displacement.stars.star_fit import (
    ExpectedStep,
    FittedStars,
    Psf,
    StarFit,
    StarStack,
)
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.close_sources import CloseSources, SkyOfChip, SourcesOnChip
from alignsvc.numerics.models.on_chip.galaxies_on_chip import GalaxiesOnChip
from alignsvc.numerics.models.on_chip.place_errors import common_errors
from alignsvc.numerics.models.on_chip.unexplained import growth

#: Unknowns of a star: place, flux, background.
_OWN = 4
#: Apertures reach so far, in FWHM: of light farther away no place needs to know, and isophotes of
#: bright stars hold much of it.
_APERTURE_FWHM = 3.0
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
    """

    profile: ChipProfile | None
    sky: SkyOfChip | None
    close: CloseSources
    fit: StarFit
    step: ExpectedStep
    faint_snr: float

    @property
    def has_profile(self) -> bool:
        """Whether there is one."""
        return self.profile is not None

    def measured(
        self, refined: Refined, pairs: PairStack, start: Points, source: IntArray
    ) -> Refined:
        """Return the displacements of all sources, ``X - q``; see `LearntStars`."""
        if self.profile is None or self.sky is None or not len(pairs):
            return refined
        own, near = self.sky.own(source), self.sky.neighbours
        profiles = near.psf.select(own)
        known = self.sky.known(pairs.catalogued, own)
        galaxies = GalaxiesOnChip.of(profiles, pairs, known, self.fit)
        pairs = galaxies.put_in(near.taken_from(pairs, source, known))
        reach = np.where(profiles.is_galaxy, np.inf, _APERTURE_FWHM * self.profile.fwhm_px)
        pairs = replace(pairs, aperture_px=np.minimum(pairs.aperture_px, reach))
        theirs = refined.information
        expected = Expected.of(profiles, pairs, known, self.faint_snr)
        placed = self.placed(profiles, (pairs, known), start, expected)
        bright = placed.found & (expected.snr >= self.faint_snr)
        sources = SourcesOnChip(
            source,
            expected.flux,
            ~(expected.snr >= self.faint_snr),
            pairs.aperture_px,
            _common_offset(placed.place, known, bright),
        )
        stars = np.flatnonzero(~profiles.is_galaxy)
        together = self.close(self.sky, sources.select(stars), self.profile.fwhm_px)
        placed = together.of_all(stars).put_in(placed, known)
        information = Information(
            own=placed.covariance,
            template=theirs.template,
            flux=np.where(placed.found, placed.flux, np.nan),
            share=theirs.share,
            informative=placed.found & np.isfinite(theirs.share),
        )
        off = on_catalogue(pairs.catalogued, placed.place, theirs.share)
        off = galaxies.off(off, placed.place)
        found = judged(Points(off.x - pairs.whole.x, off.y - pairs.whole.y), information)
        return replace(found, common=common_errors(profiles, placed))

    def pictured(self, pairs: PairStack, measured: Displacements) -> Float32Array:
        """Return what the profile says of boxes; see `LearntStars`.

        A galaxy is shown where its displacement puts it from the place in the catalogue, which is
        that in its template to a few hundredths of a pixel.
        """
        model = np.full(pairs.pixels.shape, np.nan, np.float32)
        rows = np.flatnonzero(np.isfinite(measured.dx))
        if self.profile is None or self.sky is None or not len(rows):
            return model
        some, found = pairs.select(rows), measured.select(rows)
        own, near = self.sky.own(found.source), self.sky.neighbours
        profiles = near.psf.select(own)
        stars = own_places(some.catalogued, found)
        place = Points(
            np.where(profiles.is_galaxy, some.catalogued.x - found.dx, stars.x),
            np.where(profiles.is_galaxy, some.catalogued.y - found.dy, stars.y),
        )
        others = near.around(found.source, self.sky.known(some.catalogued, own), some.side)
        weight = some.weight * some.good * some.searched
        light = profiles.at(place, some.side).value
        model[rows] = with_flux_and_sky(light, some.pixels - others, weight) + others
        return model

    def placed(
        self, profile: Psf, seen: tuple[PairStack, Points], start: Points, expected: Expected
    ) -> FittedStars:
        """Return all sources as placed in their boxes; covariances say what chi2 says of them.

        Bright ones are fitted until they stand still, from where the correlation found them. Faint
        ones are one step away from where the mosaic has them, moved as the bright ones are, and
        their flux is that of their template, in the proportion that the bright ones have.

        Parameters
        ----------
        profile : Psf
        seen : tuple of PairStack and Points
            The pairs, and where in their boxes the mosaic has them.
        start : Points, shape (n,)
        expected : Expected
        """
        pairs, known = seen
        bright = np.flatnonzero(expected.snr >= self.faint_snr)
        faint = np.flatnonzero(~(expected.snr >= self.faint_snr))
        some, at = pairs.select(bright), Points(start.x[bright], start.y[bright])
        begin = Points(some.centre.x - at.x, some.centre.y - at.y)
        stack = StarStack.of(some, at)
        psf = profile.select(bright)
        fitted = inflated(psf, stack, self.fit(psf, stack, begin))
        moved = _common_offset(fitted.place, Points(known.x[bright], known.y[bright]), fitted.found)
        some = pairs.select(faint)
        begin = Points(known.x[faint] + moved[0], known.y[faint] + moved[1])
        at = Points(some.centre.x - begin.x, some.centre.y - begin.y)
        stack = StarStack.of(some, at)
        psf = profile.select(faint)
        stepped = self.step(psf, stack, begin, expected.flux[faint])
        order = np.argsort(np.concatenate([bright, faint]))
        return _in_order(fitted, inflated(psf, stack, stepped), order)


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
    def of(cls, profile: Psf, pairs: PairStack, known: Points, faint_snr: float) -> Expected:
        """Return the fluxes of templates, in the proportion that the bright sources have.

        `known` is where in the boxes the mosaic has the sources.
        """
        shift = Points(-pairs.whole.x, -pairs.whole.y)
        light = profile.at(known, pairs.side).value
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


def _common_offset(place: Points, known: Points, bright: BoolArray) -> tuple[float, float]:
    """Return how far sources are from where the mosaic has them, by their median."""
    if bright.sum() < _FEWEST:
        return 0.0, 0.0
    x, y = (place.x - known.x)[bright], (place.y - known.y)[bright]
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
