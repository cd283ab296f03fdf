"""The displacements of an exposure's sources against the mosaic of all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.calibrators import CleanSources
from alignsvc.numerics.displacement.correlation.peak import PolynomialPeak
from alignsvc.numerics.displacement.correlation_maps import correlated
from alignsvc.numerics.displacement.correlators import Correlator
from alignsvc.numerics.displacement.fitting.refine import PeakAsFound, Refinement
from alignsvc.numerics.displacement.fitting.seams import SeamFit
from alignsvc.numerics.displacement.pictured import Pictured, pictured
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.stars.sharp_stars import known_stars
from alignsvc.numerics.displacement.stars.star_methods import LearntStars, StarMethod
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_frames import ChipFrames, Chunk
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.displacement.windows.circumstances import Found, not_another, not_dominated
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.psf_matching import (
    MatchedSource,
    MatchingKernel,
    PsfMatching,
)
from alignsvc.numerics.displacement.windows.sizes import SizeClasses
from alignsvc.numerics.displacement.worst_sources import Badness, WorstSources

#: Trust below this is none.
_LEAST_TRUST = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class ChipDisplacements:
    """What a chip measured.

    Parameters
    ----------
    displacements : Displacements
    lacks_profile : bool
        Whether stars were to be placed by a profile, and the chip's own did not give one: other
        ways took its place.
    pictured : Pictured
        Of the sources that were to be shown.
    searched_px : int or None
        How far sources were looked for; None: by their sizes.
    """

    displacements: Displacements
    lacks_profile: bool
    pictured: Pictured
    searched_px: int | None


@dataclass(frozen=True, slots=True)
class CorrelationMeasurement:
    """Displacements by correlation with half-pixel blots, and perhaps something better from there.

    Parameters
    ----------
    correlator : Correlator
    refinement : Refinement or None
        What goes on from the correlation's peak: a fit of the template, or centroids. None: the
        peak as found.
    sizes : SizeClasses
        Cutout sides and search radius.
    peak : PolynomialPeak
    aperture_fwhm : float
        Radius of the aperture, in FWHM, if neither isophote nor search reaches farther. Pixels
        beyond it bring noise only: the template's slopes there are noise, and they weigh the
        exposure's. (S/N 30 against 8 others, FWHM 4: 1.08 times the bound with the aperture,
        1.19 without.)
    matching : PsfMatching or None
        How templates are given the seeing of the exposure before they are compared with it;
        None: as they are.
    first : Refinement or None
        What takes the refinement's place in the first pass, for a joint solve; None: nothing.
    seams : SeamFit or None
        How sources are measured where the template's exposures change; None: like all else.
    stars : StarMethod or None
        How sources are placed by the exposure's own pixels from the second pass on, for a joint
        solve: stars as sharp as the pixels, or all sources by a model. None: like all else.
    """

    correlator: Correlator
    refinement: Refinement | None = None
    sizes: SizeClasses = field(default_factory=SizeClasses)
    peak: PolynomialPeak = field(default_factory=PolynomialPeak)
    aperture_fwhm: float = 1.8
    matching: PsfMatching | None = None
    first: Refinement | None = None
    seams: SeamFit | None = field(default_factory=SeamFit)
    stars: StarMethod | None = None

    def knowing(self, kinds: SourceKinds | None) -> CorrelationMeasurement:
        """Return the same measurement with what the mosaic tells of sources."""
        return replace(self, stars=None if self.stars is None else self.stars.knowing(kinds))

    def told_by(self, sources: SourceCatalog, kinds: SourceKinds | None) -> CorrelationMeasurement:
        """Return the same measurement with what all sources of a component say of its stars.

        Then it serves to be given those only that a chip may show. `kinds` are theirs; what is
        known of single sources does not stay.
        """
        if self.stars is None:
            return self
        stars = self.stars.knowing(kinds).told_by(sources)
        return replace(self, stars=stars.knowing(None))

    def searching(self, radius_px: int) -> CorrelationMeasurement:
        """Return the same measurement with another search radius."""
        return replace(self, sizes=replace(self.sizes, search_radius_px=radius_px))

    def in_pass(self, number: int) -> CorrelationMeasurement:
        """Return the measurement of a pass by its number, which counts from 1."""
        if number > 1 or self.first is None:
            return self
        return replace(self, refinement=self.first, matching=None, seams=None, stars=None)

    def is_repeated_in(self, number: int) -> bool:
        """Return whether a pass measures as the one before it did."""
        return number > 1 and self.in_pass(number) == self.in_pass(number - 1)

    def __call__(
        self, view: ChipView, reference: Reference, sources: SourceCatalog
    ) -> Displacements:
        """Return the displacements of the sources that the chip should show.

        Parameters
        ----------
        view : ChipView
        reference : Reference
            Its box should hold the chip's footprint.
        sources : SourceCatalog
            Of the view's component.

        Returns
        -------
        Displacements
            In order of the catalogue; sources off the chip by the present WCS are left out.
            What could not be measured is NaN, with a flag.
        """
        return self.on_chip(view, reference, sources).displacements

    def on_chip(
        self,
        view: ChipView,
        reference: Reference,
        sources: SourceCatalog,
        shown: WorstSources | None = None,
    ) -> ChipDisplacements:
        """Return the same, with what the chip did not have for it, and pixels of some sources.

        Parameters
        ----------
        view, reference, sources
            As of the call.
        shown : WorstSources or None
            Chooses the sources whose pixels are wanted; None: none are. It changes no number.
        """
        targets = Targets.on_chip(view, sources)
        chip = self._frames(view, reference)
        learnt = _Learnt(self._kernel(chip, targets), self._stars(chip, targets, sources))
        rows, flux = np.zeros(0, np.int64), np.zeros(0)
        parts: list[Displacements] = []
        for chunk in chip.chunks(targets):
            found = self._measured(chip, chunk, learnt)
            parts.append(found.displacements)
            rows, flux = np.concatenate([rows, chunk.rows]), np.concatenate([flux, found.flux])
        order = np.argsort(rows)
        whole = _themselves(
            Displacements.concatenate(parts).select(order), flux[order], targets.fwhm_px
        )
        is_taught = learnt.stars is not None and learnt.stars.has_profile
        wants_profile = self.stars is not None and len(whole) > 0
        seen = Pictured.joined([])
        if shown is not None:
            bad = Badness.of(whole, targets.snr)
            rows = shown(bad)
            wanted = _Shown(targets.select(rows), whole.select(rows), bad.select(rows))
            seen = self._pictured(chip, wanted, learnt)
        lacks_profile = wants_profile and not is_taught
        return ChipDisplacements(whole, lacks_profile, seen, self.sizes.search_radius_px)

    def _frames(self, view: ChipView, reference: Reference) -> ChipFrames:
        return ChipFrames(view, reference, self.sizes, self.aperture_fwhm)

    def _kernel(self, chip: ChipFrames, targets: Targets) -> MatchingKernel:
        """Return the kernel that gives templates the seeing of the chip."""
        if self.matching is None:
            return MatchingKernel()
        bright = targets.select(self.matching.calibrators(targets.snr))
        if len(bright.source) < self.matching.fewest_sources:
            return MatchingKernel()
        kernel = self.matching.start(bright.fwhm_px)
        # With the terms of the kernel at hand, each pass only adds them.
        placed: Sequence[MatchedSource] = [
            one.calibrating(kernel) for one in self._clean(chip, bright)
        ]
        for _ in range(self.matching.passes):
            improved = self.matching.improved(kernel, placed)
            kernel, placed = improved.kernel, improved.sources
        return kernel

    def _stars(
        self, chip: ChipFrames, targets: Targets, sources: SourceCatalog
    ) -> LearntStars | None:
        """Return what the chip's stars teach of sources that no template is for."""
        if self.stars is None or not len(targets.source):
            return None
        chosen = self.stars.among(sources, targets.grid_per_chip_px)
        if chosen is None:
            return None
        calibrators = np.flatnonzero(np.isin(targets.source, chosen.calibrators))
        calibrators = calibrators[self.stars.brightest(targets.snr[calibrators])]
        stars = []
        for clean in self._clean(chip, targets.select(calibrators)):
            on_chip = clean.targets.position
            stars.append(known_stars(clean.pairs, clean.within, on_chip, chosen.fwhm_px))
        return self.stars.learnt(chosen, stars, chip.view, targets)

    def _clean(self, chip: ChipFrames, targets: Targets) -> Iterator[CleanSources]:
        """Yield those of the targets that nothing speaks against, where correlation finds them."""
        for chunk in chip.chunks(targets):
            some, frames = chunk.targets, chip.of(chunk)
            peaks = correlated(self.correlator, frames.middles(), chunk.sides, self.peak)
            start = Points(np.nan_to_num(peaks.dx), np.nan_to_num(peaks.dy))
            seen = chip.circumstances(some, frames, start)
            clean = np.flatnonzero((peaks.flags | seen.flags) == 0)
            if len(clean):
                pairs = frames.about(start)
                pairs = pairs if len(clean) == len(pairs) else pairs.select(clean)
                within = _within(pairs, Points(start.x[clean], start.y[clean]))
                yield CleanSources(some.select(clean), pairs, within, seen.trust[clean])

    def _measured(self, chip: ChipFrames, chunk: Chunk, learnt: _Learnt) -> _Measured:
        """Return the displacements of the targets of a chunk."""
        targets, sides = chunk.targets, chunk.sides
        frames = chip.of(chunk).matched(learnt.kernel)
        peaks = correlated(self.correlator, frames.middles(), sides, self.peak)
        start = Points(np.nan_to_num(peaks.dx), np.nan_to_num(peaks.dy))
        pairs = frames.about(start)
        refinement = self.refinement or PeakAsFound(self.correlator.frees_background)
        within = _within(pairs, start)
        refined = refinement(pairs, within)
        if self.seams is not None:
            refined = self.seams(refined, pairs, targets.fwhm_px)
        flux = refined.information.flux
        if learnt.stars is not None:
            refined = learnt.stars.measured(refined, pairs, within, targets.source)
        seen = chip.circumstances(targets, frames, start)
        share = refined.information.share
        alone = not_dominated(share)
        own = refined.information.own
        own = own / _least_trust(seen.trust * alone.trust)
        lost = peaks.flags != 0
        displacements = Displacements(
            source=targets.source,
            chip=np.full(len(targets.source), chip.view.index, np.int64),
            x=targets.position.x,
            y=targets.position.y,
            dx=np.where(lost, np.nan, refined.dx + pairs.whole.x),
            dy=np.where(lost, np.nan, refined.dy + pairs.whole.y),
            own_covariance=_upper(own),
            template_covariance=_upper(refined.information.template),
            weight_share=share,
            peak=peaks.height,
            flags=peaks.flags | refined.flags | seen.flags | alone.flags,
            profile_error=refined.common.profile,
            convention_error=refined.common.convention,
        )
        return _Measured(displacements, flux)

    def pixels(self, view: ChipView, reference: Reference, sources: SourceCatalog) -> SourcePixels:
        """Return what the measurement sees of sources; for a few of them, to be looked at.

        Templates are as the mosaic has them, not in the chip's seeing. Parameters are those of the
        call; sources come by size of their cutouts.
        """
        targets = Targets.on_chip(view, sources)
        chip = self._frames(view, reference)
        return SourcePixels.concatenate(
            [
                pictured(chunk.targets, chip.whole(chunk), view.index, self.correlator)
                for chunk in chip.chunks(targets)
            ]
        )

    def _pictured(self, chip: ChipFrames, shown: _Shown, learnt: _Learnt) -> Pictured:
        """Return the pixels of measured targets, templates in the seeing of the chip."""
        parts = []
        for chunk in chip.chunks(shown.targets):
            some = chip.whole(chunk).matched(learnt.kernel)
            seen = pictured(chunk.targets, some, chip.view.index, self.correlator)
            if learnt.stars is not None:
                model = learnt.stars.pictured(some.middles(), shown.measured.select(chunk.rows))
                if np.isfinite(model).any():
                    seen = replace(seen, model=model)
            parts.append(Pictured(seen, shown.badness.select(chunk.rows)))
        return Pictured.joined(parts)


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """Displacements, and the fluxes of the sources over their templates', shape (n,)."""

    displacements: Displacements
    flux: FloatArray


