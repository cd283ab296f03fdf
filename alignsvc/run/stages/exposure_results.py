"""The rows of the table of corrections, from the loop's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.correction import Correction
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ChipResult, ExposureResult, FitQuality, HeldOutResidual
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import ExposureEnded, VerdictGiven
from alignsvc.run.planning.plan import Plan, PlannedExposure
from alignsvc.run.stages.loop_state import LoopState

_NAN = float("nan")


def exposure_results(
    plan: Plan, state: LoopState, verdicts: Mapping[str, VerdictGiven]
) -> tuple[ExposureResult, ...]:
    """Return a row for every exposure that the run was given, in order of id."""
    known = _Known(
        ended=dict(state.ended) | {end.exposure: end for end in plan.ended},
        verdicts=verdicts,
        headers={header.ref.id: header for header in plan.headers},
    )
    frozen = {one.id: one for one in (*plan.exposures, *plan.idle) if one.is_frozen}
    names = sorted({one.id for one in plan.exposures} | set(frozen) | set(known.ended))
    components = _components(plan, state)
    return tuple(
        _frozen_row(frozen[name], components[frozen[name].component], state)
        if name in frozen and name not in known.ended
        else _row(plan, state, known, name)
        for name in names
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What is looked up for every exposure, by its id."""

    ended: Mapping[str, ExposureEnded]
    verdicts: Mapping[str, VerdictGiven]
    headers: Mapping[str, ExposureHeader]


def _components(plan: Plan, state: LoopState) -> dict[int, int]:
    """Return the component of the frozen exposures of each grid, which hold one frame."""
    found = dict[int, int]()
    # Solved one by one, a grid's exposures are all of one component, and frozen ones in none.
    alone = plan.config.alignment.solver == "independent"
    for one in plan.exposures:
        if (one.is_frozen or alone) and one.id in state.component:
            found.setdefault(one.component, state.component[one.id])
    fresh = max([-1, *state.component.values()])
    for grid in plan.grids:
        if grid.component not in found:
            fresh += 1
            found[grid.component] = fresh
    return found


def _frozen_row(one: PlannedExposure, component: int, state: LoopState) -> ExposureResult:
    """Return the row of an exposure that stays as an earlier run made it."""
    known = one.known
    assert known is not None
    return ExposureResult(
        id=one.id,
        status=Status.ALIGNED,
        reason="",
        message="",
        verdict=known.verdict,
        geometry=known.geometry,
        component=component,
        is_reference=True,
        correction=known.total,
        chips=_chips_of(one.header, known.chip_shifts, known.total),
        level=known.level,
        quality=known.quality,
        last_move_px=0.0,
        passes=0,
        colour_term=state.colour_terms.get(one.id),
    )


def _row(plan: Plan, state: LoopState, known: _Known, name: str) -> ExposureResult:
    end = known.ended.get(name)
    judged = known.verdicts.get(name)
    correction = state.corrections.get(name)
    return ExposureResult(
        id=name,
        status=end.status if end else Status.ALIGNED,
        reason=end.reason if end else "",
        message=end.message if end else "",
        verdict=judged.verdict if judged else Verdict.UNTESTED,
        geometry=correction.geometry if correction else plan.algorithms.geometry,
        component=state.component.get(name, -1),
        is_reference=name == plan.reference,
        correction=None if end else state.corrections[name],
        chips=() if end else _chips(known, state, name),
        quality=state.quality.get(name, FitQuality()),
        last_move_px=state.moves_px.get(name, _NAN),
        passes=state.passes.get(name, 0),
        level=state.level_of(name),
        colour_term=None if end else state.colour_terms.get(name),
        chips_apart=() if end else state.chips_apart.get(name, ()),
        held_out=HeldOutResidual(judged.before_px, judged.after_px)
        if judged
        else HeldOutResidual(),
    )


def _chips(known: _Known, state: LoopState, name: str) -> tuple[ChipResult, ...]:
    """Return the chips of an exposure that have offsets."""
    return _chips_of(known.headers[name], state.chips.get(name), state.corrections[name])


def _chips_of(
    header: ExposureHeader, found: ChipShifts | None, correction: Correction
) -> tuple[ChipResult, ...]:
    if found is None:
        return ()
    return tuple(
        ChipResult(chip.name, shift, total)
        for chip, shift, total in zip(
            header.ref.chips, found.plain, found.totals(correction), strict=True
        )
    )
