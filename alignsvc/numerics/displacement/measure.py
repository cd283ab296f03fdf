"""The displacements of an exposure's sources against the mosaic of all the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.blots import BlotStack, Reference, blot
from alignsvc.numerics.displacement.correlators import Correlator
from alignsvc.numerics.displacement.cutouts import CutoutStack, MaskedStack, cut
from alignsvc.numerics.displacement.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.peak import Peaks, PolynomialPeak, interlaced
from alignsvc.numerics.displacement.psf_matching import MatchedSource, MatchingKernel, PsfMatching
from alignsvc.numerics.displacement.refine import PeakAsFound, Refinement, TemplateFit
from alignsvc.numerics.displacement.sharp_stars import SharpStars, StarsOnChip, known_stars
from alignsvc.numerics.displacement.sizes import Sides, SizeClasses
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.spline import TemplateSpline
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Pixels worked on at once: arrays of this size stay in the second-level cache.
_PIXELS_AT_ONCE = 1 << 18
#: A source that carries more of the mosaic's weight than this has no reference to speak of.
DOMINATES = 0.95
#: Part of the aperture that may be holes of the template, and of the cutout that may be bad. The
#: fit leaves such pixels out; along an edge, where overlaps are thin, every source counts.
MOST_HOLES, MOST_BAD = 0.5, 0.5
#: Radius of a source's core: within it a bad pixel cannot be made good by a template whose
#: profile differs (a tenth of a pixel was seen). A chip's edge cuts off one whole side: nearer
#: than a FWHM it pulled sources by 0.02-0.05 px.
CORE_FWHM, LEAST_CORE_PX, EDGE_FWHM = 0.6, 1.5, 1.0
#: What is narrower than this is not a source but a pixel.
_LEAST_FWHM_PX = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ChipView:
    """A chip with the way from its pixels to the grid's.

    Parameters
    ----------
    chip : CalibratedChip
    pixel_map : PixelMap
    index : int
        Of the chip in its exposure.
    """

    chip: CalibratedChip
    pixel_map: PixelMap
    index: int = 0


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
    sharp : SharpStars or None
        How stars as sharp as the pixels are measured from the second pass on, for a joint solve;
        None: like all else.
    """

    correlator: Correlator
    refinement: Refinement | None = None
    sizes: SizeClasses = field(default_factory=SizeClasses)
    peak: PolynomialPeak = field(default_factory=PolynomialPeak)
    aperture_fwhm: float = 1.8
    matching: PsfMatching | None = None
    first: Refinement | None = None
    sharp: SharpStars | None = None

    def searching(self, radius_px: int) -> CorrelationMeasurement:
        """Return the same measurement with another search radius."""
        return replace(self, sizes=replace(self.sizes, search_radius_px=radius_px))

    def in_pass(self, number: int) -> CorrelationMeasurement:
        """Return the measurement of a pass by its number, which counts from 1."""
        if number > 1 or self.first is None:
            return self
        return replace(self, refinement=self.first, matching=None, sharp=None)

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
        targets = _Targets.on_chip(view, sources)
        learnt = _Learnt(
            self._kernel(view, reference, targets), self._stars(view, reference, targets, sources)
        )
        rows = np.zeros(0, np.int64)
        parts: list[Displacements] = []
        for chunk, sides in self._chunks(targets):
            parts.append(self._measured(view, reference, (targets.select(chunk), sides), learnt))
            rows = np.concatenate([rows, chunk])
        return _concatenated(parts).select(np.argsort(rows))

    def _chunks(self, targets: _Targets) -> Iterator[tuple[IntArray, Sides]]:
        """Yield indices of targets that are measured together, with their windows."""
        classes = self.sizes.of(targets.fwhm_px, targets.radius_px)
        for index in np.unique(classes):
            sides = self.sizes.windows(int(index))
            for chunk in _chunks(np.flatnonzero(classes == index), sides):
                yield chunk, sides

    def _kernel(self, view: ChipView, reference: Reference, targets: _Targets) -> MatchingKernel:
        """Return the kernel that gives templates the seeing of the chip."""
        if self.matching is None:
            return MatchingKernel()
        bright = targets.select(self.matching.calibrators(targets.snr))
        if len(bright.source) < self.matching.fewest_sources:
            return MatchingKernel()
        stacks = []
        for chunk, sides in self._chunks(bright):
            some = bright.select(chunk)
            cutouts, blots = _cut_and_blotted(view, reference, some, sides)
            pairs = _paired(cutouts, blots, some, self._aperture(some, sides), view.chip.gain)
            peaks = correlated(self.correlator, pairs, sides, self.peak)
            start = Points(np.nan_to_num(peaks.dx), np.nan_to_num(peaks.dy))
            flags = _circumstances(some, cutouts, blots, pairs.aperture(start), start)
            clean = (peaks.flags | flags) == 0
            if clean.any():
                stacks.append((pairs.select(clean), Points(start.x[clean], start.y[clean])))
        kernel = self.matching.start(bright.fwhm_px)
        for _ in range(self.matching.passes):
            kernel = self.matching.improved(
                kernel, [_matched(pairs, start, kernel) for pairs, start in stacks]
            )
            if kernel.is_identity:
                break
        return kernel

    def _stars(
        self, view: ChipView, reference: Reference, targets: _Targets, sources: SourceCatalog
    ) -> StarsOnChip | None:
        """Return the stars of the chip that are too sharp for a template, with their PSF."""
        if self.sharp is None or not len(targets.source):
            return None
        chosen = self.sharp.among(sources, targets.grid_per_chip_px)
        if chosen is None:
            return None
        calibrators = np.flatnonzero(np.isin(targets.source, chosen.calibrators))
        calibrators = calibrators[self.sharp.brightest(targets.snr[calibrators])]
        stars = []
        for chunk, sides in self._chunks(targets.select(calibrators)):
            some = targets.select(calibrators[chunk])
            cutouts, blots = _cut_and_blotted(view, reference, some, sides)
            pairs = _paired(cutouts, blots, some, self._aperture(some, sides), view.chip.gain)
            peaks = correlated(self.correlator, pairs, sides, self.peak)
            start = Points(np.nan_to_num(peaks.dx), np.nan_to_num(peaks.dy))
            flags = _circumstances(some, cutouts, blots, pairs.aperture(start), start)
            clean = (peaks.flags | flags) == 0
            begin = Points(start.x[clean], start.y[clean])
            on_chip = some.select(np.flatnonzero(clean)).position
            stars.append(known_stars(pairs.select(clean), begin, on_chip, chosen.fwhm_px))
        psf = self.sharp.psf(stars, chosen.sigma_px) if stars else None
        return StarsOnChip(chosen.source, psf, self.sharp.fit)

    def _measured(
        self,
        view: ChipView,
        reference: Reference,
        which: tuple[_Targets, Sides],
        learnt: _Learnt,
    ) -> Displacements:
        """Return the displacements of targets of one size class."""
        targets, sides = which
        cutouts, blots = _cut_and_blotted(view, reference, targets, sides)
        aperture_px = self._aperture(targets, sides)
        pairs = _paired(cutouts, blots, targets, aperture_px, view.chip.gain)
        pairs = pairs.matched(learnt.kernel)
        peaks = correlated(self.correlator, pairs, sides, self.peak)
        start = Points(np.nan_to_num(peaks.dx), np.nan_to_num(peaks.dy))
        refinement = self.refinement or PeakAsFound(self.correlator.frees_background)
        refined = refinement(pairs, start)
        if learnt.stars is not None:
            refined = learnt.stars.measured(refined, pairs, start, targets.source)
        flags = peaks.flags | refined.flags
        flags |= _circumstances(targets, cutouts, blots, pairs.aperture(start), start)
        share = refined.information.share
        flags |= np.where(share > DOMINATES, int(DisplacementFlag.DOMINATED), 0)
        lost = peaks.flags != 0
        return Displacements(
            source=targets.source,
            chip=np.full(len(targets.source), view.index, np.int64),
            x=targets.position.x,
            y=targets.position.y,
            dx=np.where(lost, np.nan, refined.dx),
            dy=np.where(lost, np.nan, refined.dy),
            own_covariance=_upper(refined.information.own),
            template_covariance=_upper(refined.information.template),
            weight_share=share,
            peak=peaks.height,
            flags=flags,
        )

    def pixels(self, view: ChipView, reference: Reference, sources: SourceCatalog) -> SourcePixels:
        """Return what the measurement sees of sources; for a few of them, to be looked at.

        Parameters are those of the call; sources come by size of their cutouts.
        """
        targets = _Targets.on_chip(view, sources)
        return SourcePixels.concatenate(
            [
                self._seen(view, reference, targets.select(chunk), sides)
                for chunk, sides in self._chunks(targets)
            ]
        )

    def _seen(
        self, view: ChipView, reference: Reference, targets: _Targets, sides: Sides
    ) -> SourcePixels:
        """Return the pixels of targets of one size class."""
        cutouts, blots = _cut_and_blotted(view, reference, targets, sides)
        pairs = _paired(cutouts, blots, targets, self._aperture(targets, sides), view.chip.gain)
        inner = slice(sides.margin, sides.margin + sides.cutout)
        nan = np.float32(np.nan)
        return SourcePixels(
            targets.source,
            np.full(len(targets.source), view.index, np.int64),
            cutouts.corner_x,
            cutouts.corner_y,
            np.where(pairs.good, cutouts.pixels, nan),
            np.where(blots.good, blots.values, nan)[:, inner, inner],
            correlation_maps(self.correlator, pairs, sides).astype(np.float32, copy=False),
        )

    def _aperture(self, targets: _Targets, sides: Sides) -> FloatArray:
        """Return the radius of each target's aperture, chip pixels.

        At least so wide that the core lies within it wherever the search may find it.
        """
        reached = sides.search_radius_px + CORE_FWHM * targets.fwhm_px
        wanted = np.maximum(self.aperture_fwhm * targets.fwhm_px, targets.radius_px)
        radius: FloatArray = np.minimum(np.maximum(wanted, reached), 0.5 * sides.cutout)
        return radius