def _themselves(measured: Displacements, flux: FloatArray, fwhm_px: FloatArray) -> Displacements:
    """Return the displacements, those trusted less that another source's peak may have given."""
    own = measured.own_covariance
    sound = (measured.flags == 0) & np.isfinite(own).all(axis=1)
    weight = np.zeros(len(measured))
    weight[sound] = 1.0 / np.sqrt(own[sound, 0] + own[sound, 2])
    judged = not_another(Found(measured.dx, measured.dy, flux, weight), fwhm_px)
    return replace(
        measured,
        own_covariance=own / _least_trust(judged.trust)[:, :, 0],
        flags=measured.flags | judged.flags,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """Sources whose pixels are wanted."""

    targets: Targets
    measured: Displacements
    badness: Badness


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What bright sources have taught about a chip; `stars` None: all have templates."""

    kernel: MatchingKernel
    stars: LearntStars | None


def _within(pairs: PairStack, shift: Points) -> Points:
    """Return what of displacements is left in boxes that have been moved."""
    return Points(shift.x - pairs.whole.x, shift.y - pairs.whole.y)


def _least_trust(trust: FloatArray) -> FloatArray:
    """Return a divisor of covariances; what is not trusted at all has a flag besides."""
    divisor: FloatArray = np.maximum(trust, _LEAST_TRUST)[:, None, None]
    return divisor


def _upper(covariance: FloatArray) -> FloatArray:
    """Return xx, xy, yy of matrices (n, 2, 2)."""
    return covariance.reshape(-1, 4)[:, [0, 1, 3]]
