"""Sources first: what they are, told from the mosaic before exposures are measured by a model."""

from __future__ import annotations

from dataclasses import replace

from alignsvc.domain.source_kinds import SourceKinds
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.table_cells import Cells, write_cells
from alignsvc.io.tables import read_table
from alignsvc.run.stages.cataloguing import (
    SourceTables,
    backgrounds_of,
    chosen_sources,
    tile_views,
)
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.run.stages.running import Tools, digest_of_checksums, run_required
from alignsvc.tasks.detect import TileView
from alignsvc.tasks.tell_sources import TellSourcesTask


def tells_sources(tools: Tools, pass_number: int) -> bool:
    """Return whether the exposures of a pass are measured by a model."""
    algorithms = tools.plan.algorithms
    if tools.plan.config.alignment.method.name != "model":
        return False
    return algorithms.measurement.in_pass(pass_number).stars is not None


def told_sources(
    tools: Tools, pass_number: int, mosaic: Mosaic, sources: SourceTables
) -> SourceTables:
    """Return the catalogue with what each of its chosen sources is, as the mosaic has it.

    Parameters
    ----------
    tools : Tools
        Of a run in which exposures are measured by a model, in the loop or beside it.
    pass_number : int
    mosaic : Mosaic
        In which the sources were found, or a later one.
    sources : SourceTables
    """
    model = tools.plan.algorithms.sources_first
    assert model is not None
    backgrounds = backgrounds_of(tools, pass_number, mosaic)
    tasks = [
        TellSourcesTask(
            view,
            _gains(tools, mosaic, view),
            sources.chosen,
            backgrounds[view.grid.component],
            model,
        )
        for view in tile_views(tools, mosaic, model)
    ]
    outcomes = run_required(tools, "tell", pass_number, tasks)
    objects = RunLocations(tools.run).objects
    kinds = SourceKinds.joined(
        [read_table(objects, one.product, SourceKinds, one.checksum) for one in outcomes]
    )
    chosen = chosen_sources(tools, sources)
    cells = Cells.of(chosen.component, chosen.x, chosen.y)
    parts = kinds.parted(chosen.id, cells.number, len(cells.place))
    name = f"{TABLES}sources/{digest_of_checksums(outcomes)}-kinds.npz"
    return replace(
        sources,
        kinds=write_cells(objects, name, cells, parts),
        n_galaxies=int(kinds.is_galaxy.sum()),
        n_companions=len(kinds.companion_of),
    )


def _gains(tools: Tools, mosaic: Mosaic, view: TileView) -> tuple[float | None, ...]:
    """Return the electrons per unit of the mosaic of each part of a tile's surroundings."""
    of_part = {}
    for one in tools.plan.exposures:
        stored, facts = mosaic.contributions.get(one.id), one.header.chips[0]
        if stored is not None:
            gain = None if facts.gain is None else facts.gain / facts.flux_scale
            of_part[stored.name] = gain
    return tuple(of_part.get(part.name) for part in view.parts)
