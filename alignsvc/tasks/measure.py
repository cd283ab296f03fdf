"""Displacements of one exposure against the mosaic of all the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.displacement.blots import Reference
from alignsvc.numerics.displacement.measure import ChipView, CorrelationMeasurement
from alignsvc.numerics.resampling.coadd import leave_one_out
from alignsvc.numerics.resampling.grid_units import chip_box
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces, weighted_by_source
from alignsvc.numerics.sources.matching import SegmentIds, final_segmentation
from alignsvc.numerics.sources.selection import held_out
from alignsvc.tasks.merge import Part, mosaic_store
from alignsvc.tasks.placed import ExposureView, PlacedChip, place
from alignsvc.tasks.resample import contribution_store

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
        Of the `SourceCatalog`.
    held_out : float
        Fraction of the sources that is kept out of the fit, to test it.
    segments : TableRef or None
        Of the `SegmentIds`: pixels that belong to other sources are masked; None = they are not.
    """

    table: TableRef
    held_out: float
    segments: TableRef | None


@dataclass(frozen=True, slots=True)
class MeasureTask:
    """Measure an exposure; products: its `Displacements` and its `Factors`.

    Parameters
    ----------
    run : Path
        The run directory.
    view : ExposureView
    mosaic : MosaicPart
    sources : SourceChoice
    measurement : CorrelationMeasurement
    factors : FactorBuilder
        Of the exposure's plane.
    against_all : bool
        Whether factors are offsets from the mosaic of all exposures (the global solve) or of
        the others (the independent one).
    """

    run: Path
    view: ExposureView
    mosaic: MosaicPart
    sources: SourceChoice
    measurement: CorrelationMeasurement
    factors: FactorBuilder
    against_all: bool

    @property
    def key(self) -> TaskKey:
        """Identity: the exposure's state, the mosaic around it, the sources, the settings."""
        mosaic = (self.mosaic.tiles, self.mosaic.own)
        settings = (self.measurement, self.factors, self.against_all)
        digest = digest_of("measure", self.view, mosaic, self.sources, settings)
        return TaskKey("measure", self.view.exposure.id, digest)

    def __call__(self) -> TaskOutcome:
        """Write displacements, then factors."""
        objects = RunLocations(self.run).objects
        table = self.sources.table
        sources = read_table(objects, table.name, SourceCatalog, table.checksum)
        sources = sources.select(sources.component == self.view.grid.component)
        measured, places = self._measured(sources)
        build = self.factors.to_mosaic if self.against_all else self.factors.to_others
        factors = weighted_by_source(build(0, measured, places), sources.id, sources.weight)
        write_table(objects, displacements_name(self.key), measured)
        name = factors_name(self.key)
        checksum = write_table(objects, name, factors)
        counts = (("measured", float(len(measured))), ("usable", float(factors.use.sum())))
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum, facts=counts)

    def _measured(self, sources: SourceCatalog) -> tuple[Displacements, GridPlaces]:
        """Return the displacements of all chips, and where they lie on the grid."""
        held = sources.id[held_out(sources.id, self.sources.held_out)]
        found: list[Displacements] = []
        slopes: list[FloatArray] = []
        places: list[Points] = []
        for index, chip in enumerate(self.view.read().chips):
            if chip.mask.all():
                continue
            placed = place(self.view, chip)
            seen = ChipView(placed.chip, placed.pixel_map, index)
            measured = self.measurement(seen, self._reference(placed), sources)
            flags = measured.flags | np.where(
                np.isin(measured.source, held), int(DisplacementFlag.HELD_OUT), 0
            )
            found.append(replace(measured, flags=flags))
            where = Points(measured.x, measured.y)
            places.append(placed.pixel_map.to_grid(where))
            slopes.append(placed.pixel_map.jacobian(where))
        position = Points(
            np.concatenate([p.x for p in places]), np.concatenate([p.y for p in places])
        )
        return Displacements.concatenate(found), GridPlaces(position, np.concatenate(slopes))

    def _reference(self, placed: PlacedChip) -> Reference:
        """Return the mosaic of all the others around a chip."""
        store, component = mosaic_store(self.run), self.view.grid.component
        box = chip_box(placed.pixel_map, REACH_PX).intersect(self.view.grid.box)
        total = store.read(self.mosaic.generation, component, box)
        own = contribution_store(self.run).read(self.mosaic.own.name, box)
        segmentation = None
        if self.sources.segments is not None:
            table = self.sources.segments
            ids = read_table(RunLocations(self.run).objects, table.name, SegmentIds, table.checksum)
            labels = store.read_segmentation(self.mosaic.generation, component, box)
            segmentation = final_segmentation(labels, ids, component)
        return Reference.build(leave_one_out(total, own), own, segmentation)


def displacements_name(key: TaskKey) -> str:
    """Return the name of the displacements that a measurement leaves."""
    return f"{TABLES}{key.stage}/{key.digest}-displacements.npz"


def factors_name(key: TaskKey) -> str:
    """Return the name of the factors that a measurement leaves."""
    return f"{TABLES}{key.stage}/{key.digest}-factors.npz"
