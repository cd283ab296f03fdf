"""The rows of the table of corrections, from the loop's state."""

from __future__ import annotations

from collections.abc import Mapping

from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ChipResult, ExposureResult, FitQuality, HeldOutResidual
from alignsvc.io.journal import VerdictGiven
from alignsvc.run.loop_state import LoopState
from alignsvc.run.plan import Plan

_NAN = float("nan")


def exposure_results(
    plan: Plan, state: LoopState, verdicts: Mapping[str, VerdictGiven]
) -> tuple[ExposureResult, ...]:
    """Return a row for every exposure that the run was given, in order of id."""
    ended = {end.exposure: end for end in plan.ended} | dict(state.ended)
    names = sorted({one.id for one in plan.exposures} | set(ended))
    return tuple(_row(plan, state, verdicts, name) for name in names)


def _row(
    plan: Plan, state: LoopState, verdicts: Mapping[str, VerdictGiven], name: str
) -> ExposureResult:
    end = {e.exposure: e for e in plan.ended}.get(name) or state.ended.get(name)
    judged = verdicts.get(name)
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
        chips=() if end else _chips(plan, state, name),
        quality=state.quality.get(name, FitQuality()),
        last_move_px=state.moves_px.get(name, _NAN),
        passes=state.passes.get(name, 0),
        level=state.level_of(name),
        held_out=HeldOutResidual(judged.before_px, judged.after_px)
        if judged
        else HeldOutResidual(),
    )


def _chips(plan: Plan, state: LoopState, name: str) -> tuple[ChipResult, ...]:
    """Return the chips of an exposure that have offsets."""
    found = state.chips.get(name)
    if found is None:
        return ()
    header = {header.ref.id: header for header in plan.headers}[name]
    totals = found.totals(state.corrections[name])
    return tuple(
        ChipResult(chip.name, shift, total)
        for chip, shift, total in zip(header.ref.chips, found.plain, totals, strict=True)
    )
