"""From a mosaic to the sources that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import PixelBox, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.sources import LabelledSources
from alignsvc.domain.task import TableRef
from alignsvc.io.catalogs import UserCatalog, read_user_catalog
from alignsvc.io.journal import SourcesFound
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.places import Place, place_of
from alignsvc.io.table_cells import Cells, write_cells
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.sources.filters import apply_filters, strongest
from alignsvc.numerics.sources.matching import (
    NumberedSources,
    inherit_ids,
    number_sources,
)
from alignsvc.numerics.sources.mosaic_background import CellStatistics
from alignsvc.run.planning.named_files import source_mask
from alignsvc.run.stages.mosaicking import Mosaic, PartsNear
from alignsvc.run.stages.running import Tools, digest_of_checksums, run_required
from alignsvc.tasks.detect import (
    BackgroundTask,
    DetectTask,
    TileView,
    WantedPositions,
    read_sources,
)
from alignsvc.tasks.sources_at_hand import all_sources


@dataclass(frozen=True, slots=True)
class SourceTables:
    """The catalogue of a run, in the store.

    Parameters
    ----------
    found : TableRef
        `SourceCatalog` of all sources.
    chosen : TableRef
        `LabelledSources` in cells: those that the filters leave.
    next_id : int
        The first id that was never given.
    n_chosen : int
    kinds : TableRef or None
        `SourceKinds` of the chosen in cells; None: nobody asked what they are.
    n_galaxies, n_companions : int
        In that table.
    """

    found: TableRef
    chosen: TableRef
    next_id: int
    n_chosen: int
    kinds: TableRef | None = None
    n_galaxies: int = 0
    n_companions: int = 0

    def as_event(self, pass_number: int) -> SourcesFound:
        """Return what the journal keeps of it."""
        return SourcesFound(
            pass_number,
            self.found,
            self.chosen,
            self.next_id,
            self.n_chosen,
            self.kinds,
            self.n_galaxies,
            self.n_companions,
        )

    @classmethod
    def from_event(cls, event: SourcesFound) -> SourceTables:
        """Return the tables that the journal tells of."""
        return cls(
            event.found,
            event.chosen,
            event.next_id,
            event.n_chosen,
            event.kinds,
            event.n_galaxies,
            event.n_companions,
        )


def find_sources(
    tools: Tools, pass_number: int, mosaic: Mosaic, before: SourceTables | None
) -> SourceTables:
    """Detect sources on all grids, number them, choose among them, and store all that.

    Parameters
    ----------
    tools : Tools
    pass_number : int
    mosaic : Mosaic
    before : SourceTables or None
        Of an earlier pass: the same sources keep their ids.
    """
    tasks = detect_tasks(tools, pass_number, mosaic)
    outcomes = run_required(tools, "detect", pass_number, tasks)
    parts = [read_sources(tools.run, TableRef(o.product, o.checksum)) for o in outcomes]
    numbered = number_sources(parts)
    if before is not None:
        known = read_sources(tools.run, before.found)
        numbered = inherit_ids(numbered, known, before.next_id)
    return _stored(tools, numbered, outcomes)


def detect_tasks(tools: Tools, pass_number: int, mosaic: Mosaic) -> list[DetectTask]:
    """Return what detects the sources of each tile, with the background measured for it."""
    detector = tools.plan.algorithms.detector
    backgrounds = backgrounds_of(tools, pass_number, mosaic)
    wanted = _wanted(tools)
    return [
        DetectTask(
            view,
            detector,
            backgrounds[view.grid.component],
            _of(wanted, view),
        )
        for view in tile_views(tools, mosaic, detector)
    ]


def chosen_sources(tools: Tools, tables: SourceTables) -> LabelledSources:
    """Return the sources that are measured, all of them."""
    return all_sources(tools.run, tables.chosen)


class NeedsBox(Protocol):
    """What works on a tile and needs pixels around it."""

    def box_for(self, core: PixelBox, grid: MosaicGrid) -> PixelBox:
        """Return the pixels that are needed for those of `core`."""
        ...


def tile_views(tools: Tools, mosaic: Mosaic, needs: NeedsBox) -> list[TileView]:
    """Return the tiles of the mosaic, with the contributions to all that is needed of each."""
    by_component, near = mosaic.checksums_by_component(), PartsNear(mosaic)
    checksums = {
        grid.component: digest_of(by_component.get(grid.component, ())) for grid in tools.plan.grids
    }
    return [
        TileView(
            tools.run,
            grid,
            tile,
            mosaic.generation,
            checksums[grid.component],
            near.within(grid, needs.box_for(grid.tile_box(tile), grid)),
        )
        for grid in tools.plan.grids
        for tile in tools.plan.tiles_made(grid)
    ]


def background_tasks(tools: Tools, mosaic: Mosaic) -> list[BackgroundTask]:
    """Return what measures the mesh of each tile."""
    mesh = tools.plan.algorithms.mesh
    return [BackgroundTask(view, mesh) for view in tile_views(tools, mosaic, mesh)]


def backgrounds_of(tools: Tools, pass_number: int, mosaic: Mosaic) -> dict[int, TableRef]:
    """Measure the background of every grid; return the table of each component's."""
    mesh, objects = tools.plan.algorithms.mesh, RunLocations(tools.run).objects
    tasks = background_tasks(tools, mosaic)
    outcomes = run_required(tools, "background", pass_number, tasks)
    tables = {}
    for grid in tools.plan.grids:
        own = [
            outcome
            for task, outcome in zip(tasks, outcomes, strict=True)
            if task.view.grid.component == grid.component
        ]
        cells = [read_table(objects, o.product, CellStatistics, o.checksum) for o in own]
        name = f"{TABLES}background/{digest_of_checksums(own)}-grid.npz"
        checksum = write_table(objects, name, mesh.assembled(cells, grid))
        tables[grid.component] = TableRef(name, checksum)
    return tables


