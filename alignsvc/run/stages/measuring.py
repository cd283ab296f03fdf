"""The measurement of exposures against a mosaic, as a pass does it: its tasks, and who has one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from alignsvc.config.build import margin_px
from alignsvc.numerics.displacement.farther import search_after
from alignsvc.numerics.solve.factors import FactorBuilder
from alignsvc.numerics.sources.level_measurement import LevelMeasurement
from alignsvc.run.planning.kept_tiles import Role
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.history import kept_name, rooms_for_pixels
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.measured_sources import MeasuredSources, measured_sources
from alignsvc.run.stages.mosaicking import Mosaic, mosaic_part, view_of
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.measure import MeasureTask


def seen_exposures(tools: Tools, state: LoopState) -> tuple[PlannedExposure, ...]:
    """Return the exposures that are measured: those that move, and what can tell where to.

    Each by itself, an exposure needs the mosaic of the others only.
    """
    alone = tools.plan.config.alignment.solver == "independent"
    frozen = () if alone else (Role.MEASURED,)
    going = state.going(tools.plan.exposures)
    return tuple(one for one in going if one.role in (Role.MOVES, *frozen))


def measure_tasks(
    tools: Tools,
    settings: PassSettings,
    state: LoopState,
    exposures: Sequence[PlannedExposure],
) -> list[MeasureTask]:
    """Return what measures exposures against the present mosaic, as a pass does it."""
    assert state.mosaic is not None
    assert state.sources is not None
    search = search_after(state.last_movement_px, margin_px(tools.plan.config))
    measurement = tools.plan.algorithms.measurement.in_pass(settings.number)
    measurement = measurement.searching(search.radius_px)
    sources = measured_sources(tools, state.sources, measurement)
    tasks = [
        _measure_task(tools, state, (state.mosaic, sources[one.component]), one)
        for one in exposures
    ]
    rooms = rooms_for_pixels(tools, state)
    return [
        replace(
            task,
            farther=search.farther,
            levels=compared_levels(tools, settings),
            history=kept_name(tools, settings.number, one.id),
            room_bytes=rooms.get(one.id, 0),
        )
        for task, one in zip(tasks, exposures, strict=True)
    ]


def _measure_task(
    tools: Tools,
    state: LoopState,
    against: tuple[Mosaic, MeasuredSources],
    exposure: PlannedExposure,
) -> MeasureTask:
    mosaic, sources = against
    grid = tools.plan.grids[exposure.component]
    return MeasureTask(
        tools.run,
        view_of(tools, exposure, state.standing_of(exposure.id)),
        mosaic_part(tools, mosaic, exposure),
        sources.choice,
        sources.measurement,
        FactorBuilder(grid, exposure.plane),
        tools.plan.config.alignment.solver == "global",
    )


def compared_levels(tools: Tools, settings: PassSettings) -> LevelMeasurement | None:
    """Return how flux scales and skies are compared in this pass; later they stay, too.

    Exposures that have their turn one after the other are never compared with one mosaic.
    """
    if not is_decided_in(tools, settings) or tools.plan.config.alignment.update == "otf":
        return None
    return tools.plan.algorithms.levels


def is_decided_in(tools: Tools, settings: PassSettings) -> bool:
    """Return whether a pass still chooses geometries and compares levels; later ones keep them."""
    return settings.number <= tools.plan.config.alignment.max_full_passes
