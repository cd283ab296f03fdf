"""How far sources are looked for, and whether those of a chip lie farther away than that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.measure import ChipDisplacements, CorrelationMeasurement

#: What sources have that the search did not find, and what follows from that.
_MISSED = int(DisplacementFlag.PEAK_AT_EDGE | DisplacementFlag.NO_PEAK)
_FOLLOWS = int(DisplacementFlag.NO_INFORMATION)
#: Pixels that a source is looked for at least: the error of a faint one.
_LEAST_PX = 2
#: And at most once exposures have been aligned: what is then still wrong is some tenths, but for
#: an exposure that went astray.
_NEAR_PX = 3


@dataclass(frozen=True, slots=True)
class FartherSearch:
    """When a chip is measured once more, searched farther, and which of the two stands.

    Of the sources that stand out in an exposure a search that is wide enough misses one in a
    hundred, however faint the others are. Where it misses one in four, the chip lies elsewhere;
    then the wide search has to find as many of them there, or what it found was noise.

    Parameters
    ----------
    radius_px : int
        How far sources are looked for the second time.
    least_snr : float
        Of sources that stand out. In the exposure: what the mosaic promises, by the exposure's part
        of its weight.
    part : float
        Of these sources.
    """

    radius_px: int
    least_snr: float = 5.0
    part: float = 0.25

    def __call__(
        self,
        measured: Callable[[CorrelationMeasurement], ChipDisplacements],
        method: CorrelationMeasurement,
        sources: SourceCatalog,
    ) -> ChipDisplacements:
        """Return what a chip measured, searched as far as it needs.

        Parameters
        ----------
        measured : callable
            What the chip measures by a method.
        method : CorrelationMeasurement
            Searches as far as it should suffice.
        sources : SourceCatalog
            All that the chip may show.
        """
        near = measured(method)
        if not self.is_wanted(near.displacements, sources):
            return near
        far = measured(method.searching(self.radius_px))
        is_right = self.is_right(far.displacements, sources, near.searched_px or 0)
        return far if is_right else near

    def is_wanted(self, near: Displacements, sources: SourceCatalog) -> bool:
        """Return whether the first search missed many of the sources that stand out.

        Parameters
        ----------
        near : Displacements
            As the first search found them.
        sources : SourceCatalog
            Has all their ids.
        """
        flags = self._flags(near, sources)
        missed = ((flags & _MISSED) > 0) & (flags & ~(_MISSED | _FOLLOWS) == 0)
        return self._are_many(missed, missed | (flags == 0))

    def is_right(self, far: Displacements, sources: SourceCatalog, near_px: float) -> bool:
        """Return whether the second search found many of them beyond the radius of the first."""
        found = self._flags(far, sources) == 0
        away = np.maximum(np.abs(far.dx), np.abs(far.dy)) > near_px
        return self._are_many(found & away, found)

    def _flags(self, measured: Displacements, sources: SourceCatalog) -> IntArray:
        """Return the flags of sources, that they are held out not among them; -1 of faint ones."""
        snr = np.nan_to_num(sources.snr[np.searchsorted(sources.id, measured.source)])
        stands_out = snr**2 * np.nan_to_num(measured.weight_share) >= self.least_snr**2
        return np.where(stands_out, measured.flags & ~int(DisplacementFlag.HELD_OUT), -1)

    def _are_many(self, some: BoolArray, of: BoolArray) -> bool:
        """Return whether some are many of others, of which there are any."""
        return bool(some.any() and some.sum() >= self.part * of.sum())


@dataclass(frozen=True, slots=True)
class Search:
    """How far a pass looks for sources.

    Parameters
    ----------
    radius_px : int
    farther : FartherSearch or None
        What where that is not far enough; None: it is as far as may be.
    """

    radius_px: int
    farther: FartherSearch | None


def search_after(movement_px: float, largest_px: int) -> Search:
    """Return how far sources are looked for: as far as headers may be wrong, then less.

    What is still wrong is smaller than the last movement. A wide search finds peaks of the noise
    for faint sources, other ones in each pass, so that the loop never comes to rest; and each pixel
    costs a measurement 2 to 4 %.

    Parameters
    ----------
    movement_px : float
        The largest of the last pass; infinite before there was one.
    largest_px : int
        How far headers may be wrong.
    """
    if math.isinf(movement_px):
        return Search(largest_px, None)
    moved_px = min(_NEAR_PX, 1 + math.ceil(movement_px))
    radius_px = min(largest_px, max(_LEAST_PX, moved_px))
    return Search(radius_px, FartherSearch(largest_px) if radius_px < largest_px else None)
