"""Which stars teach a chip its profile, and what it takes to place all sources by it.

This is ``method: model`` in a run. An exposure's pixels give a source's place q in it, and the
displacement is ``X - q`` from the place X in the catalogue. With the latent offsets of sources that
the joint solve has, the passes together are a bundle adjustment: exposures are cameras, sources
points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.sharp_stars import StarClass
from alignsvc.numerics.displacement.stars.star_fit import ExpectedStep, StarFit
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.models.on_chip.chip_profile import ChipProfile, ProfileFromStars
from alignsvc.numerics.models.on_chip.close_sources import CloseSources, SkyOfChip
from alignsvc.numerics.models.on_chip.model_on_chip import ModelOnChip
from alignsvc.numerics.models.on_chip.neighbours import Neighbours
from alignsvc.numerics.models.on_chip.source_profiles import KindsOnChip
from alignsvc.numerics.models.on_chip.star_or_galaxy import GalaxyShapes
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.selection import brightest

#: FWHM of a Gaussian, in sigma.
_FWHM_PER_SIGMA = np.sqrt(8 * np.log(2))
#: Narrower stars than this no fit begins with, px.
_SHARPEST_PX = 1.0
#: Places are those of stars smoothed to so many times the width that those of the mosaic have by
#: their flux and peak, which is 1.15 times that of their slopes: about as wide as a star that is
#: smoothed by itself, which is how a fit sees it.
_SMOOTHED = 1.35
#: What a pixel, a drop and a grid pixel of its size add to the variance of stars, px^2.
_DRIZZLE_VARIANCE_PX2 = 3 / 12


@dataclass(frozen=True, slots=True)
class StarsOfAll:
    """What all sources of a component say of its stars.

    Parameters
    ----------
    demand : int
        Which demand calibrators meet: 0 known to be single stars, 1 not blended, 2 sound.
    widest : float
        FWHM that none of them exceeds, grid pixels.
    fwhm, spread : float
        See `StarClass`, grid pixels; NaN: nobody is a star.
    """

    demand: int
    widest: float
    fwhm: float
    spread: float


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
        Stars closer than this overlap: widths of bright stars in the catalogue, which are 1.2
        times their FWHM. The same for all exposures.
    close : CloseSources
    galaxies : GalaxyShapes or None
        How galaxies are told on the mosaic; None: all sources are placed as stars.
    kinds : SourceKinds or None
        What the mosaic has told of the sources; None: nothing yet, they are stars.
    of_all : StarsOfAll or None
        What all sources of a component say of its stars; None: nobody was asked.
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
    kinds: SourceKinds | None = None
    of_all: StarsOfAll | None = None

    def knowing(self, kinds: SourceKinds | None) -> ModelStars:
        """Return the same method with what the mosaic tells of sources."""
        return replace(self, kinds=kinds)

    def among(self, sources: SourceCatalog, grid_per_chip_px: float) -> StarClass | None:
        """Return the stars: all sources are placed as if they were some; None: none is bright."""
        of_all = self.of_all or self._of_all(sources)
        if np.isnan(of_all.fwhm):
            return None
        chosen = self._demands(sources)[of_all.demand] & (sources.fwhm <= of_all.widest)
        fwhm_px, spread_px = of_all.fwhm / grid_per_chip_px, of_all.spread / grid_per_chip_px
        return StarClass(sources.id, sources.id[chosen], fwhm_px, spread_px)

    def told_by(self, sources: SourceCatalog) -> ModelStars:
        """Return the same method with what all sources of a component say of its stars."""
        return replace(self, of_all=self._of_all(sources))

    def _of_all(self, sources: SourceCatalog) -> StarsOfAll:
        demands = self._demands(sources)
        enough = [chosen.sum() >= self.fewest_unblended for chosen in demands]
        demand = enough.index(True) if any(enough) else len(demands) - 1
        chosen = demands[demand]
        if not chosen.any():
            return StarsOfAll(demand, np.nan, np.nan, np.nan)
        widest = float(self.widest * np.quantile(sources.fwhm[chosen], 0.25))
        chosen = chosen & (sources.fwhm <= widest)
        fwhm = float(np.median(sources.fwhm[chosen]))
        # A Gaussian of the same flux and peak.
        area = sources.flux[chosen] / sources.peak[chosen] / (2 * np.pi)
        spread = float(np.sqrt(max(np.median(area) - _DRIZZLE_VARIANCE_PX2, 0.0)))
        return StarsOfAll(demand, widest, fwhm, spread)

    def _demands(self, sources: SourceCatalog) -> tuple[BoolArray, ...]:
        """Return who meets each of the demands on calibrators, the hardest first."""
        flags = sources.flags & ~int(SourceFlag.AT_EDGE)
        bright = (sources.snr >= self.least_snr) & (sources.fwhm > 0)
        sound = bright & ((flags & ~int(SourceFlag.BLENDED)) == 0)
        return sound & (flags == 0) & self._alone(sources.id), sound & (flags == 0), sound

    def brightest(self, snr: FloatArray) -> IntArray:
        """Return the indices of the calibrators that are used, ascending."""
        return brightest(snr, self.most_stars)

    def _alone(self, source: IntArray) -> BoolArray:
        """Return which sources nothing is known of that speaks against a single star."""
        if self.kinds is None:
            return np.ones(len(source), bool)
        galaxies = self.kinds.id[self.kinds.is_galaxy]
        return ~np.isin(source, np.concatenate([galaxies, self.kinds.companion_of]))

    def learnt(
        self, chosen: StarClass, stars: Sequence[KnownStars], view: ChipView, targets: Targets
    ) -> ModelOnChip:
        """Return the profile that a chip's calibrators give, and all of its sources by it."""
        known = KindsOnChip.unknown(targets)
        if self.kinds is not None:
            known = KindsOnChip.of(self.kinds, view.pixel_map, targets)
        profile = self.profile_of(chosen, stars, view.chip, (targets, known))
        sky = None
        if profile is not None:
            sky = self.sky_of(chosen, profile, view.chip, (targets, known))
        return ModelOnChip(profile, sky, self.close, self.fit, self.step, self.faint_snr)

    def profile_of(
        self,
        chosen: StarClass,
        stars: Sequence[KnownStars],
        chip: CalibratedChip,
        sources: tuple[Targets, KindsOnChip],
    ) -> ChipProfile | None:
        """Return the profile that calibrators give, once all others' light is taken from them."""
        targets, known = sources
        profile = self.profile(stars, max(_FWHM_PER_SIGMA * chosen.sigma_px, _SHARPEST_PX))
        if profile is None:
            return None
        there = replace(known, position=targets.position)
        placed = there.placed(targets)
        psf = there.behind(profile, placed.position)
        neighbours = Neighbours.of(psf, chip, placed, profile.fwhm_px)
        alone = [neighbours.taken_from_stars(one) for one in stars]
        return self.profile(alone, profile.fwhm_px, _SMOOTHED * chosen.spread_px) or profile

    def sky_of(
        self,
        chosen: StarClass,
        profile: ChipProfile,
        chip: CalibratedChip,
        sources: tuple[Targets, KindsOnChip],
    ) -> SkyOfChip:
        """Return the chip with the light of all sources as they are known."""
        targets, known = sources
        placed = known.placed(targets)
        psf = known.behind(profile, placed.position)
        neighbours = Neighbours.of(psf, chip, placed, profile.fwhm_px)
        close_px = self.close_fwhm * chosen.fwhm_px
        return SkyOfChip.of(chip, neighbours, (targets, known.companions), close_px)
