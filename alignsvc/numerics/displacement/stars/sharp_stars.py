"""Stars as sharp as the pixels: which sources they are, and how they are measured.

A mosaic drizzled at the scale of the pixels is too coarse a template for a star of FWHM 1.2 px:
where its place is read from depends on the phases of the pixels, here and in the other exposures
(56 mpx rms). So such stars are not compared with the mosaic. An effective PSF is fitted to their
own pixels, and the displacement is that from the place X in the catalogue, which is the same for
all exposures: what is wrong with X is taken up by the star's latent offset in the joint solve.

A source is either compared with the mosaic in all exposures or in none, as X and the mosaic do not
show it at quite the same place. So it is the catalogue that decides, and where a chip has too few
stars for a PSF they are placed by their centroids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.correlation.peak import OVERSAMPLING, interlaced
from alignsvc.numerics.displacement.fitting.centroids import (
    CatalogCentroids,
    on_catalogue,
    own_places,
)
from alignsvc.numerics.displacement.fitting.information import Information
from alignsvc.numerics.displacement.fitting.refine import Refined, judged
from alignsvc.numerics.displacement.pictured import with_flux_and_sky
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.stars.effective_psf import EffectivePsf
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars, PsfFromStars
from alignsvc.numerics.displacement.stars.star_fit import StarFit, StarStack
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.sources.selection import brightest

#: sigma of a Gaussian, in FWHM.
_SIGMA_PER_FWHM = 1 / np.sqrt(8 * np.log(2))
#: Variance that drizzling adds to a star: its pixel, the drop and a grid pixel of that size, px^2.
_DRIZZLE_VARIANCE_PX2 = 3 / 12
#: The sharpest star that is worth a thought, px.
_LEAST_SIGMA_PX = 0.35
#: Of a pixel of the chip, quarters of a grid pixel that are told apart: grids are no finer.
_MOST_QUARTERS = 16
#: Steps of a centroid: each leaves a tenth of what was off.
_CENTROID_STEPS = 8


@dataclass(frozen=True, slots=True, eq=False)
class StarClass:
    """The sources that are stars, by the catalogue.

    Parameters
    ----------
    source : int64 array
        Ids, ascending.
    calibrators : int64 array
        Ids of those that the PSF is made from where a chip shows them, ascending.
    fwhm_px : float
        Of the stars in the mosaic, in pixels of the chip.
    spread_px : float
        Sigma of Gaussians of the calibrators' flux and peak there, where anybody asks for it.
    """

    source: IntArray
    calibrators: IntArray
    fwhm_px: float
    spread_px: float = 0.0

    @property
    def sigma_px(self) -> float:
        """Of the stars in front of the pixels."""
        seen = (self.fwhm_px * _SIGMA_PER_FWHM) ** 2
        return float(max(np.sqrt(max(seen - _DRIZZLE_VARIANCE_PX2, 0.0)), _LEAST_SIGMA_PX))


@dataclass(frozen=True, slots=True, eq=False)
class StarsOnChip:
    """The stars of a chip, ready to be measured.

    Parameters
    ----------
    source : int64 array
        Ids, ascending.
    psf : EffectivePsf or None
        None: the chip has too few stars; centroids it is.
    fit : StarFit
    """

    source: IntArray
    psf: EffectivePsf | None
    fit: StarFit

    @property
    def has_profile(self) -> bool:
        """Whether there is a PSF."""
        return self.psf is not None

    def measured(
        self, refined: Refined, pairs: PairStack, start: Points, source: IntArray
    ) -> Refined:
        """Return displacements in which those of stars are from their places in the catalogue.

        Parameters
        ----------
        refined : Refined
            Against the mosaic, as it stays for all else.
        pairs : PairStack
        start : Points, shape (n,)
        source : int64 array, shape (n,)
            Ids of the pairs.
        """
        is_star = np.isin(source, self.source)
        if not is_star.any():
            return refined
        stars, begin = pairs.select(is_star), Points(start.x[is_star], start.y[is_star])
        if self.psf is None:
            found = CatalogCentroids()(stars, begin)
        else:
            theirs = refined.information.select(is_star)
            found = self._fitted(self.psf, stars, begin, theirs)
        return refined.with_rows(is_star, found)

    def _fitted(
        self, psf: EffectivePsf, pairs: PairStack, start: Points, theirs: Information
    ) -> Refined:
        """Return the displacements of stars; the mosaic's part in them is as it is."""
        begin = Points(pairs.centre.x - start.x, pairs.centre.y - start.y)
        fitted = self.fit(psf, StarStack.of(pairs, start), begin)
        information = Information(
            own=fitted.covariance,
            template=theirs.template,
            flux=np.where(fitted.found, fitted.flux, np.nan),
            share=theirs.share,
            informative=fitted.found & theirs.informative,
        )
        off = on_catalogue(pairs.catalogued, fitted.place, theirs.share)
        return judged(Points(off.x - pairs.whole.x, off.y - pairs.whole.y), information)

    def pictured(self, pairs: PairStack, measured: Displacements) -> Float32Array:
        """Return what the PSF says of boxes; see `LearntStars`."""
        model = np.full(pairs.pixels.shape, np.nan, np.float32)
        rows = np.flatnonzero(np.isin(measured.source, self.source) & np.isfinite(measured.dx))
        if self.psf is None or not len(rows):
            return model
        some = pairs.select(rows)
        place = own_places(some.catalogued, measured.select(rows))
        light = self.psf.at(place, some.side).value
        weight = some.weight * some.good * some.searched
        model[rows] = with_flux_and_sky(light, some.pixels, weight)
        return model


