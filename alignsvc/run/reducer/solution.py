"""What a solve says of the exposures that took part: the joint one, or one for each alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ChipApart, FitQuality
from alignsvc.io.journal import ExposureEnded
from alignsvc.numerics.solve.movement import Moved, movement_px
from alignsvc.reasons import SkipReason
from alignsvc.run.planning.plan import PlannedExposure


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What a solve says of the exposures that took part.

    Parameters
    ----------
    corrections : mapping of exposure id to Correction
        The new totals.
    quality : mapping of exposure id to FitQuality
    moves_px : mapping of exposure id to float
        Largest movement anywhere in the footprint, whatever the gauge did.
    component : mapping of exposure id to int
        By the sources really shared.
    ended : tuple of ExposureEnded
        Exposures that could not be solved.
    moving : tuple of int
        Ids of sources that move, and were left out for it.
    chips : mapping of exposure id to ChipShifts
        Where chips have offsets.
    chip_notes : tuple of str
        What was found of single chips.
    colour_terms : mapping of exposure id to ColourTerm
        Of all exposures that took part, where colours are known.
    chips_apart : mapping of exposure id to tuple of ChipApart
        Where chips stand elsewhere, and have no offsets.
    floors_arcsec : mapping of exposure id to float
        What its sources, or those of all, disagree by on top of their errors.
    """

    corrections: Mapping[str, Correction]
    quality: Mapping[str, FitQuality]
    moves_px: Mapping[str, float]
    component: Mapping[str, int]
    ended: tuple[ExposureEnded, ...]
    moving: tuple[int, ...] = ()
    chips: Mapping[str, ChipShifts] = field(default_factory=dict)
    chip_notes: tuple[str, ...] = ()
    colour_terms: Mapping[str, ColourTerm] = field(default_factory=dict)
    chips_apart: Mapping[str, tuple[ChipApart, ...]] = field(default_factory=dict)
    floors_arcsec: Mapping[str, float] = field(default_factory=dict)

    def joined(self, other: Solution) -> Solution:
        """Return both; of exposures in both, what `other` says."""
        return Solution(
            {**self.corrections, **other.corrections},
            {**self.quality, **other.quality},
            {**self.moves_px, **other.moves_px},
            {**self.component, **other.component},
            (*self.ended, *other.ended),
            (*self.moving, *other.moving),
            {**self.chips, **other.chips},
            (*self.chip_notes, *other.chip_notes),
            {**self.colour_terms, **other.colour_terms},
            {**self.chips_apart, **other.chips_apart},
            {**self.floors_arcsec, **other.floors_arcsec},
        )


NOTHING_SOLVED = Solution({}, {}, {}, {}, ())


def largest_move_px(
    exposure: PlannedExposure, old: Sequence[Correction], new: Sequence[Correction]
) -> float:
    """Return the largest movement over all chips, each with its correction, in their pixels."""
    return max(
        movement_px(Moved(wcs, before), Moved(wcs, after), wcs.shape)
        for wcs, before, after in zip(exposure.header.wcs, old, new, strict=True)
    )


def skipped(exposure: str, reason: SkipReason, message: str) -> ExposureEnded:
    """Return the end of an exposure that could not be solved."""
    return ExposureEnded(exposure, Status.SKIPPED, reason.value, f"exposure {exposure}: {message}")
