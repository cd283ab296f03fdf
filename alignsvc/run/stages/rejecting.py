"""Cosmic rays of all exposures, by a mosaic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alignsvc.config.build import margin_px
from alignsvc.domain.task import TableRef
from alignsvc.io.journal import ExposureEnded
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.stages.loop_state import KnownRays, LoopState
from alignsvc.run.stages.mosaicking import mosaic_part, view_of
from alignsvc.run.stages.running import Tools, run_stage, sorted_out
from alignsvc.tasks.reject import RejectTask


@dataclass(frozen=True, slots=True, eq=False)
class RaysSearched:
    """The cosmic rays of each exposure, and the exposures that failed on the way."""

    rays: Mapping[str, KnownRays]
    ended: tuple[ExposureEnded, ...]


def is_searched(tools: Tools, pass_number: int, state: LoopState) -> bool:
    """Return whether no exposure's cosmic rays are still to be found in a full pass."""
    return all(
        one.id in state.rays and state.rays[one.id].pass_number == pass_number
        for one in _suspected(tools, state)
    )


def search_rays(tools: Tools, pass_number: int, state: LoopState) -> RaysSearched:
    """Look for cosmic rays on the present mosaic, wherever they are wanted."""
    exposures = _suspected(tools, state)
    tasks = reject_tasks(tools, state, exposures)
    outcomes = run_stage(tools, "reject", pass_number, tasks)
    rays = {
        one.id: KnownRays(TableRef(outcome.product, outcome.checksum), pass_number)
        for one, outcome in zip(exposures, outcomes, strict=True)
        if outcome.is_ok
    }
    return RaysSearched(rays, sorted_out(exposures, outcomes).ended)


def reject_tasks(
    tools: Tools, state: LoopState, exposures: Sequence[PlannedExposure]
) -> list[RejectTask]:
    """Return what looks for cosmic rays in exposures, on the mosaic of a state."""
    return [_task(tools, state, one) for one in exposures]


def _suspected(tools: Tools, state: LoopState) -> tuple[PlannedExposure, ...]:
    """Return the exposures that go on and in which cosmic rays are to be found."""
    sought = components_with_search(tools.plan)
    return tuple(one for one in state.going(tools.plan.moving) if one.component in sought)


def components_with_search(plan: Plan) -> frozenset[int]:
    """Return the components in whose exposures cosmic rays are sought.

    ``auto`` is where it can be done well: in components seen through one filter, since in
    another band a red star outshines itself. Masks from the files do not count: few name every
    ray, and where they do there is nothing left to find.
    """
    asked = plan.config.mosaic.reject_cosmic_rays
    bands = Counter(
        component
        for component, _ in {(one.component, one.header.filter_name) for one in plan.exposures}
    )
    if asked == "auto":
        return frozenset(component for component, count in bands.items() if count == 1)
    return frozenset(bands) if asked else frozenset()


def _task(tools: Tools, state: LoopState, exposure: PlannedExposure) -> RejectTask:
    assert state.mosaic is not None
    is_aligned = state.passes.get(exposure.id, 0) > 0
    return RejectTask(
        tools.run,
        view_of(tools, exposure, replace(state.standing_of(exposure.id), rays=None)),
        mosaic_part(tools, state.mosaic, exposure),
        tools.plan.algorithms.cosmic_rays,
        None if is_aligned else margin_px(tools.plan.config),
    )
