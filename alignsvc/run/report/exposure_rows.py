"""The exposures that are to be looked at first, as rows of a table that needs no script."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.run.status.source_counts import COUNTS_HEAD, counts_cells

#: Rows that the table has at the most, of exposures that are not aligned and of aligned ones.
_MOST_ENDED, _MOST_ALIGNED = 20, 30
_COLOUR_TERM = ("redder by a magnitude: shift east [mas]", "north", "its error")
_ORDER = {Status.FAILED: 0, Status.SKIPPED: 1, Status.ALIGNED: 3}


def worst_first(rows: Sequence[ExposureResult]) -> list[ExposureResult]:
    """Return exposures: failed, skipped, those with chips apart, then by their residual.

    That is what held-out sources have after the correction, or the rms of the fit where none were
    held out.
    """
    return sorted(rows, key=_badness)


def shown_rows(rows: Sequence[ExposureResult]) -> list[ExposureResult]:
    """Return those that are to be looked at first: as many of each kind as a page shall have."""
    ordered = worst_first(rows)
    ended = [row for row in ordered if row.status is not Status.ALIGNED]
    return [*ended[:_MOST_ENDED], *ordered[len(ended) :][:_MOST_ALIGNED]]


def _badness(row: ExposureResult) -> tuple[int, float, str]:
    if row.status is not Status.ALIGNED:
        return (_ORDER[row.status], 0.0, row.id)
    kind = 2 if row.chips_apart else _ORDER[row.status]
    after_px = row.held_out.after_px
    size = after_px if math.isfinite(after_px) else row.quality.rmse_px
    return (kind, -size if math.isfinite(size) else 0.0, row.id)


def exposure_head(rows: Sequence[ExposureResult]) -> tuple[str, ...]:
    """Return the heads of `exposure_cells`."""
    return (
        *("exposure", "status", "reason", "verdict", "shift east [arcsec]", "shift north"),
        *("rotation [deg]", *COUNTS_HEAD, "rmse [px]", "last movement [px]"),
        *("held-out sources off, before [px]", "after"),
        *(_COLOUR_TERM if _has_colours(rows) else ()),
    )


def exposure_rows(rows: Sequence[ExposureResult]) -> list[tuple[str, tuple[str, ...]]]:
    """Return of each exposure its kind and its cells, in the order of `exposure_head`."""
    has_colours = _has_colours(rows)
    return [
        (_kind(row), (*_cells(row), *(_colour_cells(row) if has_colours else ()))) for row in rows
    ]


def _has_colours(rows: Sequence[ExposureResult]) -> bool:
    return any(row.colour_term is not None for row in rows)


def _cells(row: ExposureResult) -> tuple[str, ...]:
    head = (row.id, row.status.value, _remark(row), row.verdict.value)
    if row.correction is None:
        return (*head, *[""] * (7 + len(COUNTS_HEAD)))
    return (
        *head,
        f"{row.correction.shift[0]:+.5f}",
        f"{row.correction.shift[1]:+.5f}",
        f"{row.correction.rotation_deg:+.6f}",
        *counts_cells(row.quality),
        f"{row.quality.rmse_px:.4f}",
        f"{row.last_move_px:.4f}",
        *(_or_nothing(px) for px in (row.held_out.before_px, row.held_out.after_px)),
    )


def _kind(row: ExposureResult) -> str:
    return "apart" if row.chips_apart else row.status.value


def _remark(row: ExposureResult) -> str:
    """Return why an exposure is not aligned, or which of its chips are not."""
    apart = (f"{chip.name} by {chip.length_px:.3f} px" for chip in row.chips_apart)
    return row.message or row.reason or f"not its chips {', '.join(apart)}" * bool(row.chips_apart)


def _colour_cells(row: ExposureResult) -> tuple[str, ...]:
    if row.colour_term is None:
        return ("",) * len(_COLOUR_TERM)
    east, north = row.colour_term.shift_mas
    return (f"{east:+.2f}", f"{north:+.2f}", f"{max(row.colour_term.error_mas):.2f}")


def _or_nothing(value_px: float) -> str:
    return f"{value_px:.4f}" if math.isfinite(value_px) else ""
