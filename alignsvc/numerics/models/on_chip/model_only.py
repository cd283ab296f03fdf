"""Sources placed by a model or not at all: what a comparison of methods needs of ``model``.

In a run by models a chip with too few stars keeps its centroids. Beside another method's
measurements these would pass for the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.fitting.refine import Refined, judged
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.sharp_stars import StarClass
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.models.on_chip.model_on_chip import ModelOnChip
from alignsvc.numerics.models.on_chip.model_stars import ModelStars


@dataclass(frozen=True, slots=True, eq=False)
class OnlyModelOnChip:
    """Sources of a chip; where it has no profile, none of them is placed."""

    found: ModelOnChip

    @property
    def has_profile(self) -> bool:
        """Whether there is one."""
        return self.found.has_profile

    def measured(
        self, refined: Refined, pairs: PairStack, start: Points, source: IntArray
    ) -> Refined:
        """Return the model's displacements; NO_PEAK, NO_INFORMATION and NaN without a profile."""
        if self.found.profile is not None:
            return self.found.measured(refined, pairs, start, source)
        nowhere = np.full(len(pairs), np.nan)
        nothing = replace(refined.information, informative=np.zeros(len(pairs), bool))
        return judged(Points(nowhere, nowhere), nothing)

    def pictured(self, pairs: PairStack, measured: Displacements) -> Float32Array:
        """Return what the profile says of boxes; see `LearntStars`."""
        return self.found.pictured(pairs, measured)


@dataclass(frozen=True, slots=True)
class OnlyModelStars:
    """How sources are placed by a profile where there is one; a `StarMethod`.

    Parameters
    ----------
    model : ModelStars
    """

    model: ModelStars

    def knowing(self, kinds: SourceKinds | None) -> OnlyModelStars:
        """Return the same method with what the mosaic tells of sources."""
        return replace(self, model=self.model.knowing(kinds))

    def told_by(self, sources: SourceCatalog) -> OnlyModelStars:
        """Return the same method with what all sources of a component say of its stars."""
        return replace(self, model=self.model.told_by(sources))

    def among(self, sources: SourceCatalog, grid_per_chip_px: float) -> StarClass:
        """Return the stars; without any that could give a profile, a class of none."""
        none = StarClass(sources.id, sources.id[:0], 1.0)
        return self.model.among(sources, grid_per_chip_px) or none

    def brightest(self, snr: FloatArray) -> IntArray:
        """Return the indices of the calibrators that are used, ascending."""
        return self.model.brightest(snr)

    def learnt(
        self, chosen: StarClass, stars: Sequence[KnownStars], view: ChipView, targets: Targets
    ) -> OnlyModelOnChip:
        """Return what a chip's calibrators teach; see `StarMethod`."""
        return OnlyModelOnChip(self.model.learnt(chosen, stars, view, targets))
