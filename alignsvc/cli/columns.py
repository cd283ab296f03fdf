"""The table of exposures as a terminal can show it: what does not fit is left to the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult

#: Rows that a terminal shows; the file holds all.
ROWS_SHOWN = 40
_GAP = "  "
_ID_TITLE = "exposure"
#: An id up to this length is worth more than a column; one is never cut below the other.
_WHOLE_ID, _SHORTEST_ID = 24, 12


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: its title, its text for a row, and when it goes: the highest `rank` first."""

    title: str
    text: Callable[[ExposureResult], str]
    rank: int = 0
    is_number: bool = True


def _is_in_order(row: ExposureResult) -> bool:
    return row.status is Status.ALIGNED and not row.chips_apart


def _state(row: ExposureResult) -> str:
    more = row.reason or ("chips apart" if row.chips_apart else "")
    return f"{row.status.value}: {more}" if more else row.status.value


def _shift(axis: int) -> Callable[[ExposureResult], str]:
    return lambda row: "" if row.correction is None else f"{row.correction.shift[axis]:+.4f}"


def _rotation(row: ExposureResult) -> str:
    # -0.0 + 0.0 is 0.0: no rotation at all has no sign.
    return "" if row.correction is None else f"{row.correction.rotation_deg + 0.0:+.5f}"


def _used(row: ExposureResult) -> str:
    quality = row.quality
    return f"{quality.n_used}/{quality.n_sources}" if quality.n_sources else ""


def _pixels(value: float) -> str:
    return f"{value:.4f}" if value == value else ""


_COLUMNS = (
    _Column("status", _state, is_number=False),
    _Column("verdict", lambda row: row.verdict.value, 3, is_number=False),
    _Column('east ["]', _shift(0), 1),
    _Column('north ["]', _shift(1), 1),
    _Column("rot [deg]", _rotation, 4),
    _Column("used", _used, 2),
    _Column("rmse [px]", lambda row: _pixels(row.quality.rmse_px)),
    _Column("moved [px]", lambda row: _pixels(row.last_move_px), 5),
)


def exposure_lines(results: Sequence[ExposureResult], width: int) -> list[str]:
    """Return the table in lines of at most `width` characters, trouble first.

    Columns that do not fit are left out, the least important first, before ids are cut in their
    middle; the last three columns stay whatever the width.
    """
    if not results:
        return []
    rows = sorted(results, key=lambda row: (_is_in_order(row), row.id))[:ROWS_SHOWN]
    longest_id = max(len(row.id) for row in rows)
    columns = _fitting(rows, width - max(len(_ID_TITLE), min(longest_id, _WHOLE_ID)))
    widths = [_width(column, rows) for column in columns]
    room = width - sum(widths) - len(_GAP) * len(widths)
    id_width = max(len(_ID_TITLE), min(longest_id, max(room, _SHORTEST_ID)))
    table = [[_ID_TITLE, *(column.title for column in columns)]]
    table += [[_cut(row.id, id_width), *(c.text(row) for c in columns)] for row in rows]
    pads = [str.ljust, *(str.rjust if column.is_number else str.ljust for column in columns)]
    lines = [
        _GAP.join(
            pad(cell, size)
            for pad, cell, size in zip(pads, cells, [id_width, *widths], strict=True)
        ).rstrip()
        for cells in table
    ]
    if len(results) > len(rows):
        lines.append(f"... and {len(results) - len(rows)} more, all in corrections.ecsv")
    return lines


def _fitting(rows: Sequence[ExposureResult], width: int) -> list[_Column]:
    """Return the columns that fit beside the ids, and those that must be there."""
    columns = list(_COLUMNS)
    while sum(_width(column, rows) + len(_GAP) for column in columns) > width:
        first = max(column.rank for column in columns)
        if first == 0:
            break
        columns = [column for column in columns if column.rank != first]
    return columns


def _width(column: _Column, rows: Sequence[ExposureResult]) -> int:
    return max(len(column.title), *(len(column.text(row)) for row in rows))


def _cut(name: str, width: int) -> str:
    """Return a name with its middle left out: both ends tell exposures apart."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"