@dataclass(frozen=True, slots=True)
class SharpStars:
    """How stars as sharp as the pixels are told, and their PSF found.

    Parameters
    ----------
    largest_fwhm_px : float
        Of stars in the mosaic, in pixels of the exposures; wider ones are compared with the
        mosaic, like all else. Stars of FWHM 2 px have 2.6 there.
    fewest_stars : int
        The stars of a set are as many sources of one width at least.
    width_tolerance : float
        Part by which the widths of bright stars differ; of fainter ones by `width_noise` / (S/N)
        more.
    width_noise : float
    least_snr, most_stars
        Of calibrators: S/N in the mosaic, and how many of a chip, the brightest.
    psf : PsfFromStars
    fit : StarFit
    widths : tuple of float
        What all sources of a component say: FWHM of the stars, grid pixels, where a pixel of the
        chip is 1, 2, ... quarters of a grid pixel; NaN: none are as sharp. Empty: nobody was asked.
    """

    largest_fwhm_px: float = 2.8
    fewest_stars: int = 8
    width_tolerance: float = 0.1
    width_noise: float = 3.0
    least_snr: float = 50.0
    most_stars: int = 96
    psf: PsfFromStars = field(default_factory=PsfFromStars)
    fit: StarFit = field(default_factory=StarFit)
    widths: tuple[float, ...] = ()

    def told_by(self, sources: SourceCatalog) -> SharpStars:
        """Return the same method with the width of the stars among all sources of a component."""
        widths = self._clean_widths(sources)
        each = [self._shared(widths, quarters / 4) for quarters in range(1, _MOST_QUARTERS + 1)]
        return replace(self, widths=tuple(each))

    def among(self, sources: SourceCatalog, grid_per_chip_px: float) -> StarClass | None:
        """Return the stars, if there are some and they are sharp.

        The width that most of the bright and narrow sources share is the stars': galaxies have
        many.

        Parameters
        ----------
        sources : SourceCatalog
        grid_per_chip_px : float
            Grid pixels along a pixel of the chip. It counts in quarters, so that distortion does
            not tell one chip from another; more than 4 are 4.
        """
        quarters = min(max(round(4 * grid_per_chip_px), 1), _MOST_QUARTERS)
        scale = quarters / 4
        if self.widths:
            fwhm = self.widths[quarters - 1]
        else:
            fwhm = self._shared(self._clean_widths(sources), scale)
        if np.isnan(fwhm):
            return None
        bright = self._is_bright(sources) & (sources.fwhm <= self.largest_fwhm_px * scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = self.width_tolerance + self.width_noise / sources.snr
            is_star = np.abs(sources.fwhm / fwhm - 1) < spread
        alike = np.abs(sources.fwhm / fwhm - 1) < self.width_tolerance
        return StarClass(sources.id[is_star], sources.id[is_star & bright & alike], fwhm / scale)

    def _is_bright(self, sources: SourceCatalog) -> BoolArray:
        clean = (sources.flags & ~int(SourceFlag.AT_EDGE)) == 0
        return np.asarray(clean & (sources.snr >= self.least_snr), bool)

    def _clean_widths(self, sources: SourceCatalog) -> FloatArray:
        """Return the widths of bright sources, rising."""
        return np.sort(sources.fwhm[self._is_bright(sources)])

    def _shared(self, widths: FloatArray, scale: float) -> float:
        """Return the width that most of those as sharp as pixels of this scale share; NaN: few."""
        widths = widths[widths <= self.largest_fwhm_px * scale]
        if not len(widths):
            return np.nan
        tolerance = 1 + self.width_tolerance
        first = np.searchsorted(widths, widths / tolerance, side="left")
        last = np.searchsorted(widths, widths * tolerance, side="right")
        best = int(np.argmax(last - first))
        if last[best] - first[best] < self.fewest_stars:
            return np.nan
        return float(np.median(widths[first[best] : last[best]]))

    def knowing(self, kinds: SourceKinds | None) -> SharpStars:
        """Return the method: stars are told by the catalogue alone."""
        del kinds
        return self

    def brightest(self, snr: FloatArray) -> IntArray:
        """Return the indices of the calibrators that are used, ascending."""
        return brightest(snr, self.most_stars)

    def learnt(
        self, chosen: StarClass, stars: Sequence[KnownStars], view: ChipView, targets: Targets
    ) -> StarsOnChip:
        """Return the stars of a chip with the PSF that its calibrators give."""
        psf = self.psf(stars, chosen.sigma_px) if stars else None
        return StarsOnChip(chosen.source, psf, self.fit)


def known_stars(pairs: PairStack, start: Points, on_chip: Points, fwhm_px: float) -> KnownStars:
    """Return stars with the places where the other exposures see them."""
    begin = Points(pairs.centre.x - start.x, pairs.centre.y - start.y)
    known = seen_by_others(pairs.spline, pairs.side, pairs.centre, fwhm_px * _SIGMA_PER_FWHM)
    found = np.isfinite(known.x)
    # The templates stay where they are when a box is moved.
    known = Points(known.x + pairs.whole.x, known.y + pairs.whole.y)
    stars = KnownStars(StarStack.of(pairs, start), begin, known, on_chip)
    return stars.select(found)


def seen_by_others(spline: TemplateSpline, side: int, centre: Points, sigma_px: float) -> Points:
    """Return the windowed centroids of templates, NaN where there is none.

    The window is twice as wide as the star, and the template is read at half pixels: the
    centroid of a narrow window, or at whole pixels, follows the phase of the pixel, of the grid's
    or of the chip's, by hundredths of a pixel; this one by a thousandth (FWHM 1.2 px).
    """
    fine = interlaced(spline.half_pixel(side)).astype(np.float64)
    step = np.arange(fine.shape[-1]) / OVERSAMPLING
    window, x, y = 2 * sigma_px, centre.x.copy(), centre.y.copy()
    # A Gaussian star moves the mean within the window by 4 / 5 of what the window is off.
    gain = 1 + (sigma_px / window) ** 2
    for _ in range(_CENTROID_STEPS):
        off_x, off_y = step - x[:, None], step - y[:, None]
        across, along = (np.exp(-0.5 * (off / window) ** 2) for off in (off_x, off_y))
        rows = np.einsum("nyx,nx->ny", fine, across)
        light = np.einsum("ny,ny->n", rows, along)
        light = np.where(light > 0, light, np.nan)
        y += gain * np.einsum("ny,ny->n", rows, along * off_y) / light
        columns = np.einsum("nyx,ny->nx", fine, along)
        x += gain * np.einsum("nx,nx->n", columns, across * off_x) / light
    far = ~(np.hypot(x - centre.x, y - centre.y) < window)
    return Points(np.where(far, np.nan, x), np.where(far, np.nan, y))
