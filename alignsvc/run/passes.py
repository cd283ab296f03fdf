"""One pass of the loop: mosaic, sources, measurements, corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from alignsvc.config.build import margin_px
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points
from alignsvc.domain.result import FitQuality
from alignsvc.domain.sources import SourceCatalog
from alignsvc.domain.task import TableRef
from alignsvc.io import journal
from alignsvc.io.catalogs import UserCatalog, read_user_catalog
from alignsvc.io.journal import ExposureEnded, ExposureState
from alignsvc.numerics.sky.colours import colour_exposures
from alignsvc.numerics.solve.factors import FactorBuilder
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.numerics.sources.matching import mutual_nearest
from alignsvc.run.cataloguing import SourceTables, chosen_sources, find_sources
from alignsvc.run.mosaicking import Mosaic, Turn, make_mosaic, mosaic_part, view_of
from alignsvc.run.plan import PlannedExposure
from alignsvc.run.solving import NOTHING_SOLVED, Measured, Solution, frame_held, solve
from alignsvc.run.stages import Tools, run_stage, sorted_out
from alignsvc.tasks.measure import MeasureTask, SourceChoice, displacements_name

#: Error of a reference catalogue's positions, per axis. Gaia DR3 has 0.02-0.5 mas at its epoch;
#: proper motions of some mas a year are not taken off in this version.
_CATALOG_ERROR_ARCSEC = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class LoopState:
    """Where the loop stands between two passes.

    Parameters
    ----------
    corrections : mapping of exposure id to Correction
        Totals, of all exposures that were ever in the loop.
    quality : mapping of exposure id to FitQuality
    moves_px : mapping of exposure id to float
        In the last pass.
    component : mapping of exposure id to int
    ended : mapping of exposure id to ExposureEnded
    passes : mapping of exposure id to int
        In how many passes it was solved.
    displacements : mapping of exposure id to str
        Names of the tables of the last pass.
    sources : SourceTables or None
    mosaic : Mosaic or None
    """

    corrections: Mapping[str, Correction]
    quality: Mapping[str, FitQuality] = field(default_factory=dict)
    moves_px: Mapping[str, float] = field(default_factory=dict)
    component: Mapping[str, int] = field(default_factory=dict)
    ended: Mapping[str, ExposureEnded] = field(default_factory=dict)
    passes: Mapping[str, int] = field(default_factory=dict)
    displacements: Mapping[str, str] = field(default_factory=dict)
    sources: SourceTables | None = None
    mosaic: Mosaic | None = None

    @property
    def movement_px(self) -> float:
        """The largest movement of the last pass, over the exposures solved in it."""
        return max(self.moves_px.values(), default=0.0)

    def going(self, exposures: Sequence[PlannedExposure]) -> tuple[PlannedExposure, ...]:
        """Return the exposures that have not ended."""
        return tuple(one for one in exposures if one.id not in self.ended)

    def without(self, ended: Sequence[ExposureEnded]) -> LoopState:
        """Return the state after some exposures have ended."""
        return replace(self, ended={**self.ended, **{end.exposure: end for end in ended}})


@dataclass(frozen=True, slots=True)
class PassSettings:
    """A pass by number, and whether sources are detected anew in it."""

    number: int
    is_full: bool


def run_pass(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state after one pass."""
    tools.journal.append(journal.PassStarted(settings.number, settings.is_full))
    tools.journal.append(journal.States(settings.number, _states(tools, state)))
    if tools.plan.config.alignment.update == "otf":
        return _one_after_the_other(tools, settings, state)
    made = _mosaic_made(tools, Turn(settings.number, _first_generation(tools, settings)), state)
    made = _catalogued(tools, settings, made)
    before = made.corrections
    measured, made = _measured(tools, settings, made, made.going(tools.plan.exposures))
    offsets = _catalog_offsets(tools, made)
    solution = solve(tools, measured, before, offsets)
    if tools.plan.config.alignment.solver == "independent":
        solution = frame_held(tools, tools.plan.exposures, before, solution)
    return _solved(tools, made, solution)


