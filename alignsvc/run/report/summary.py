"""Plain values that say how things stand: for the terminal, for JSON, for the page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.run.plan import Plan
from alignsvc.run.result import RunResult

#: JSON-able values; keys are part of the public contract of ``--json``.
Json = Any


def result_json(result: RunResult) -> Json:
    """Return a run's result as JSON values; NaN becomes null."""
    return {
        "directory": str(result.directory),
        "verdict": result.verdict.value,
        "exit_code": int(result.exit_code),
        "counts": {status.value: result.counts[status] for status in Status},
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
        "headers": [str(path) for path in result.headers],
        "notes": list(result.notes),
    }


def result_lines(result: RunResult) -> list[str]:
    """Return how a run ended, in sentences."""
    counts = result.counts
    lines = [
        f"{result.verdict.value} after {len(result.history)} passes: {counts[Status.ALIGNED]} "
        f"aligned, {counts[Status.SKIPPED]} skipped, {counts[Status.FAILED]} failed"
    ]
    lines += [f"  {row.message}" for row in result.corrections if row.message][:10]
    if result.headers:
        lines.append(f"corrected headers: {result.headers[0].parent} ({len(result.headers)} files)")
    lines += [f"mosaic: {path}" for path in result.mosaic]
    lines.append(f"table of corrections: {result.directory / 'corrections.ecsv'}")
    lines += [f"note: {note}" for note in result.notes[:10]]
    return lines


def plan_json(plan: Plan) -> Json:
    """Return a plan as JSON values."""
    return {
        "identity": plan.identity,
        "exposures": [one.id for one in plan.exposures],
        "ended": [
            {"id": e.exposure, "status": e.status.value, "reason": e.reason, "message": e.message}
            for e in plan.ended
        ],
        "components": [
            {
                "exposures": sum(one.component == grid.component for one in plan.exposures),
                "tangent_ra": grid.plane.ra_deg,
                "tangent_dec": grid.plane.dec_deg,
                "scale_arcsec": grid.scale_arcsec,
                "shape": list(grid.shape),
                "tiles": grid.n_tiles[0] * grid.n_tiles[1],
            }
            for grid in plan.grids
        ],
        "tasks_per_pass": tasks_per_pass(plan),
        "disk_bytes": disk_bytes(plan),
        "exit_code": int(plan.exit_code),
        "notes": list(plan.notes),
    }


def plan_lines(plan: Plan) -> list[str]:
    """Return what a run would do, in sentences."""
    lines = [f"{len(plan.exposures)} exposures to align in {len(plan.grids)} component(s)"]
    for grid in plan.grids:
        ny, nx = grid.shape
        lines.append(
            f"component {grid.component}: mosaic {nx} x {ny} px of {grid.scale_arcsec:.4f} arcsec, "
            f"{grid.n_tiles[0] * grid.n_tiles[1]} tiles, about RA {grid.plane.ra_deg:.5f} "
            f"Dec {grid.plane.dec_deg:+.5f}"
        )
    lines.append(
        f"about {tasks_per_pass(plan)} tasks a full pass, {disk_bytes(plan) / 1e9:.2f} GB of disk"
    )
    reasons = Counter((e.status.value, e.reason) for e in plan.ended)
    lines += [f"{n} {status}: {reason}" for (status, reason), n in sorted(reasons.items())]
    lines += [f"  {e.message}" for e in plan.ended[:10]]
    lines += [f"note: {note}" for note in plan.notes[:10]]
    return lines


def tasks_per_pass(plan: Plan) -> int:
    """Return the number of tasks of a full pass: two an exposure, three a tile."""
    tiles = sum(grid.n_tiles[0] * grid.n_tiles[1] for grid in plan.grids)
    return 2 * len(plan.exposures) + 3 * tiles


def disk_bytes(plan: Plan) -> int:
    """Return the disk that the run needs at its peak, without compression.

    Two generations of the mosaic (numerator, weight, segmentation, 8 bytes each) and the
    contributions of two (numerator, weight, 4 bytes each, on whole tiles).
    """
    mosaic = sum(2 * 24 * grid.shape[0] * grid.shape[1] for grid in plan.grids)
    contributions = 0
    for one in plan.exposures:
        grid = plan.grids[one.component]
        ty, tx = grid.tile_shape
        for wcs in one.header.wcs:
            zoom = wcs.pixel_scale_arcsec / grid.scale_arcsec
            ny, nx = wcs.shape
            contributions += int(2 * 8 * (ny * zoom + ty) * (nx * zoom + tx))
    return mosaic + contributions


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
        "n_sources": row.quality.n_sources,
        "n_used": row.quality.n_used,
        "rmse_px": _number(row.quality.rmse_px),
        "mae_px": _number(row.quality.mae_px),
        "last_move_px": _number(row.last_move_px),
    }


def _number(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
