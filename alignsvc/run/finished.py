"""The result of a run that has ended, read back from its directory."""

from __future__ import annotations

from pathlib import Path

from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.locations import CORRECTIONS, HEADERS, MOSAIC_FITS, RunLocations
from alignsvc.numerics.solve.movement import Convergence
from alignsvc.run.plan import Plan
from alignsvc.run.result import PassSummary, RunResult
from alignsvc.run.state import RunState


def finished_result(run: Path, plan: Plan, known: RunState) -> RunResult:
    """Return what `begin` returned when the run ended."""
    locations = RunLocations(run)
    rule = plan.algorithms.rule
    verdict = rule(known.movements_px) if known.movements_px else Convergence.CONVERGED
    folder = locations.path(HEADERS)
    stem = MOSAIC_FITS.removesuffix(".fits")
    return RunResult(
        directory=run,
        verdict=Convergence.CONVERGED if verdict is Convergence.RUNNING else verdict,
        corrections=read_corrections(locations.path(CORRECTIONS)),
        history=tuple(
            PassSummary(
                record.number,
                record.is_full,
                record.solution.movement_px,
                record.solution.n_solved,
                known.sources.n_chosen if known.sources is not None else 0,
            )
            for record in known.passes
            if record.solution is not None
        ),
        mosaic=tuple(sorted(run.glob(f"{stem}*.fits"))),
        headers=tuple(sorted(p for p in folder.rglob("*") if p.is_file())),
        notes=plan.notes,
    )