def _wanted(tools: Tools) -> dict[int, TableRef] | None:
    """Store where a user's sources lie on each grid; None if the configuration names none."""
    detection = tools.plan.config.detection
    if detection.catalog is None:
        return None
    catalog = read_user_catalog(place_of(detection.catalog), detection.weight_column)
    return {grid.component: _store_wanted(tools.run, catalog, grid) for grid in tools.plan.grids}


def _store_wanted(run: Place, catalog: UserCatalog, grid: MosaicGrid) -> TableRef:
    pixel = grid.pixel_from_sky(catalog.sky)
    inside = np.isfinite(pixel.x) & np.isfinite(pixel.y)
    positions = WantedPositions(pixel.x[inside], pixel.y[inside], catalog.weight[inside])
    digest = digest_of(positions.x, positions.y, positions.weight)
    name = f"{TABLES}wanted/{digest}.npz"
    return TableRef(name, write_table(RunLocations(run).objects, name, positions))


def _of(wanted: dict[int, TableRef] | None, view: TileView) -> TableRef | None:
    return None if wanted is None else wanted[view.grid.component]


def _unmasked(tools: Tools, found: LabelledSources) -> LabelledSources:
    """Return the sources that the configuration's mask does not hide."""
    mask = source_mask(tools.plan.config)
    return found if mask is None else found.select(~mask.hides(SkyPoints(found.ra, found.dec)))


def _stored(
    tools: Tools, numbered: NumberedSources, outcomes: Sequence[TaskOutcome]
) -> SourceTables:
    algorithms, objects = tools.plan.algorithms, RunLocations(tools.run).objects
    labelled = LabelledSources.of(numbered.catalog, numbered.segment)
    chosen = apply_filters(_unmasked(tools, labelled), algorithms.filters)
    if algorithms.max_sources is not None:
        chosen = strongest(chosen, algorithms.max_sources)
    digest = digest_of(digest_of_checksums(outcomes), numbered.catalog.id)
    name = f"{TABLES}sources/{digest}-found.npz"
    found = TableRef(name, write_table(objects, name, numbered.catalog))
    cells = Cells.of(chosen.component, chosen.x, chosen.y)
    parts = [chosen.select(rows) for rows in cells.members()]
    in_cells = write_cells(objects, f"{TABLES}sources/{digest}-chosen.npz", cells, parts)
    return SourceTables(found, in_cells, numbered.next_id, len(chosen))