def _one_after_the_other(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state after a pass in which later exposures see earlier ones already aligned.

    Exposures that share no tile cannot see each other and go together: they are of one colour.
    """
    before = state.corrections
    turn = Turn(settings.number, _first_generation(tools, settings))
    state = _catalogued(tools, settings, _mosaic_made(tools, turn, state))
    everyone = state.going(tools.plan.exposures)
    assert state.mosaic is not None
    tiles = [state.mosaic.tiles_of(one.id) for one in everyone]
    solution = NOTHING_SOLVED
    for step, colour in enumerate(colour_exposures(tiles), start=1):
        members = [everyone[i] for i in colour]
        going = [one for one in members if one.id not in state.ended]
        measured, state = _measured(tools, settings, state, going)
        found = solve(tools, measured, state.corrections, {})
        solution = solution.joined(found)
        state = replace(state, corrections={**state.corrections, **found.corrections})
        state = _announce_ends(tools, state, found.ended)
        turn = Turn(settings.number, turn.generation + 1)
        state = _mosaic_made(tools, turn, state) if step < len(everyone) else state
    held = frame_held(tools, tools.plan.exposures, before, replace(solution, ended=()))
    return _solved(tools, state, held)


def _first_generation(tools: Tools, settings: PassSettings) -> int:
    """Return the number of the pass's first generation: on the fly each colour makes one."""
    per_pass = 1
    if tools.plan.config.alignment.update == "otf":
        per_pass = len(tools.plan.exposures) + 2
    return 1 + (settings.number - 1) * per_pass


def _states(tools: Tools, state: LoopState) -> tuple[ExposureState, ...]:
    return tuple(
        ExposureState(
            one.id,
            _six(state.corrections[one.id]),
            one.header.flux_scale,
        )
        for one in state.going(tools.plan.exposures)
    )


def _six(correction: Correction) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = correction.parameters.tolist()
    return (a, b, c, d, e, f)


def _announce_ends(tools: Tools, state: LoopState, ended: Sequence[ExposureEnded]) -> LoopState:
    for end in ended:
        tools.journal.append(end)
    return state.without(ended)


def _mosaic_made(tools: Tools, turn: Turn, state: LoopState) -> LoopState:
    made = make_mosaic(
        tools, turn, state.going(tools.plan.exposures), state.corrections, state.mosaic
    )
    state = _announce_ends(tools, state, made.ended)
    return replace(state, mosaic=made.mosaic)


def _catalogued(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state with sources; without a full pass those of the pass before stay."""
    if state.sources is not None and not settings.is_full:
        return state
    assert state.mosaic is not None
    sources = find_sources(tools, settings.number, state.mosaic, state.sources)
    tools.journal.append(sources.as_event(settings.number))
    return replace(state, sources=sources)


def _measured(
    tools: Tools,
    settings: PassSettings,
    state: LoopState,
    exposures: Sequence[PlannedExposure],
) -> tuple[list[Measured], LoopState]:
    """Measure exposures against the present mosaic; return their factors, and who failed."""
    assert state.mosaic is not None
    assert state.sources is not None
    tasks = [_measure_task(tools, state, state.mosaic, state.sources, one) for one in exposures]
    outcomes = run_stage(tools, "measure", settings.number, tasks)
    ends = sorted_out(exposures, outcomes)
    measured, displacements = [], {}
    for one, task, outcome in zip(exposures, tasks, outcomes, strict=True):
        if outcome.is_ok:
            measured.append(Measured(one, TableRef(outcome.product, outcome.checksum)))
            displacements[one.id] = displacements_name(task.key)
    state = replace(state, displacements={**state.displacements, **displacements})
    return measured, _announce_ends(tools, state, ends.ended)


def _measure_task(
    tools: Tools,
    state: LoopState,
    mosaic: Mosaic,
    sources: SourceTables,
    exposure: PlannedExposure,
) -> MeasureTask:
    alignment = tools.plan.config.alignment
    grid = tools.plan.grids[exposure.component]
    return MeasureTask(
        tools.run,
        view_of(tools, exposure, state.corrections[exposure.id]),
        mosaic_part(tools, mosaic, exposure),
        SourceChoice(
            sources.chosen,
            alignment.hold_out,
            sources.segments if alignment.use_segmentation else None,
        ),
        tools.plan.algorithms.measurement,
        FactorBuilder(grid, exposure.plane),
        alignment.solver == "global",
    )


def _solved(tools: Tools, state: LoopState, solution: Solution) -> LoopState:
    """Return the state with a solution taken up."""
    state = _announce_ends(tools, state, solution.ended)
    solved = solution.corrections
    return replace(
        state,
        corrections={**state.corrections, **solved},
        quality={**state.quality, **solution.quality},
        moves_px=solution.moves_px,
        component={**state.component, **solution.component},
        passes={**state.passes, **{name: state.passes.get(name, 0) + 1 for name in solved}},
    )


def _catalog_offsets(tools: Tools, state: LoopState) -> dict[int, CatalogOffsets]:
    """Return where the reference catalogue puts the sources of each grid; empty without one."""
    name = tools.plan.config.reference.catalog
    if name is None:
        return {}
    assert state.sources is not None
    catalog = read_user_catalog(Path(name))
    sources = chosen_sources(tools, state.sources)
    return {
        grid.component: _offsets_on(tools, grid.component, sources, catalog)
        for grid in tools.plan.grids
    }


def _offsets_on(
    tools: Tools, component: int, sources: SourceCatalog, catalog: UserCatalog
) -> CatalogOffsets:
    grid = tools.plan.grids[component]
    own = sources.select(sources.component == component)
    theirs = grid.plane.from_sky(catalog.sky)
    known = np.isfinite(theirs.x)
    theirs = Points(theirs.x[known], theirs.y[known])
    ours = grid.plane_from_pixel(Points(own.x, own.y))
    pairs = mutual_nearest(ours, theirs, margin_px(tools.plan.config) * grid.scale_arcsec)
    offset = np.stack(
        [
            ours.x[pairs.first] - theirs.x[pairs.second],
            ours.y[pairs.first] - theirs.y[pairs.second],
        ],
        axis=1,
    )
    information = np.broadcast_to(np.eye(2) / _CATALOG_ERROR_ARCSEC**2, (len(offset), 2, 2))
    return CatalogOffsets(own.id[pairs.first], offset, information)
