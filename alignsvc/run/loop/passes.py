"""One pass of the loop: mosaic, sources, measurements, corrections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from alignsvc.domain.correction import Correction
from alignsvc.domain.task import TableRef
from alignsvc.io import journal
from alignsvc.io.journal import ExposureEnded, ExposureState
from alignsvc.numerics.sky.colours import colour_exposures
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.run.mending.segments import mend_segments
from alignsvc.run.pictures.previewing import keep_before
from alignsvc.run.planning.failed_fraction import require_enough
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.reducer.levelling import levelled
from alignsvc.run.reducer.solution import Solution
from alignsvc.run.reducer.solve_group import Measured
from alignsvc.run.reducer.solving import frame_held, solve
from alignsvc.run.stages.cataloguing import find_sources
from alignsvc.run.stages.history import tell_missing, write_pass_history
from alignsvc.run.stages.loop_state import LoopState, PassSettings
from alignsvc.run.stages.measuring import (
    compared_levels,
    is_decided_in,
    measure_tasks,
    seen_exposures,
)
from alignsvc.run.stages.mosaicking import Turn, make_mosaic, remove_superseded, view_of
from alignsvc.run.stages.reference import grid_references
from alignsvc.run.stages.rejecting import is_searched, search_rays
from alignsvc.run.stages.running import Tools, is_end_of, run_stage, sorted_out
from alignsvc.run.stages.solved_table import pass_name, rays_name, step_name, write_solved
from alignsvc.run.stages.telling import tells_sources, told_sources
from alignsvc.tasks.measure import displacements_name, levels_name
from alignsvc.tasks.placed import ExposureView


def begin_pass(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Say in the journal that a pass begins, and with which corrections."""
    tools.journal.append(journal.PassStarted(settings.number, settings.is_full))
    tools.journal.append(journal.States(settings.number, _states(tools, state)))
    last = state.movement_px if state.moves_px else math.inf
    return replace(
        state,
        pass_start=state.corrections,
        chips_at_start=state.chips,
        moves_px={},
        last_movement_px=last,
    )


