"""A survey of any size, as the driver sees it: the real plan, and a mosaic that nobody made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.correction import Geometry
from alignsvc.domain.digest import digest_of
from alignsvc.domain.grid import TileId
from alignsvc.domain.outcome import TaskKey, TaskOutcome
from alignsvc.domain.task import Task
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.io.table_cells import Cells, write_cells
from alignsvc.run.needs.prediction import _box_of
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.stages.cataloguing import SourceTables
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.tasks.merge import Part


def contribution(plan: Plan, one: PlannedExposure) -> StoredContribution:
    """Return what the store would know of what an exposure gives to the mosaic."""
    grid = plan.grids[one.component]
    block = grid.block_box(_box_of(one, grid))
    name = digest_of("contribution", one.id)
    tiles = tuple(grid.tiles_touching(block))
    return StoredContribution(name, block, grid.tile_shape, tiles, digest_of(name))


def mosaicked(plan: Plan, number: int) -> Mosaic:
    """Return a generation of the mosaic with all exposures in it."""
    contributions = {one.id: contribution(plan, one) for one in plan.exposures}
    parts: dict[TileId, list[Part]] = {
        tile: [] for grid in plan.grids for tile in plan.tiles_made(grid)
    }
    for _, stored in sorted(contributions.items()):
        for tile in stored.tiles:
            parts[tile].append(Part(stored.name, stored.checksum))
    checksums = {tile: digest_of(str(tile)) for tile in parts}
    return Mosaic(number, contributions, {t: tuple(some) for t, some in parts.items()}, checksums)


def begun(plan: Plan, run: Place) -> LoopState:
    """Return the state in which the exposures of a pass are to be measured; no source is known."""
    state = LoopState.at_start(plan.exposures, Geometry.GENERAL)
    none, nowhere = np.zeros(0, np.int64), np.zeros(0)
    cells = Cells.of(none, nowhere, nowhere)
    table = write_cells(RunLocations(run).objects, "tables/sources/chosen.npz", cells, [])
    sources = SourceTables(table, table, 10**6, 10**6)
    return replace(state, mosaic=mosaicked(plan, 1), sources=sources)


@dataclass(frozen=True)
class Short:
    """A task as large as another one, of a stage whose tasks are over at once."""

    task: Task
    turn: int = 0

    @property
    def key(self) -> TaskKey:
        """Its identity."""
        key = self.task.key
        return TaskKey("short", key.subject, digest_of(key.digest, self.turn))

    def __call__(self) -> TaskOutcome:
        """Stand-ins of workers only wait."""
        raise NotImplementedError
