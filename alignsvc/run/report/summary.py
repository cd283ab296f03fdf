"""Plain values that say how things stand: for the terminal, for JSON, for the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ChipApart, ChipResult, ExposureResult
from alignsvc.io.locations import REPORT_HTML, RunLocations
from alignsvc.io.places import common_folder, run_place
from alignsvc.numerics.sources.sharpness import Sharpening
from alignsvc.redaction import redacted
from alignsvc.run.needs.prediction import predicted
from alignsvc.run.planning.header_progress import planned_json
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.result import RunResult, completion_of
from alignsvc.run.report.agreement import agreement_json, agreement_lines, reported_agreement
from alignsvc.run.report.correction_errors import rotation_error_deg, shift_error_arcsec
from alignsvc.run.report.needs import prediction_json, prediction_lines
from alignsvc.run.report.reasons import reason_lines, reason_rows, reasons_json, reported_reasons
from alignsvc.run.status.source_counts import counts_json
from alignsvc.wording import counted

#: JSON-able values; keys are part of the public contract of ``--json``.
Json = Any

#: Sentences of one kind that a terminal shows; the report holds all.
_SHOWN = 10


def result_json(result: RunResult) -> Json:
    """Return a run's result as JSON values; NaN becomes null."""
    return {
        "directory": str(result.directory),
        "completion": completion_of(result).value,
        "verdict": result.verdict.value,
        "exit_code": int(result.exit_code),
        "ended_early": result.ended_early,
        "reasons": reasons_json(reason_rows(result.corrections)),
        "counts": {status.value: result.counts[status] for status in Status},
        "planned": planned_json(result.planned),
        "passes": [
            {
                "number": one.number,
                "full": one.is_full,
                "movement_px": _number(one.movement_px),
                "solved": one.n_solved,
                "sources": one.n_sources,
            }
            for one in result.history
        ],
        "exposures": [_exposure(row) for row in result.corrections],
        "mosaic": [str(path) for path in result.mosaic],
        "preview": None if result.preview is None else str(result.preview),
        "headers": [str(path) for path in result.headers],
        "sharpening": _sharpening(result.sharpening),
        **({"method_agreement": agreement_json(result.agreement)} if result.agreement else {}),
        "warnings": list(result.warnings),
        "notes": [redacted(note) for note in result.notes],
    }


def _sharpening(found: Sharpening | None) -> Json:
    if found is None or not found.is_known:
        return None
    return {
        "sources": found.n_sources,
        "before_fwhm_px": found.before_fwhm_px,
        "after_fwhm_px": found.after_fwhm_px,
        "gain": found.gain,
        "error": found.error,
    }


def result_lines(result: RunResult, most_notes: int | None = _SHOWN) -> list[str]:
    """Return how a run ended, in sentences, with so many notes at the most; None = all."""
    counts = result.counts
    lines = [
        f"{_outcome(result.verdict.value, counts[Status.ALIGNED], len(result.history))}: "
        f"{counts[Status.ALIGNED]} aligned, {counts[Status.SKIPPED]} skipped, "
        f"{counts[Status.FAILED]} failed"
    ]
    if result.ended_early:
        lines = [f"failed: {result.ended_early}"]
    lines += [f"warning: {text}" for text in result.warnings]
    lines += reason_lines(reason_rows(result.corrections))
    lines += _first(row.message for row in result.corrections if row.message)
    if (sharper := result.sharpening) is not None and sharper.is_known:
        lines.append(
            f"FWHM of {counted(sharper.n_sources, 'source')} on the mosaic: "
            f"{sharper.before_fwhm_px:.2f} px by the input headers, "
            f"{sharper.after_fwhm_px:.2f} px after"
        )
    lines += agreement_lines(result.agreement)
    if result.headers:
        folder = common_folder(result.headers)
        lines.append(f"corrected headers: {folder} ({counted(len(result.headers), 'file')})")
    lines += [f"mosaic: {path}" for path in result.mosaic]
    if result.preview is not None:
        lines.append(f"picture of the mosaic: {result.preview}")
    if not result.ended_early:
        lines.append(f"table of corrections: {result.directory / 'corrections.ecsv'}")
    lines += [f"note: {redacted(note)}" for note in result.notes[:most_notes]]
    return lines


def _outcome(verdict: str, n_aligned: int, n_passes: int) -> str:
    """Return how the loop ended; a loop that had nobody to move has not converged on anything."""
    if not n_aligned:
        return "no exposure is aligned"
    return f"{verdict} after {counted(n_passes, 'pass', 'passes')}"


def ended_lines(result: RunResult) -> list[str]:
    """Return how a run ended, and where its page is: what to look at first comes last."""
    return [*result_lines(result), *_page_lines(RunLocations(result.directory))]


def _page_lines(run: RunLocations) -> list[str]:
    return [f"report: {run.path(REPORT_HTML)}"] if run.objects.exists(REPORT_HTML) else []


def report_lines(report: Json) -> list[str]:
    """Return what ``report.json`` holds, in sentences."""
    run = RunLocations(run_place(report["directory"]))
    counts = ", ".join(f"{report['counts'][status.value]} {status.value}" for status in Status)
    outcome = _outcome(report["verdict"], report["counts"]["aligned"], len(report["passes"]))
    lines = [f"{outcome}: {counts}; exit {report['exit_code']}"]
    if report.get("ended_early"):
        lines = [f"failed: {report['ended_early']}"]
    lines += [
        f"pass {one['number']}{' (full)' if one['full'] else ''}: largest movement "
        f"{one['movement_px']:.4f} px, {counted(one['solved'], 'exposure')} solved"
        for one in report["passes"]
        if one["movement_px"] is not None
    ]
    if planned := report.get("planned"):
        lines.append(
            f"headers: {planned['headers_read']} exposures read in {planned['reading_s']:.1f} s; "
            f"planned in {planned['planning_s']:.1f} s"
        )
    lines += [f"warning: {text}" for text in report.get("warnings", [])]
    lines += reported_agreement(report)
    lines += reported_reasons(report)
    lines += _first(row["message"] for row in report["exposures"] if row["message"])
    lines += [f"note: {note}" for note in report["notes"][:_SHOWN]]
    return [*lines, *_page_lines(run)]