def correlated(
    correlator: Correlator, pairs: PairStack, sides: Sides, peak: PolynomialPeak
) -> Peaks:
    """Return the peaks of the interlaced maps of four half-pixel blots."""
    return peak(correlation_maps(correlator, pairs, sides))


def correlation_maps(correlator: Correlator, pairs: PairStack, sides: Sides) -> Float32Array:
    """Return the interlaced maps of four half-pixel blots, shape (n, map side, map side)."""
    blots = pairs.spline.half_pixel(sides.correlated)
    trim = (sides.template - sides.correlated) // 2
    good = pairs.template_good[:, trim:-trim, trim:-trim]
    image = MaskedStack(pairs.pixels, pairs.searched)
    return interlaced(correlator(image, MaskedStack(blots, good), sides.max_lag))


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What bright sources have taught about a chip; `stars` None: none are too sharp."""

    kernel: MatchingKernel
    stars: StarsOnChip | None


@dataclass(frozen=True, slots=True, eq=False)
class _Targets:
    """Sources on the chip, in chip pixels."""

    source: IntArray
    position: Points
    fwhm_px: FloatArray
    radius_px: FloatArray
    snr: FloatArray
    scale: FloatArray

    @property
    def grid_per_chip_px(self) -> float:
        """Grid pixels along a pixel of the chip, at the typical source."""
        return float(np.median(self.scale))

    @classmethod
    def on_chip(cls, view: ChipView, sources: SourceCatalog) -> _Targets:
        ny, nx = view.chip.pixels.shape
        where = view.pixel_map.to_chip(Points(sources.x, sources.y))
        # NaN, for what the map does not reach, compares as False.
        inside = (where.x >= -0.5) & (where.x < nx - 0.5) & (where.y >= -0.5) & (where.y < ny - 0.5)
        position = Points(where.x[inside], where.y[inside])
        scale = np.sqrt(np.abs(np.linalg.det(view.pixel_map.jacobian(position))))
        fwhm = np.nan_to_num(sources.fwhm[inside]) / scale
        radius = np.nan_to_num(sources.radius[inside]) / scale
        fwhm = np.maximum(fwhm, _LEAST_FWHM_PX)
        snr = np.nan_to_num(sources.snr[inside])
        return cls(sources.id[inside], position, fwhm, radius, snr, scale)

    def select(self, which: IntArray) -> _Targets:
        return _Targets(
            self.source[which],
            Points(self.position.x[which], self.position.y[which]),
            self.fwhm_px[which],
            self.radius_px[which],
            self.snr[which],
            self.scale[which],
        )


def _matched(pairs: PairStack, start: Points, kernel: MatchingKernel) -> MatchedSource:
    """Return calibrators fitted with the kernel as it is."""
    fit = TemplateFit()
    with_kernel = pairs.matched(kernel)
    found = fit(with_kernel, start)
    sound = found.flags == 0
    weight = fit.equations(with_kernel, start).weight
    return MatchedSource(
        pairs.pixels[sound],
        weight[sound],
        pairs.spline.select(sound),
        Points(found.dx[sound], found.dy[sound]),
    )


def _cut_and_blotted(
    view: ChipView, reference: Reference, targets: _Targets, sides: Sides
) -> tuple[CutoutStack, BlotStack]:
    cutouts = cut(view.chip, targets.position, sides.cutout)
    local_map = LocalMap.expand(view.pixel_map, targets.position, 0.5 * sides.template)
    windows = Windows(cutouts.corner_x, cutouts.corner_y, sides.cutout)
    return cutouts, blot(reference, local_map, targets.source, windows, sides)


def _paired(
    cutouts: CutoutStack,
    blots: BlotStack,
    targets: _Targets,
    aperture_px: FloatArray,
    gain: float | None,
) -> PairStack:
    return PairStack(
        pixels=cutouts.pixels,
        weight=cutouts.weight,
        good=cutouts.good & ~blots.others,
        spline=TemplateSpline.through(blots.values),
        template_good=blots.good,
        template_variance=blots.variance,
        share=blots.share,
        centre=Points(targets.position.x - cutouts.corner_x, targets.position.y - cutouts.corner_y),
        aperture_px=aperture_px,
        gain=gain,
    )


def _circumstances(
    targets: _Targets, cutouts: CutoutStack, blots: BlotStack, aperture: BoolArray, shift: Points
) -> IntArray:
    """Return the flags that depend on pixels, not on the measurement.

    Holes of the template count within the aperture: pixels beyond it take no part.
    """
    step = np.arange(cutouts.side)
    radius = np.maximum(CORE_FWHM * targets.fwhm_px, LEAST_CORE_PX)
    x = targets.position.x - cutouts.corner_x - shift.x
    y = targets.position.y - cutouts.corner_y - shift.y
    off_x = (step - x[:, None])[:, None, :] ** 2
    off_y = (step - y[:, None])[:, :, None] ** 2
    core = off_x + off_y <= (radius**2)[:, None, None]
    disc = off_x + off_y <= ((EDGE_FWHM * targets.fwhm_px) ** 2)[:, None, None]
    margin = (blots.good.shape[-1] - cutouts.side) // 2
    hole = ~blots.good[:, margin:-margin, margin:-margin]
    bad = ~cutouts.good
    tests: list[tuple[DisplacementFlag, BoolArray]] = [
        (DisplacementFlag.OUTSIDE, _any((core | disc) & ~cutouts.on_chip)),
        (DisplacementFlag.MASKED_CORE, _any(core & bad & cutouts.on_chip)),
        (DisplacementFlag.MASKED_MANY, _part(bad) > MOST_BAD),
        (
            DisplacementFlag.TEMPLATE_HOLE,
            _any(core & hole) | (_part(hole & aperture) > MOST_HOLES * _part(aperture)),
        ),
        (DisplacementFlag.SATURATED, _any(cutouts.saturated & ~blots.others)),
    ]
    flags = np.zeros(len(cutouts), np.int64)
    for flag, applies in tests:
        flags |= np.where(applies, int(flag), 0)
    return flags


def _any(pixels: BoolArray) -> BoolArray:
    return np.asarray(pixels.any(axis=(1, 2)), bool)


def _part(pixels: BoolArray) -> FloatArray:
    return np.asarray(pixels.mean(axis=(1, 2)), np.float64)


def _upper(covariance: FloatArray) -> FloatArray:
    """Return xx, xy, yy of matrices (n, 2, 2)."""
    return covariance.reshape(-1, 4)[:, [0, 1, 3]]


def _chunks(members: IntArray, sides: Sides) -> Iterator[IntArray]:
    step = max(1, _PIXELS_AT_ONCE // sides.template**2)
    for start in range(0, len(members), step):
        yield members[start : start + step]


def _concatenated(parts: list[Displacements]) -> Displacements:
    if not parts:
        none, whole = np.zeros(0), np.zeros(0, np.int64)
        triple = np.zeros((0, 3))
        return Displacements(
            whole, whole, none, none, none, none, triple, triple, none, none, whole
        )
    names = [f.name for f in fields(Displacements)]
    return Displacements(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))
