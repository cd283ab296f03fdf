"""The result of a run that has ended, read back from its directory."""

from __future__ import annotations

import json
from dataclasses import replace

from alignsvc.config.schema import Config
from alignsvc.domain.agreement import MethodAgreement
from alignsvc.domain.outcome import Convergence
from alignsvc.domain.result import ExposureResult, HeldOutResidual
from alignsvc.io.agreement_table import read_agreement
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.locations import (
    CORRECTIONS,
    HEADERS,
    METHOD_AGREEMENT,
    MOSAIC_FITS,
    REPORT_JSON,
    RunLocations,
)
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.run.finishing.finish import summaries
from alignsvc.run.finishing.sharpness import mosaic_sharpening
from alignsvc.run.loop.driver import solved_passes
from alignsvc.run.loop.start_table import StartTable
from alignsvc.run.pictures.previewing import find_preview
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.state import RunState


def finished_result(run: Place, config: Config, known: RunState) -> RunResult:
    """Return what `begin` returned when the run ended; its inputs may have gone since."""
    locations = RunLocations(run)
    stem = MOSAIC_FITS.removesuffix(".fits")
    # Those of components are mosaic_1.fits and on.
    mosaics = [name for name in locations.objects.list(stem) if name.endswith(".fits")]
    return RunResult(
        directory=run,
        verdict=Convergence.CONVERGED if known.loop_end is None else known.loop_end.verdict,
        corrections=_completed(read_corrections(locations.path(CORRECTIONS)), known),
        history=summaries(solved_passes(known)),
        mosaic=tuple(run / name for name in mosaics),
        headers=tuple(locations.path(name) for name in locations.objects.list(HEADERS)),
        notes=_notes(locations),
        sharpening=mosaic_sharpening(run, known),
        agreement=_agreement(locations, config),
        planned=known.planned,
        preview=find_preview(run),
        copies=_copies(locations, known),
    )


def too_late(run: Place, stored: Config, asked: Config) -> tuple[str, ...]:
    """Return what is asked for of a run that has ended, and would have had to be asked before.

    The report is not told of: it is no part of what a run is for.
    """
    now, then = (one.output.model_dump(exclude={"report"}) for one in (asked, stored))
    return tuple(
        f"output.{key}: {asked_for} comes too late: the run ended with {then[key]}"
        + (f"; `alignsvc apply {run}` writes its headers elsewhere" if key == "wcs" else "")
        for key, asked_for in now.items()
        if asked_for != then[key]
    )


def _notes(locations: RunLocations) -> tuple[str, ...]:
    report = locations.objects.find(REPORT_JSON)
    return () if report is None else tuple(json.loads(report)["notes"])


def _copies(locations: RunLocations, known: RunState) -> tuple[tuple[str, str], ...]:
    if known.start is None:
        return ()
    return read_table(locations.objects, known.start.name, StartTable, known.start.checksum).copies


def _agreement(locations: RunLocations, config: Config) -> tuple[MethodAgreement, ...]:
    if config.alignment.method.name != "both":
        return ()
    return read_agreement(locations.path(METHOD_AGREEMENT))


def _completed(rows: tuple[ExposureResult, ...], known: RunState) -> tuple[ExposureResult, ...]:
    """Return the rows with the sentences and the residuals that the table does not hold."""
    messages = {end.exposure: end.message for end in known.ended.values()}
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
