"""A picture of a run as JSON, for pages and widgets: columns, as short as eyes need them.

Every column has a number, or null, for each of ``exposures.id``, which are in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray
from alignsvc.run.planning.outlines import Outlines
from alignsvc.run.seeing.failures import failure_groups
from alignsvc.run.seeing.pass_columns import PassColumns
from alignsvc.run.seeing.picture import RunPicture, SeenExposure
from alignsvc.run.seeing.work_json import sample_columns, task_columns
from alignsvc.run.status.stage_times import StageTime
from alignsvc.version import VERSION

Json: TypeAlias = dict[str, Any]
#: Digits that a page needs of a measured number, and of a place on the sky (4e-9 degrees).
_DIGITS, _SKY_DECIMALS = 6, 8


def moment_json(picture: RunPicture) -> Json:
    """Return what may be another with each look: standing, stages, log."""
    return {
        "version": VERSION,
        "status": picture.status.as_json(),
        "lines": picture.status.lines(),
        "now_s": picture.status.now_s,
        "trouble": picture.trouble,
        "stages": [_stage(one) for one in picture.stages],
        "log": [
            [line.time_s, line.what.value, line.stage, line.subject, line.text]
            for line in picture.log
        ],
    }


def exposures_json(picture: RunPicture) -> Json:
    """Return where exposures lie and how they ended."""
    ids = [one.id for one in picture.exposures]
    return {
        "exposures": _exposures(picture.exposures, picture.outlines, ids),
        "held_out": _held_out(picture, ids),
        "failures": [
            {
                "status": one.status.value,
                "reason": one.reason,
                "text": one.text,
                "next": one.next_step,
                "rows": list(one.rows),
            }
            for one in failure_groups(picture.exposures)
        ],
    }


def passes_json(picture: RunPicture) -> Json:
    """Return what each pass did to each exposure."""
    ids = [one.id for one in picture.exposures]
    return {"passes": [pass_json(one, picture.outlines, ids) for one in picture.passes]}


def mosaic_json(picture: RunPicture) -> Json:
    """Return pictures of the mosaic; null where there are none."""
    return {"mosaic": None if picture.mosaic is None else picture.mosaic.json}


def tasks_json(picture: RunPicture) -> Json:
    """Return when and where tasks were done, a bounded number of them."""
    return {"tasks": task_columns(picture.tasks)}


def workers_json(picture: RunPicture) -> Json:
    """Return how workers and driver were over time, a bounded number of samples."""
    return {"workers": sample_columns(picture.samples)}


def _exposures(exposures: Sequence[SeenExposure], outlines: Outlines, ids: Sequence[str]) -> Json:
    rows = _rows(outlines.id, ids)
    ra, dec = (np.round(one, _SKY_DECIMALS).tolist() for one in (outlines.ra, outlines.dec))
    return {
        "id": list(ids),
        "status": [one.how for one in exposures],
        "reason": [one.reason for one in exposures],
        "message": [one.message for one in exposures],
        "ra": _column(outlines.middle_ra, rows, len(ids), decimals=_SKY_DECIMALS),
        "dec": _column(outlines.middle_dec, rows, len(ids), decimals=_SKY_DECIMALS),
        "scale_arcsec": _column(outlines.scale_arcsec, rows, len(ids)),
        "outlines": [
            [int(rows[owner]), ra[first:last], dec[first:last]]
            for owner, first, last in zip(
                outlines.owner, outlines.first[:-1], outlines.first[1:], strict=True
            )
        ],
    }


def _held_out(picture: RunPicture, ids: Sequence[str]) -> Json:
    given = [picture.status.state.verdicts.get(name) for name in ids]
    return {
        "verdict": ["" if one is None else one.verdict.value for one in given],
        "before_px": [None if one is None else short(one.before_px) for one in given],
        "after_px": [None if one is None else short(one.after_px) for one in given],
    }


def pass_json(columns: PassColumns, outlines: Outlines, ids: Sequence[str]) -> Json:
    """Return columns of exposures as JSON values, for each of `ids`, which are in order."""
    rows, n = _rows(columns.id, ids), len(ids)
    moved = columns.displacement_arcsec(outlines.middles_in_planes(columns.id))
    # Nothing is known of an exposure that no source measured, were its errors written as 0.
    is_measured = (columns.n_used > 0) | (columns.error_arcsec != 0.0).any(axis=1)
    error_mas = np.where(is_measured[:, None], 1e3 * columns.error_arcsec, np.nan)
    return {
        "number": columns.number,
        "full": columns.is_full,
        "movement_px": short(columns.movement_px),
        "catalogued": columns.n_catalogued,
        "move_px": _column(columns.move_px, rows, n),
        "east_mas": _column(1e3 * moved.x, rows, n),
        "north_mas": _column(1e3 * moved.y, rows, n),
        "east_error_mas": _column(error_mas[:, 0], rows, n),
        "north_error_mas": _column(error_mas[:, 1], rows, n),
        "rotation_arcsec": _column(3600.0 * columns.rotation_deg, rows, n),
        "rmse_px": _column(columns.rmse_px, rows, n),
        "used": _column(columns.n_used.astype(float), rows, n),
        "measured": _column(columns.n_sources.astype(float), rows, n),
    }


def _stage(one: StageTime) -> Json:
    return {
        "stage": one.stage,
        "pass": one.pass_number,
        "began_s": one.began_s,
        "ended_s": one.ended_s,
        "tasks": one.n_tasks,
        "skipped": one.n_skipped,
        "failed": one.n_failed,
        "reused": one.n_reused,
        "work_s": short(one.work_s),
        "peak_bytes": one.peak_bytes,
        "lost": one.is_lost,
    }


def _rows(names: NDArray[Any], ids: Sequence[str]) -> NDArray[np.int64]:
    """Return which of `ids` each name is; all are among them."""
    if not len(names):
        return np.empty(0, np.int64)
    return np.searchsorted(np.array(ids, str), names)


def _column(
    values: FloatArray, rows: NDArray[np.int64], n: int, decimals: int | None = None
) -> list[float | None]:
    """Return values at their rows, null elsewhere and for what is not finite."""
    column: list[float | None] = [None] * n
    digits = _rounded(values) if decimals is None else np.round(values, decimals)
    for row, value in zip(rows.tolist(), digits.tolist(), strict=True):
        column[row] = value if isfinite(value) else None
    return column


def _rounded(values: FloatArray) -> FloatArray:
    """Return values of so many digits; what is not finite stays."""
    size = np.abs(values)
    power = np.floor(np.log10(size, where=(size > 0) & np.isfinite(size), out=np.zeros(len(size))))
    digits = _DIGITS - 1 - power
    # A whole number over, or times, a power of ten is what is written with so many digits.
    up, down = 10.0 ** np.maximum(digits, 0), 10.0 ** np.maximum(-digits, 0)
    rounded: FloatArray = np.round(values * up / down) / up * down
    return rounded


def short(value: float) -> float | None:
    """Return a number with the digits that a page needs; None for what is not finite."""
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None