def run_pass(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state after a pass that has begun, in part done or not."""
    if settings.is_full and not is_searched(tools, settings.number, state):
        state = _rays_found(tools, settings, state)
    if tools.plan.config.alignment.update == "otf":
        state = _one_after_the_other(tools, settings, state)
    else:
        state = _all_at_once(tools, settings, state)
    name = pass_name(settings.number)
    checksum = write_solved(tools, state, name)
    write_pass_history(tools, settings.number, state)
    n_solved = len(state.moves_px)
    tools.journal.append(
        journal.Solved(settings.number, name, checksum, state.movement_px, n_solved)
    )
    return state


def solved_with_held_out(tools: Tools, state: LoopState) -> LoopState:
    """Return the state with corrections from all sources of the last pass.

    Those that were held out have said what they think of the fit without them; from now on
    they would only be missed. What the loop says of movement stays.
    """
    everyone = [
        Measured(
            one,
            TableRef(state.factors[one.id], ""),
            state.chips_at_start.get(one.id),
            with_held_out=True,
            floor_arcsec=state.floors_arcsec.get(one.id, 0.0),
        )
        for one in state.going(tools.plan.exposures)
        if one.id in state.factors
    ]
    # As free as the pass has left them: nothing is chosen any more.
    starts = {
        name: replace(total, geometry=state.corrections[name].geometry)
        for name, total in state.pass_start.items()
    }
    solution = solve(tools, everyone, starts, grid_references(tools, state), None)
    return replace(
        state,
        corrections={**state.corrections, **solution.corrections},
        quality={**state.quality, **solution.quality},
        chips={**state.chips, **solution.chips},
        chip_notes=solution.chip_notes,
        colour_terms={**state.colour_terms, **solution.colour_terms},
        chips_apart=solution.chips_apart,
    )


def _all_at_once(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state after a pass in which all exposures are compared with one mosaic."""
    state = _mosaic_made(tools, settings, state)
    assert state.mosaic is not None
    keep_before(tools, settings.number, state.mosaic)
    state = _catalogued(tools, settings, state)
    measured, state = _measured(tools, settings, state, seen_exposures(tools, state))
    references = grid_references(tools, state)
    solution = solve(tools, measured, state.corrections, references, _choice(tools, settings))
    if tools.plan.config.alignment.solver == "independent":
        solution = frame_held(tools, tools.plan.exposures, state.pass_start, solution)
    if compared_levels(tools, settings) is not None:
        state = levelled(tools, measured, state)
    return _taken_up(tools, state, solution)


def _choice(tools: Tools, settings: PassSettings) -> GeometryChoice | None:
    """Return how geometries are chosen in this pass; later they stay, so that the loop can end."""
    return tools.plan.algorithms.choice if is_decided_in(tools, settings) else None


def _one_after_the_other(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state after a pass in which later exposures see earlier ones already aligned.

    Exposures that share no tile cannot see each other and have their turn together: they are of
    one colour. After each turn the state is settled, so that what comes next follows from it
    alone, and the mosaic from which it was solved may go.
    """
    while waiting := _waiting(tools, settings, state):
        is_first = len(waiting) == len(state.going(tools.plan.moving))
        turn = settings if is_first else replace(settings, is_full=False)
        state = _mosaic_made(tools, turn, state)
        assert state.mosaic is not None
        if is_first:
            keep_before(tools, settings.number, state.mosaic)
        state = _catalogued(tools, turn, state)
        members = _next_colour(state, _waiting(tools, settings, state))
        measured, state = _measured(tools, settings, state, members)
        state = _taken_up(tools, state, solve(tools, measured, state.corrections, {}, None))
        assert state.mosaic is not None
        generation = state.mosaic.generation
        name = step_name(settings.number, generation)
        checksum = write_solved(tools, state, name)
        tools.journal.append(journal.StepSolved(settings.number, generation, name, checksum))
    return _in_frame(tools, settings, state)


def _rays_found(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state with cosmic rays found anew, on a mosaic made for that.

    It is settled, so that the mosaic without the rays, which comes next, may take its place.
    """
    state = _mosaic_made(tools, settings, state)
    searched = search_rays(tools, settings.number, state)
    state = _announce_ends(tools, state, searched.ended)
    state = replace(state, rays={**state.rays, **searched.rays})
    assert state.mosaic is not None
    name = rays_name(settings.number)
    checksum = write_solved(tools, state, name)
    tools.journal.append(
        journal.RaysFound(settings.number, state.mosaic.generation, name, checksum)
    )
    return state


def _waiting(tools: Tools, settings: PassSettings, state: LoopState) -> tuple[PlannedExposure, ...]:
    """Return the exposures that have not had their turn: each pass solves or ends every one."""
    going = state.going(tools.plan.moving)
    return tuple(one for one in going if state.passes.get(one.id, 0) < settings.number)


def _next_colour(
    state: LoopState, waiting: Sequence[PlannedExposure]
) -> tuple[PlannedExposure, ...]:
    """Return those of the waiting exposures whose turn it is: in order of id, sharing no tile."""
    assert state.mosaic is not None
    colours = colour_exposures([state.mosaic.tiles_of(one.id) for one in waiting])
    return tuple(waiting[i] for i in colours[0]) if colours else ()


def _in_frame(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state at the end of a pass on the fly, held in the mean's frame."""
    solved = {
        one.id: state.corrections[one.id]
        for one in state.going(tools.plan.exposures)
        if state.passes.get(one.id, 0) == settings.number
    }
    turned = Solution(solved, state.quality, {}, state.component, ())
    held = frame_held(tools, tools.plan.exposures, state.pass_start, turned)
    return replace(
        state, corrections={**state.corrections, **held.corrections}, moves_px=held.moves_px
    )


def _states(tools: Tools, state: LoopState) -> tuple[ExposureState, ...]:
    return tuple(
        ExposureState(
            one.id,
            _six(state.corrections[one.id]),
            one.header.flux_scale * state.level_of(one.id).flux_scale,
            state.level_of(one.id).sky_offset,
            mask_version=state.rays[one.id].pass_number if one.id in state.rays else 0,
            chip_shifts=state.chip_shifts_of(one.id),
        )
        for one in state.going(tools.plan.exposures)
    )


def _six(correction: Correction) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = correction.parameters.tolist()
    return (a, b, c, d, e, f)


def _announce_ends(tools: Tools, state: LoopState, ended: Sequence[ExposureEnded]) -> LoopState:
    for end in ended:
        tools.journal.append(end)
    state = state.without(ended)
    require_enough(tools.plan, state.ended.values())
    return state


def _mosaic_made(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    turn = Turn(settings.number, state.next_generation, settings.is_full)
    exposures = state.going(tools.plan.exposures)
    views = {one.id: _view(tools, state, one) for one in exposures}
    made = make_mosaic(tools, turn, exposures, views, state.mosaic)
    if made.is_known and not turn.is_detected and mend_segments(tools, made.mosaic):
        remove_superseded(tools, made.mosaic)
    state = _announce_ends(tools, state, made.ended)
    return replace(state, mosaic=made.mosaic)


def _view(tools: Tools, state: LoopState, exposure: PlannedExposure) -> ExposureView:
    return view_of(tools, exposure, state.standing_of(exposure.id))


def _catalogued(tools: Tools, settings: PassSettings, state: LoopState) -> LoopState:
    """Return the state with sources; without a full pass those of the pass before stay.

    What they are is told for the first pass that wants to know, and then in full ones.
    """
    assert state.mosaic is not None
    sources = state.sources
    is_told = not tells_sources(tools, settings.number)
    if sources is not None and not settings.is_full and (is_told or sources.kinds is not None):
        return state
    if sources is None or settings.is_full:
        sources = find_sources(tools, settings.number, state.mosaic, sources)
    if not is_told:
        sources = told_sources(tools, settings.number, state.mosaic, sources)
    tools.journal.append(sources.as_event(settings.number))
    return replace(state, sources=sources)


def _measured(
    tools: Tools,
    settings: PassSettings,
    state: LoopState,
    exposures: Sequence[PlannedExposure],
) -> tuple[list[Measured], LoopState]:
    """Measure exposures against the present mosaic; return their factors, and who failed."""
    again = tools.plan.algorithms.measurement.is_repeated_in(settings.number)
    tasks = measure_tasks(tools, settings, state, exposures)
    outcomes = run_stage(tools, "measure", settings.number, tasks)
    tell_missing(tools, settings.number, outcomes)
    ends = sorted_out(exposures, outcomes)
    measured, displacements, factors = [], {}, {}
    for one, task, outcome in zip(exposures, tasks, outcomes, strict=True):
        if outcome.is_ok:
            table = TableRef(outcome.product, outcome.checksum)
            chips = state.chips.get(one.id)
            levels = levels_name(task.key)
            measured.append(
                Measured(
                    one,
                    table,
                    chips,
                    levels=levels,
                    is_repeated=again,
                    floor_arcsec=state.floors_arcsec.get(one.id, 0.0),
                )
            )
            displacements[one.id] = displacements_name(task.key)
            factors[one.id] = outcome.product
    state = replace(
        state,
        displacements={**state.displacements, **displacements},
        factors={**state.factors, **factors},
    )
    # A frozen exposure without sources says nothing, but is none the worse for it.
    frozen = {one.id for one in exposures if one.is_frozen}
    ended = [end for end in ends.ended if is_end_of(end, frozen)]
    return measured, _announce_ends(tools, state, ended)


def _taken_up(tools: Tools, state: LoopState, solution: Solution) -> LoopState:
    """Return the state with a solution taken up."""
    state = _announce_ends(tools, state, solution.ended)
    solved = solution.corrections
    return replace(
        state,
        corrections={**state.corrections, **solved},
        quality={**state.quality, **solution.quality},
        moves_px=solution.moves_px,
        moving=solution.moving,
        chips={**state.chips, **solution.chips},
        chip_notes=solution.chip_notes,
        colour_terms={**state.colour_terms, **solution.colour_terms},
        chips_apart=solution.chips_apart,
        floors_arcsec={**state.floors_arcsec, **solution.floors_arcsec},
        component={**state.component, **solution.component},
        passes={**state.passes, **{name: state.passes.get(name, 0) + 1 for name in solved}},
    )