def plan_json(plan: Plan) -> Json:
    """Return a plan as JSON values."""
    return {
        "identity": plan.identity,
        "exposures": [one.id for one in plan.moving],
        "extends": extends(plan),
        "ended": [
            {"id": e.exposure, "status": e.status.value, "reason": e.reason, "message": e.message}
            for e in plan.ended
        ],
        "components": [
            {
                "exposures": sum(one.component == grid.component for one in plan.moving),
                "tangent_ra": grid.plane.ra_deg,
                "tangent_dec": grid.plane.dec_deg,
                "scale_arcsec": grid.scale_arcsec,
                "shape": list(grid.shape),
                "tiles": grid.n_tiles[0] * grid.n_tiles[1],
                "tiles_made": len(plan.tiles_made(grid)),
            }
            for grid in plan.grids
        ],
        **prediction_json(predicted(plan)),
        "exit_code": int(plan.exit_code),
        "notes": _plan_notes(plan),
    }


def plan_lines(plan: Plan) -> list[str]:
    """Return what a run would do, in sentences."""
    n, parts = len(plan.moving), len(plan.grids)
    lines = [
        f"{counted(n, 'exposure')} to align, in {counted(parts, 'component')}"
        if n
        else "nothing to align: no two usable exposures overlap"
    ]
    for grid in plan.grids:
        ny, nx = grid.shape
        n_tiles = grid.n_tiles[0] * grid.n_tiles[1]
        kept = n_tiles - len(plan.tiles_made(grid))
        also = f" ({kept} kept)" if kept else ""
        lines.append(
            f"component {grid.component}: mosaic {nx} x {ny} px of {grid.scale_arcsec:.4f} arcsec, "
            f"{counted(n_tiles, 'tile')}{also}, about RA {grid.plane.ra_deg:.5f} Dec "
            f"{grid.plane.dec_deg:+.5f}"
        )
    lines += prediction_lines(predicted(plan)) if plan.exposures else []
    reasons = Counter((e.status.value, e.reason) for e in plan.ended)
    lines += [f"{n} {status}: {reason}" for (status, reason), n in sorted(reasons.items())]
    lines += _first(e.message for e in plan.ended)
    lines += [f"note: {note}" for note in _plan_notes(plan)[:_SHOWN]]
    return lines


def _plan_notes(plan: Plan) -> list[str]:
    corrected = [
        f"{header.ref.id}: its WCS holds the correction of run {header.corrected_by} already; "
        "`alignsvc revert` takes it out"
        for header in plan.headers
        if header.corrected_by
    ]
    return [*plan.notes, *corrected]


def extends(plan: Plan) -> Json:
    """Return what a plan extends as JSON values; None if nothing."""
    if plan.earlier is None:
        return None
    everyone = (*plan.exposures, *plan.idle)
    return {
        "run": plan.earlier.directory,
        "frozen": plan.earlier.is_frozen,
        "old": sum(one.known is not None for one in everyone),
        "not_read": len(plan.idle),
        "new": sum(one.known is None for one in everyone),
    }


def _exposure(row: ExposureResult) -> Json:
    found = row.correction
    return {
        "id": row.id,
        "status": row.status.value,
        "reason": row.reason,
        "message": row.message,
        "verdict": row.verdict.value,
        "component": row.component,
        "shift_arcsec": None if found is None else found.shift.tolist(),
        "matrix": None if found is None else found.matrix.tolist(),
        "rotation_deg": None if found is None else found.rotation_deg,
        "shift_error_arcsec": None if found is None else shift_error_arcsec(found).tolist(),
        "rotation_error_deg": None if found is None else rotation_error_deg(found),
        "geometry": row.geometry.value,
        "passes": row.passes,
        **counts_json(row.quality),
        "rmse_px": _number(row.quality.rmse_px),
        "mae_px": _number(row.quality.mae_px),
        "last_move_px": _number(row.last_move_px),
        "flux_scale": row.level.flux_scale,
        "sky_offset": row.level.sky_offset,
        "held_out_before_px": _number(row.held_out.before_px),
        "held_out_after_px": _number(row.held_out.after_px),
        **({"chips": [_chip(chip) for chip in row.chips]} if row.chips else {}),
        **({"chips_apart": [_apart(chip) for chip in row.chips_apart]} if row.chips_apart else {}),
        **({"colour_term": _colour_term(row.colour_term)} if row.colour_term else {}),
    }


def _apart(chip: ChipApart) -> Json:
    return {"name": chip.name, "offset_px": list(chip.offset_px), "error_px": chip.error_px}


def _colour_term(term: ColourTerm) -> Json:
    return {
        "shift_mas_per_mag": list(term.shift_mas),
        "error_mas_per_mag": [_number(error) for error in term.error_mas],
    }


def _chip(chip: ChipResult) -> Json:
    total = chip.correction
    return {
        "name": chip.name,
        "offset_arcsec": list(chip.shift),
        "shift_arcsec": total.shift.tolist(),
        "shift_error_arcsec": np.sqrt(np.diag(total.covariance)[:2]).tolist(),
    }


def _first(messages: Iterable[str]) -> list[str]:
    """Return the first messages, each on a line of its own, and how many more there are."""
    lines = [f"  {message}" for message in messages]
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"  ... and {more} more"] if more > 0 else [])]


def _number(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
