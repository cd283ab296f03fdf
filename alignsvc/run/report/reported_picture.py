"""The picture of a run that its report draws: as the run ends, not as its journal has it so far.

The journal does not say yet that the run has ended when its report is written, and the last pass is
not what comes of it: sources that were held out have joined the fit since, headers may have failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignsvc.domain.correction import Correction
from alignsvc.domain.result import ExposureResult
from alignsvc.run.records.journal_view import GOING, NOT_ALIGNED
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.correction_errors import rotation_error_deg, shift_error_arcsec
from alignsvc.run.seeing.parts import picture_json
from alignsvc.run.seeing.pass_columns import PassColumns
from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.seeing.picture_json import Json, pass_json, short
from alignsvc.run.status.run_status import RunStanding

#: How the page calls a run that ended before its loop did.
_EARLY = "ended early"


def reported_picture(picture: RunPicture, result: RunResult) -> Json:
    """Return a picture as `picture_json` does, with the end that the run is coming to.

    Two parts are the report's own: ``final``, the corrections as a pass has them, or null where
    there are none, and ``columns``, what the table shows besides: names with values.
    """
    told = picture_json(picture)
    ids = [one.id for one in picture.exposures]
    rows = {row.id: row for row in result.corrections}
    known = [rows.get(name) for name in ids]
    exposures = told["exposures"]
    for k, row in enumerate(known):
        if row is not None:
            exposures["status"][k] = row.status.value
            exposures["reason"][k], exposures["message"][k] = row.reason, row.message
            told["held_out"]["verdict"][k] = row.verdict.value
        elif exposures["status"][k] == GOING:  # as it is until this report is written
            exposures["status"][k] = NOT_ALIGNED
    final = _final(picture, [row for row in known if row is not None])
    return {
        **told,
        "status": {
            **told["status"],
            "standing": _EARLY if result.ended_early else RunStanding.FINISHED.value,
            "finished": not result.ended_early,
            "exit_code": int(result.exit_code),
        },
        "lines": [],
        "final": None if final is None else pass_json(final, picture.outlines, ids),
        "columns": _columns(known),
    }


def _final(picture: RunPicture, rows: Sequence[ExposureResult]) -> PassColumns | None:
    """Return the corrections that the run leaves, as a pass has them; None if it leaves none."""
    found = [(row, row.correction) for row in rows if row.correction is not None]
    if not found or not picture.passes:
        return None
    last = picture.passes[-1]
    return PassColumns(
        number=last.number,
        is_full=last.is_full,
        movement_px=last.movement_px,
        n_catalogued=last.n_catalogued,
        id=np.array([row.id for row, _ in found], str),
        matrix=np.array([one.matrix for _, one in found]),
        shift_arcsec=np.array([one.shift for _, one in found]),
        error_arcsec=np.array([shift_error_arcsec(one) for _, one in found]),
        move_px=np.array([row.last_move_px for row, _ in found]),
        rmse_px=np.array([row.quality.rmse_px for row, _ in found]),
        n_sources=np.array([row.quality.n_sources for row, _ in found]),
        n_used=np.array([row.quality.n_used for row, _ in found]),
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table: its name, and what it has of an exposure (None: nothing)."""

    name: str
    value: Callable[[ExposureResult], float | str | None]


def _of_correction(value: Callable[[Correction], float]) -> Callable[[ExposureResult], Any]:
    return lambda row: None if row.correction is None else value(row.correction)


def _of_colour(axis: int, *, is_error: bool) -> Callable[[ExposureResult], Any]:
    def value(row: ExposureResult) -> float | None:
        term = row.colour_term
        if term is None:
            return None
        return (term.error_mas if is_error else term.shift_mas)[axis]

    return value


def _counted(value: Callable[[ExposureResult], float]) -> Callable[[ExposureResult], Any]:
    return lambda row: value(row) if row.quality.n_sources else None


def _turning_error(found: Correction) -> float:
    return 3600.0 * rotation_error_deg(found)


_ALWAYS = (
    # In the units of the columns that every view has.
    _Column("error east [mas]", _of_correction(lambda one: 1e3 * shift_error_arcsec(one)[0])),
    _Column("error north [mas]", _of_correction(lambda one: 1e3 * shift_error_arcsec(one)[1])),
    _Column("error of rotation [arcsec]", _of_correction(_turning_error)),
    _Column("held out", _counted(lambda row: row.quality.n_held_out)),
    _Column("rejected", _counted(lambda row: row.quality.n_rejected)),
)
#: Shown where any exposure has something to show.
_SOMETIMES = (
    _Column("redder by a magnitude: east [mas]", _of_colour(0, is_error=False)),
    _Column("error of that, east [mas]", _of_colour(0, is_error=True)),
    _Column("redder by a magnitude: north [mas]", _of_colour(1, is_error=False)),
    _Column("error of that, north [mas]", _of_colour(1, is_error=True)),
    _Column("farthest chip apart [px]", lambda row: _farthest(row)),
    _Column("chips apart", lambda row: ", ".join(chip.name for chip in row.chips_apart) or None),
)


def _columns(rows: Sequence[ExposureResult | None]) -> list[Json]:
    made = [
        {"name": one.name, "values": [_cell(one, row) for row in rows]}
        for one in (*_ALWAYS, *_SOMETIMES)
    ]
    is_kept = [
        k < len(_ALWAYS) or any(value is not None for value in one["values"])
        for k, one in enumerate(made)
    ]
    return [one for one, kept in zip(made, is_kept, strict=True) if kept]


def _cell(column: _Column, row: ExposureResult | None) -> float | str | None:
    value = None if row is None else column.value(row)
    return value if value is None or isinstance(value, str) else short(float(value))


def _farthest(row: ExposureResult) -> float | None:
    return max((chip.length_px for chip in row.chips_apart), default=math.nan)
