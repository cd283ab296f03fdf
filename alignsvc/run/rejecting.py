"""Cosmic rays of all exposures, by a mosaic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignsvc.config.build import margin_px
from alignsvc.domain.task import TableRef
from alignsvc.io.journal import ExposureEnded
from alignsvc.numerics.sources.cosmic_rays import CosmicRayRejection
from alignsvc.run.loop_state import KnownRays, LoopState
from alignsvc.run.mosaicking import mosaic_part, view_of
from alignsvc.run.plan import PlannedExposure
from alignsvc.run.stages import Tools, run_stage, sorted_out
from alignsvc.tasks.reject import RejectTask


@dataclass(frozen=True, slots=True, eq=False)
class RaysSearched:
    """The cosmic rays of each exposure, and the exposures that failed on the way."""

    rays: Mapping[str, KnownRays]
    ended: tuple[ExposureEnded, ...]


def is_searched(tools: Tools, pass_number: int, state: LoopState) -> bool:
    """Return whether no exposure's cosmic rays are still to be found in a full pass."""
    if tools.plan.algorithms.cosmic_rays is None:
        return True
    return all(
        one.id in state.rays and state.rays[one.id].pass_number == pass_number
        for one in state.going(tools.plan.exposures)
    )


def search_rays(
    tools: Tools, pass_number: int, state: LoopState, rejection: CosmicRayRejection
) -> RaysSearched:
    """Look for the cosmic rays of all exposures that have not ended, on the present mosaic."""
    exposures = state.going(tools.plan.exposures)
    tasks = [_task(tools, state, rejection, one) for one in exposures]
    outcomes = run_stage(tools, "reject", pass_number, tasks)
    rays = {
        one.id: KnownRays(TableRef(outcome.product, outcome.checksum), pass_number)
        for one, outcome in zip(exposures, outcomes, strict=True)
        if outcome.is_ok
    }
    return RaysSearched(rays, sorted_out(exposures, outcomes).ended)


def _task(
    tools: Tools, state: LoopState, rejection: CosmicRayRejection, exposure: PlannedExposure
) -> RejectTask:
    assert state.mosaic is not None
    is_aligned = state.passes.get(exposure.id, 0) > 0
    return RejectTask(
        tools.run,
        view_of(tools, exposure, state.corrections[exposure.id]),
        mosaic_part(tools, state.mosaic, exposure),
        rejection,
        None if is_aligned else margin_px(tools.plan.config),
    )
