"""Displacements of one exposure against the mosaic of all the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.domain.sources import LabelledSources
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.receipts import product_is_whole
from alignsvc.io.tables import table_is_whole, write_table
from alignsvc.numerics.displacement.farther import FartherSearch
from alignsvc.numerics.displacement.measure import ChipDisplacements, CorrelationMeasurement
from alignsvc.numerics.displacement.pictured import Pictured
from alignsvc.numerics.displacement.windows.blots import Reference
from alignsvc.numerics.displacement.windows.chip_view import ChipView
from alignsvc.numerics.displacement.worst_sources import WorstSources
from alignsvc.numerics.resampling.grid_units import chip_box
from alignsvc.numerics.resampling.others import Others
from alignsvc.numerics.sky.pixel_map import PixelMap
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces, weighted_by_source
from alignsvc.numerics.sources.level_measurement import LevelMeasurement, MeasuredLevels
from alignsvc.numerics.sources.segmentation import Segmentation
from alignsvc.numerics.sources.selection import HoldOut
from alignsvc.tasks.diagnostics import (
    SourcePlaces,
    diagnostics_are_whole,
    told_as_missing,
    write_diagnostics,
    write_pixels,
)
from alignsvc.tasks.merge import Part
from alignsvc.tasks.mosaic_at_hand import mosaic_at_hand
from alignsvc.tasks.placed import ExposureView
from alignsvc.tasks.resample import contribution_store
from alignsvc.tasks.sources_at_hand import kinds_near, sources_near

#: The fact of how many of an exposure's chips had too few stars for a profile to place them by.
WITHOUT_PROFILE = "without_profile"
#: The fact of how many of them had their sources farther away than they were looked for first.
FARTHER_AWAY = "farther_away"
#: Pixels of the mosaic read around a chip: room for cutouts at its edge, and the search.
REACH_PX = 64


@dataclass(frozen=True, slots=True)
class MosaicPart:
    """The mosaic as an exposure sees it.

    Parameters
    ----------
    generation : int
    tiles : tuple of str
        Checksums of the tiles in reach of the exposure.
    own : Part
        What the exposure itself gave to it.
    """

    generation: int
    tiles: tuple[str, ...]
    own: Part


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """Which sources are measured, and which of them are kept out of the fit.

    Parameters
    ----------
    table : TableRef
        Of `LabelledSources` in cells.
    hold_out : HoldOut
    uses_segments : bool
        Whether pixels that belong to other sources are masked.
    kinds : TableRef or None
        Of `SourceKinds` in cells: what the mosaic tells of the sources; None = nobody asked it.
    """

    table: TableRef
    hold_out: HoldOut
    uses_segments: bool
    kinds: TableRef | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _ChipMeasured:
    """What one chip measured, where on the grid, and what is kept for people."""

    sources: LabelledSources
    displacements: Displacements
    places: GridPlaces
    pictured: Pictured
    levels: MeasuredLevels
    lacks_profile: bool
    is_farther: bool
    index: int
    shape: tuple[int, int]


class _Around(NamedTuple):
    """The mosaic of all the others around a chip, and how bright the exposure is beside it."""

    reference: Reference
    levels: MeasuredLevels


@dataclass(frozen=True)
class MeasureTask:
    """Measure an exposure; products: its `Displacements`, `MeasuredLevels` and `Factors`.

    Parameters
    ----------
    run : Place
        The run directory.
    view : ExposureView
    mosaic : MosaicPart
    sources : SourceChoice
    measurement : CorrelationMeasurement
        Told by all sources of the component: the task sees those near the exposure.
    factors : FactorBuilder
        Of the exposure's plane.
    against_all : bool
        Whether factors are offsets from the mosaic of all exposures (the global solve) or of
        the others (the independent one).
    levels : LevelMeasurement or None
        How its flux scale and sky are compared with the others'; None: they are not.
    farther : FartherSearch or None
        When a chip's sources are looked for farther away than the measurement does; None: never.
    history : str
        Where displacements and the pixels of the worst sources are kept for people: the names of
        these files begin so. Empty = nowhere. No part of the key, as no number depends on it.
    room_bytes : int
        How much these pixels may take; 0 = none are kept. No part of the key either.
    """

    run: Place
    view: ExposureView
    mosaic: MosaicPart
    sources: SourceChoice
    measurement: CorrelationMeasurement
    factors: FactorBuilder
    against_all: bool
    levels: LevelMeasurement | None = None
    farther: FartherSearch | None = None
    history: str = ""
    room_bytes: int = 0

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the exposure's state, the mosaic around it, the sources, the settings."""
        mosaic = (self.mosaic.tiles, self.mosaic.own)
        how = (self.measurement, self.farther, self.levels)
        settings = (how, self.factors, self.against_all)
        digest = digest_of("measure", self.view, mosaic, self.sources, settings)
        return TaskKey("measure", self.view.exposure.id, digest)

    @property
    def exposure_read(self) -> ExposureRef:
        """What it reads the pixels of."""
        return self.view.exposure

    def __call__(self) -> TaskOutcome:
        """Write what is kept for people, then displacements and levels, then factors."""
        objects = RunLocations(self.run).products
        found = [self._seen(chip) for chip in self._chips()]
        measured = Displacements.concatenate([one.displacements for one in found])
        sources = _all_sources(found)
        build = self.factors.to_mosaic if self.against_all else self.factors.to_others
        factors = build(0, measured, _all_places(found))
        factors = weighted_by_source(factors, sources.id, sources.weight)
        missing = ""
        if self.history:
            with told_as_missing() as trouble:
                self._write_diagnostics(sources, measured, found)
            missing = "; ".join(trouble)
        write_table(objects, displacements_name(self.key), measured)
        if self.levels is not None:
            levels = MeasuredLevels.concatenate([one.levels for one in found])
            write_table(objects, levels_name(self.key), levels)
        name = factors_name(self.key)
        checksum = write_table(objects, name, factors)
        counts = (
            ("measured", float(len(measured))),
            ("usable", float(factors.use.sum())),
            (WITHOUT_PROFILE, float(sum(one.lacks_profile for one in found))),
            (FARTHER_AWAY, float(sum(one.is_farther for one in found))),
        )
        return TaskOutcome(self.key, TaskStatus.OK, "", missing, name, checksum, counts)

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether all tables, and what was asked to be kept for people, are in the store.

        What could not be kept is not asked for again: where it is missing, the outcome says why.
        """
        objects = RunLocations(self.run).objects
        tables: list[tuple[str, type]] = [(displacements_name(self.key), Displacements)]
        if self.levels is not None:
            tables.append((levels_name(self.key), MeasuredLevels))
        return (
            product_is_whole(objects, outcome)
            and all(table_is_whole(objects, name, type_) for name, type_ in tables)
            and (
                not self.history
                or bool(outcome.message)
                or diagnostics_are_whole(objects, self.history, self.room_bytes)
            )
        )

    def _write_diagnostics(
        self, sources: LabelledSources, measured: Displacements, found: Sequence[_ChipMeasured]
    ) -> None:
        """Write what is kept for people."""
        objects = RunLocations(self.run).objects
        snr = np.nan_to_num(sources.snr[np.searchsorted(sources.id, measured.source)])
        shapes = np.zeros((len(self.view.exposure.chips), 2), np.int64)
        for one in found:
            shapes[one.index] = one.shape
        places = SourcePlaces.of(self.factors, _all_places(found), snr, shapes)
        write_diagnostics(objects, self.history, (measured, places))
        if self.room_bytes:
            seen = Pictured.joined([one.pictured for one in found])
            write_pixels(objects, self.history, seen, self.room_bytes)

    def _chips(self) -> Iterator[ChipView]:
        for one in self.view.placed(self.run, self.view.known_rays(self.run)):
            yield ChipView(one.chip, one.pixel_map, one.index)

    def _seen(self, chip: ChipView) -> _ChipMeasured:
        """Return the displacements of a chip, and where they lie on the grid."""
        # A pixel more, so that none is missed that is half a pixel from where all ends.
        near, component = chip_box(chip.pixel_map, REACH_PX + 1), self.view.grid.component
        sources = sources_near(self.run, self.sources.table, component, near)
        method = self.measurement
        if self.sources.kinds is not None:
            method = method.knowing(kinds_near(self.run, self.sources.kinds, component, near))
        held = sources.id[self.sources.hold_out(sources.id, sources.snr)]
        reference, levels = self._around(chip.pixel_map, sources)
        on_chip = self._on_chip(method, chip, reference, sources)
        measured = on_chip.displacements
        is_held = np.isin(measured.source, held)
        flags = measured.flags | np.where(is_held, int(DisplacementFlag.HELD_OUT), 0)
        where = Points(measured.x, measured.y)
        places = GridPlaces(chip.pixel_map.to_grid(where), chip.pixel_map.jacobian(where))
        if self.levels is not None:
            sound = measured.source[measured.flags == DisplacementFlag.GOOD]
            levels = self.levels.chosen(levels, sources.select(np.isin(sources.id, sound)))
        return _ChipMeasured(
            sources,
            replace(measured, flags=flags),
            places,
            on_chip.pictured,
            levels,
            on_chip.lacks_profile,
            on_chip.searched_px != method.sizes.search_radius_px,
            chip.index,
            chip.chip.shape,
        )

    def _on_chip(
        self,
        method: CorrelationMeasurement,
        chip: ChipView,
        reference: Reference,
        sources: LabelledSources,
    ) -> ChipDisplacements:
        """Return what a chip measured, searched as far as it needs."""

        def measured(method: CorrelationMeasurement) -> ChipDisplacements:
            return self._searched(method, chip, reference, sources)

        if self.farther is None:
            return measured(method)
        return self.farther(measured, method, sources)

    def _searched(
        self,
        method: CorrelationMeasurement,
        chip: ChipView,
        reference: Reference,
        sources: LabelledSources,
    ) -> ChipDisplacements:
        """Return what a chip measured, with the pixels of its worst sources where they are kept."""
        if self.history and self.room_bytes:
            try:
                return method.on_chip(chip, reference, sources, WorstSources())
            except (ArithmeticError, LookupError, MemoryError, ValueError):
                # What is only shown may not cost a run its exposure. If it was the measurement
                # itself, that fails again without it.
                pass
        return method.on_chip(chip, reference, sources)

    def _around(self, pixel_map: PixelMap, sources: LabelledSources) -> _Around:
        """Return the mosaic of all the others around a chip, and the exposure's levels there."""
        store, component = mosaic_at_hand(self.run), self.view.grid.component
        generation = self.mosaic.generation
        box = chip_box(pixel_map, REACH_PX).intersect(self.view.grid.box)
        segmentation = None
        if self.sources.uses_segments:
            label = store.read_segmentation(generation, component, box)
            segmentation = Segmentation(label, sources.id, sources.segment)
        levels = None
        if self.levels is not None:
            levels = self.levels.begun(box, sources, segmentation)
        own = contribution_store(self.run).bands(self.mosaic.own.name, box)
        tiles = store.tiles_in(generation, component, box)
        others = Others.of(tiles, own, box, None if levels is None else levels.look)
        measured = MeasuredLevels.concatenate([]) if levels is None else levels.found()
        return _Around(Reference.build(others, segmentation), measured)


