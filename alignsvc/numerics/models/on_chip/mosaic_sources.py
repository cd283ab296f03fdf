"""What the sources of a catalogue are, told from the mosaic of all exposures: the first stage.

Sources are modelled on the mosaic first, where they are known best, and exposures are then placed
by what they turned out to be: as stars or galaxies, with the companions that the catalogue lacks.
What an exposure's own pixels would say of that is noisier, and another thing in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.source_kinds import SHAPE_NUMBERS, SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.sharp_stars import StarClass
from alignsvc.numerics.displacement.stars.star_fit import StarStack
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.displacement.windows.cutouts import cut
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile
from alignsvc.numerics.models.on_chip.close_sources import SkyOfChip, aperture, sides, some_of
from alignsvc.numerics.models.on_chip.companion_stars import CompanionStars
from alignsvc.numerics.models.on_chip.model_stars import ModelStars
from alignsvc.numerics.models.on_chip.source_profiles import KindsOnChip
from alignsvc.numerics.models.on_chip.star_or_galaxy import Windows
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: Apertures of sources are so many FWHM of theirs, or their isophotes; and no more pixels.
_APERTURE_FWHM, _LARGEST_PX = 1.8, 40.0
#: And those of stars that make the PSF no more than so many FWHM.
_STARS_FWHM = 3.0
#: The fitted place of a source may be so many of its widths from the catalogue's.
_FARTHEST = 0.5


@dataclass(frozen=True, slots=True)
class MosaicSources:
    """How sources are modelled on a part of the mosaic.

    Parameters
    ----------
    model : ModelStars
        The settings with which exposures place them.
    companions : CompanionStars
    rounds : int
        How often each source is looked at again, less the light of the others as they are known
        by then.
    halo_px : int
        Pixels around a tile that must be at hand: for windows, for neighbours, and for stars.
    """

    model: ModelStars
    companions: CompanionStars = field(default_factory=CompanionStars)
    rounds: int = 2
    halo_px: int = 192

    def box_for(self, core: PixelBox, grid: MosaicGrid) -> PixelBox:
        """Return the pixels that are needed to tell the sources of a tile."""
        return core.expand(self.halo_px).intersect(grid.box)

    def __call__(self, mosaic: CalibratedChip, sources: SourceCatalog) -> SourceKinds:
        """Return what all of the sources are; stars alone where no PSF can be learnt.

        Parameters
        ----------
        mosaic : CalibratedChip
            A part of the mosaic, sky off; weights such that noise of a large area is right.
        sources : SourceCatalog
            Those on it, in its pixels.
        """
        stars = replace(self.model, kinds=None)
        ones = np.ones(len(sources))
        targets = Targets(
            sources.id,
            Points(sources.x, sources.y),
            np.maximum(np.nan_to_num(sources.fwhm), 1.0),
            np.nan_to_num(sources.radius),
            np.nan_to_num(sources.snr),
            ones,
        )
        nothing = SourceKinds.stars(sources.id)
        chosen = stars.among(sources, 1.0)
        if chosen is None:
            return nothing
        known = KindsOnChip.unknown(targets)
        profile = stars.profile_of(
            chosen, list(_calibrators(stars, chosen, mosaic, targets)), mosaic, (targets, known)
        )
        if profile is None:
            return nothing
        for _ in range(self.rounds):
            sky = stars.sky_of(chosen, profile, mosaic, (targets, known))
            found = self.companions(sky, targets, known, profile)
            known = replace(known, companions=found)
            sky = stars.sky_of(chosen, profile, mosaic, (targets, known))
            known = self._told(sky, targets, known, profile)
        return _as_kinds(targets, known)

    def _told(
        self, sky: SkyOfChip, targets: Targets, known: KindsOnChip, profile: ChipProfile
    ) -> KindsOnChip:
        """Return the sources, each as a star with its companions or as a galaxy."""
        n, shapes = len(targets.source), self.model.galaxies
        galaxy = None if shapes is None else shapes.galaxy(profile)
        x, y = known.position.x.copy(), known.position.y.copy()
        is_galaxy, shape = np.zeros(n, bool), np.full((n, SHAPE_NUMBERS), np.nan)
        for rows, corner, seen in _windows(sky, targets, known.position):
            start = Points(known.position.x[rows] - corner.x, known.position.y[rows] - corner.y)
            if shapes is None or galaxy is None:
                fitted = self.model.fit(seen.star, seen.alone, start)
                there = zip(fitted.place, start, strict=True)
                place = Points(*(np.where(fitted.found, end, begun) for end, begun in there))
            else:
                told = shapes(galaxy, seen, profile.fwhm_px, start)
                place, is_galaxy[rows], shape[rows] = told.place, told.is_galaxy, told.shape
            x[rows], y[rows] = place.x + corner.x, place.y + corner.y
        away = np.hypot(x - targets.position.x, y - targets.position.y)
        kept = (away <= _FARTHEST * targets.fwhm_px) & (targets.snr >= self.model.faint_snr)
        position = Points(
            np.where(kept, x, targets.position.x), np.where(kept, y, targets.position.y)
        )
        narrowing_px2 = 0.0 if shapes is None else shapes.narrowing_px2(profile)
        of_stars = ~np.isin(known.companions.source, targets.source[is_galaxy])
        companions = known.companions.select(of_stars)
        return KindsOnChip(position, is_galaxy, shape, narrowing_px2, companions)


def _calibrators(
    model: ModelStars, chosen: StarClass, mosaic: CalibratedChip, targets: Targets
) -> Iterator[KnownStars]:
    """Yield the stars that the PSF is learnt from, those of one size of windows at a time."""
    rows = np.flatnonzero(np.isin(targets.source, chosen.calibrators))
    rows = rows[model.brightest(targets.snr[rows])]
    stars = targets.select(rows)
    radius = _radius(stars, _STARS_FWHM * chosen.fwhm_px)
    for side in np.unique(sides(radius)):
        some = np.flatnonzero(sides(radius) == side)
        on_chip = stars.select(some).position
        cutouts = cut(mosaic, on_chip, int(side))
        place = Points(on_chip.x - cutouts.corner_x, on_chip.y - cutouts.corner_y)
        window = aperture(place, radius[some], int(side))
        stack = StarStack(cutouts.pixels, cutouts.weight, window, mosaic.gain)
        # A core that is not all there gives no PSF.
        core = cutouts.good & (window > 0)
        whole = core.sum(axis=(1, 2)) == (window > 0).sum(axis=(1, 2))
        yield KnownStars(stack, place, place, on_chip).select(whole)


def _windows(
    sky: SkyOfChip, targets: Targets, position: Points
) -> Iterator[tuple[IntArray, Points, Windows]]:
    """Yield rows of targets, corners of their windows, and these, freed of others' light."""
    radius, gain = _radius(targets, _LARGEST_PX), sky.chip.gain
    each = sides(radius)
    for side in np.unique(each).tolist():
        for rows in some_of(np.flatnonzero(each == side), side):
            at = Points(position.x[rows], position.y[rows])
            cutouts = cut(sky.chip, at, side)
            own = sky.own(targets.source[rows])[:, None]
            beside = sky.others(targets.source[rows], 0)
            corner = Points(
                cutouts.corner_x.astype(np.float64), cutouts.corner_y.astype(np.float64)
            )
            window = aperture(Points(at.x - corner.x, at.y - corner.y), radius[rows], side)
            whole = StarStack(cutouts.pixels, cutouts.weight, np.ones_like(window), gain)
            stacks = []
            for members in (np.concatenate([own, beside], axis=1), own):
                where = (cutouts.corner_x, cutouts.corner_y)
                light = sky.neighbours.without(members, where, side)
                seen = np.where(cutouts.good, light, np.float32(0))
                weight = whole.weighted(seen)
                stacks.append(StarStack(cutouts.pixels - seen, weight, window, gain))
            count = np.sum(beside >= 0, axis=1)
            star = sky.neighbours.psf.star.select(own[:, 0])
            yield rows, corner, Windows(stacks[0], stacks[1], count, star)


def _radius(targets: Targets, most_px: float) -> FloatArray:
    """Return the apertures of sources, pixels."""
    wanted = np.maximum(_APERTURE_FWHM * targets.fwhm_px, targets.radius_px)
    return np.asarray(np.minimum(wanted, most_px))


def _as_kinds(targets: Targets, known: KindsOnChip) -> SourceKinds:
    """Return what is known, in order of the sources' ids."""
    order, companions = np.argsort(targets.source), known.companions
    return SourceKinds(
        targets.source[order],
        (known.position.x - targets.position.x)[order],
        (known.position.y - targets.position.y)[order],
        known.is_galaxy[order],
        known.shape[order],
        np.where(known.is_galaxy, known.narrowing_px2, np.nan)[order],
        companions.source,
        companions.x,
        companions.y,
        companions.flux,
        companions.significance,
    )
