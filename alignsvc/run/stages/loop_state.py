"""Where the loop stands between two passes, or between two colours of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from alignsvc.domain.chip_shifts import ChipShifts, ShiftsOfChips
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import AS_RECORDED, ExposureLevel
from alignsvc.domain.result import ChipApart, FitQuality
from alignsvc.domain.task import TableRef
from alignsvc.io.journal import ExposureEnded
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.cataloguing import SourceTables
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.run.stages.standing import Standing


@dataclass(frozen=True, slots=True)
class PassSettings:
    """A pass by number, and whether sources are detected anew in it."""

    number: int
    is_full: bool


@dataclass(frozen=True, slots=True)
class KnownRays:
    """The cosmic rays of an exposure (`RayPixels`), and the pass in which they were found."""

    table: TableRef
    pass_number: int


@dataclass(frozen=True, slots=True, eq=False)
class LoopState:
    """All that the next pass follows from, and nothing that it does not follow from.

    Parameters
    ----------
    corrections : mapping of exposure id to Correction
        Totals, of all exposures that were ever in the loop.
    pass_start : mapping of exposure id to Correction
        The totals with which the present pass began; those of the last one between passes.
    quality : mapping of exposure id to FitQuality
    moves_px : mapping of exposure id to float
        In the present pass, as far as it is solved; in the last one between passes.
    last_movement_px : float
        The largest movement of the last whole pass; infinite before there is one.
    component : mapping of exposure id to int
    ended : mapping of exposure id to ExposureEnded
    passes : mapping of exposure id to int
        In how many passes it was solved.
    displacements : mapping of exposure id to str
        Names of the tables of the last measurement.
    factors : mapping of exposure id to str
        Names of the tables of what it gave to the solve.
    moving : tuple of int
        Ids of sources that the last solve left out because they move.
    rays : mapping of exposure id to KnownRays
        Cosmic rays, as they were found last.
    chips : mapping of exposure id to ChipShifts
        Of exposures whose chips have offsets.
    chips_at_start : mapping of exposure id to ChipShifts
        Those with which the present pass began.
    chip_notes : tuple of str
        What the last solve found of single chips.
    levels : mapping of exposure id to ExposureLevel
        Flux scales and skies, where the others have corrected them.
    colour_terms : mapping of exposure id to ColourTerm
        As the last solve found them, where it looked for any.
    chips_apart : mapping of exposure id to tuple of ChipApart
        Of exposures that the last solve found to have such chips.
    floors_arcsec : mapping of exposure id to float
        What sources disagree by on top of their errors, as the last solve found it.
    sources : SourceTables or None
    mosaic : Mosaic or None
        The published one.
    """

    corrections: Mapping[str, Correction]
    pass_start: Mapping[str, Correction]
    quality: Mapping[str, FitQuality] = field(default_factory=dict)
    moves_px: Mapping[str, float] = field(default_factory=dict)
    last_movement_px: float = math.inf
    component: Mapping[str, int] = field(default_factory=dict)
    ended: Mapping[str, ExposureEnded] = field(default_factory=dict)
    passes: Mapping[str, int] = field(default_factory=dict)
    displacements: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, str] = field(default_factory=dict)
    moving: tuple[int, ...] = ()
    rays: Mapping[str, KnownRays] = field(default_factory=dict)
    chips: Mapping[str, ChipShifts] = field(default_factory=dict)
    chips_at_start: Mapping[str, ChipShifts] = field(default_factory=dict)
    chip_notes: tuple[str, ...] = ()
    levels: Mapping[str, ExposureLevel] = field(default_factory=dict)
    colour_terms: Mapping[str, ColourTerm] = field(default_factory=dict)
    chips_apart: Mapping[str, tuple[ChipApart, ...]] = field(default_factory=dict)
    floors_arcsec: Mapping[str, float] = field(default_factory=dict)
    sources: SourceTables | None = None
    mosaic: Mosaic | None = None

    @classmethod
    def at_start(cls, exposures: Sequence[PlannedExposure], geometry: Geometry) -> LoopState:
        """Return the state before the first pass: as headers, matches or an earlier run have it."""
        start = {one.id: one.begin(geometry) for one in exposures}
        known = {one.id: one.known for one in exposures if one.known is not None}
        rays = {name: KnownRays(one.rays, 0) for name, one in known.items() if one.rays is not None}
        shifts = {name: one.chip_shifts for name, one in known.items()}
        chips = {name: found for name, found in shifts.items() if found is not None}
        levels = {name: one.level for name, one in known.items() if one.level != AS_RECORDED}
        return cls(start, start, rays=rays, chips=chips, chips_at_start=chips, levels=levels)

    @property
    def movement_px(self) -> float:
        """The largest movement of the last pass, over the exposures solved in it."""
        return max(self.moves_px.values(), default=0.0)

    @property
    def next_generation(self) -> int:
        """Number of the mosaic that is made next: it follows from the passes, not from a disk."""
        return 1 if self.mosaic is None else self.mosaic.generation + 1

    def standing_of(self, exposure: str) -> Standing:
        """Return all that was found of an exposure, and that its pixels are placed by."""
        rays = self.rays.get(exposure)
        return Standing(
            self.corrections[exposure],
            self.chip_shifts_of(exposure),
            self.level_of(exposure),
            None if rays is None else rays.table,
        )

    def chip_shifts_of(self, exposure: str) -> ShiftsOfChips:
        """Return how the chips of an exposure are shifted; empty if none is."""
        found = self.chips.get(exposure)
        return () if found is None else found.plain

    def level_of(self, exposure: str) -> ExposureLevel:
        """Return how flux scale and sky of an exposure are corrected."""
        return self.levels.get(exposure, AS_RECORDED)

    def going(self, exposures: Sequence[PlannedExposure]) -> tuple[PlannedExposure, ...]:
        """Return the exposures that have not ended."""
        return tuple(one for one in exposures if one.id not in self.ended)

    def without(self, ended: Sequence[ExposureEnded]) -> LoopState:
        """Return the state after some exposures have ended."""
        return replace(self, ended={**self.ended, **{end.exposure: end for end in ended}})
