"""The result of a run that has ended, read back from its directory."""

from __future__ import annotations

from dataclasses import replace

from alignsvc.domain.agreement import MethodAgreement
from alignsvc.domain.result import ExposureResult, HeldOutResidual
from alignsvc.io.agreement_table import read_agreement
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.locations import (
    CORRECTIONS,
    HEADERS,
    METHOD_AGREEMENT,
    MOSAIC_FITS,
    RunLocations,
)
from alignsvc.io.places import Place
from alignsvc.numerics.solve.movement import Convergence
from alignsvc.run.driver import solved_passes
from alignsvc.run.finish import summaries, tidy
from alignsvc.run.plan import Plan
from alignsvc.run.result import RunResult
from alignsvc.run.sharpness import mosaic_sharpening
from alignsvc.run.state import RunState


def finished_result(run: Place, plan: Plan, known: RunState) -> RunResult:
    """Return what `begin` returned when the run ended."""
    locations = RunLocations(run)
    tidy(run, plan.config.run.keep_mosaics)
    stem = MOSAIC_FITS.removesuffix(".fits")
    # Those of components are mosaic_1.fits and on.
    mosaics = [name for name in locations.objects.list(stem) if name.endswith(".fits")]
    return RunResult(
        directory=run,
        verdict=Convergence.CONVERGED if known.loop_end is None else known.loop_end.verdict,
        corrections=_completed(read_corrections(locations.path(CORRECTIONS)), plan, known),
        history=summaries(solved_passes(known)),
        mosaic=tuple(run / name for name in mosaics),
        headers=tuple(locations.path(name) for name in locations.objects.list(HEADERS)),
        notes=plan.notes,
        sharpening=mosaic_sharpening(run, known),
        agreement=_agreement(locations, plan),
        planned=known.planned,
    )


def _agreement(locations: RunLocations, plan: Plan) -> tuple[MethodAgreement, ...]:
    if plan.algorithms.comparison is None:
        return ()
    return read_agreement(locations.path(METHOD_AGREEMENT))


def _completed(
    rows: tuple[ExposureResult, ...], plan: Plan, known: RunState
) -> tuple[ExposureResult, ...]:
    """Return the rows with the sentences and the residuals that the table does not hold."""
    messages = {end.exposure: end.message for end in (*plan.ended, *known.ended.values())}
    held_out = {
        name: HeldOutResidual(given.before_px, given.after_px)
        for name, given in known.verdicts.items()
    }
    return tuple(
        replace(
            row,
            message=messages.get(row.id, row.message) if row.reason else row.message,
            held_out=held_out.get(row.id, row.held_out),
        )
        for row in rows
    )