def displacements_name(key: TaskKey) -> str:
    """Return the name of the displacements that a measurement leaves."""
    return f"{TABLES}{key.stage}/{key.digest}-displacements.npz"


def key_of(exposure: str, displacements: str) -> TaskKey:
    """Return the key of the measurement of an exposure that left displacements of this name."""
    digest = displacements.rpartition("/")[2].partition("-")[0]
    return TaskKey("measure", exposure, digest)


def levels_name(key: TaskKey) -> str:
    """Return the name of the levels that a measurement leaves."""
    return f"{TABLES}{key.stage}/{key.digest}-levels.npz"


def factors_name(key: TaskKey) -> str:
    """Return the name of the factors that a measurement leaves."""
    return f"{TABLES}{key.stage}/{key.digest}-factors.npz"


def _all_sources(found: Sequence[_ChipMeasured]) -> LabelledSources:
    """Return the sources near any chip, by their ids."""
    sources = LabelledSources.concatenate([one.sources for one in found])
    return sources.select(np.unique(sources.id, return_index=True)[1])


def _all_places(found: Sequence[_ChipMeasured]) -> GridPlaces:
    """Return the places of all chips' sources, chip after chip."""
    places = [one.places for one in found]
    position = Points(
        np.concatenate([p.position.x for p in places]),
        np.concatenate([p.position.y for p in places]),
    )
    return GridPlaces(position, np.concatenate([p.jacobian for p in places]))
