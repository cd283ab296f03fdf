"""Ways to place sources by an exposure's own pixels alone, once the chip has taught them its stars.

The displacement is from the place X in the catalogue, which is the same for all exposures: what is
wrong with X is taken up by the source's latent offset in the joint solve.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.displacement.fitting.refine import Refined
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.stars.sharp_stars import StarClass
from alignsvc.numerics.displacement.windows.chip_view import ChipView, Targets
from alignsvc.numerics.displacement.windows.pairs import PairStack


class LearntStars(Protocol):
    """What the stars of a chip have taught."""

    @property
    def has_profile(self) -> bool:
        """Whether they have: otherwise something else takes the place of their profile."""
        ...

    def measured(
        self, refined: Refined, pairs: PairStack, start: Points, source: IntArray
    ) -> Refined:
        """Return displacements in which those of its sources are from the catalogue's places.

        Parameters
        ----------
        refined : Refined
            What stays for all else.
        pairs : PairStack
        start : Points, shape (n,)
            Finite.
        source : int64 array, shape (n,)
            Ids of the pairs.
        """
        ...

    def pictured(self, pairs: PairStack, measured: Displacements) -> Float32Array:
        """Return what the profile says of boxes, shape (n, side, side), for people to look at.

        The source where it was found, with the flux and the sky that fit best there, and its
        neighbours. NaN where a source is not placed by a profile, or has no displacement.

        Parameters
        ----------
        pairs : PairStack
            Boxes that have not been moved.
        measured : Displacements
            Of the same sources.
        """
        ...


class StarMethod(Protocol):
    """How stars are told and what is made of them; a frozen dataclass."""

    def knowing(self, kinds: SourceKinds | None) -> StarMethod:
        """Return the same method with what the mosaic tells of sources, if anybody asked it."""
        ...

    def told_by(self, sources: SourceCatalog) -> StarMethod:
        """Return the same method with what all sources of a component say of its stars."""
        ...

    def among(self, sources: SourceCatalog, grid_per_chip_px: float) -> StarClass | None:
        """Return the stars; None: there are none that the method is for.

        If all sources of the component have told of its stars, a source is one or not whatever
        others are given; otherwise those that are given tell.
        """
        ...

    def brightest(self, snr: FloatArray) -> IntArray:
        """Return the indices of the calibrators that are used, ascending."""
        ...

    def learnt(
        self, chosen: StarClass, stars: Sequence[KnownStars], view: ChipView, targets: Targets
    ) -> LearntStars:
        """Return what a chip's calibrators teach.

        Parameters
        ----------
        chosen : StarClass
        stars : sequence of KnownStars
            The calibrators; there may be none.
        view : ChipView
        targets : Targets
            All sources of the chip.
        """
        ...
