"""The table of reasons: why exposures are not aligned, and which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alignsvc.domain.outcome import Status
from alignsvc.domain.result import ExposureResult
from alignsvc.reasons import REASON_TEXT

REASONS_HEAD = ("status", "exposures", "reason", "what it means", "which")
#: Exposures that a line of the terminal or the page names.
_NAMED = 5
_TEXT = {reason.value: text for reason, text in REASON_TEXT.items()}


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """All exposures that ended in one way: failed ones first, then by how many they are.

    Parameters
    ----------
    status : Status
    reason : str
        A word of the closed list.
    exposures : tuple of str
        Ids, sorted.
    """

    status: Status
    reason: str
    exposures: tuple[str, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the page, in the order of `REASONS_HEAD`."""
        more = len(self.exposures) - _NAMED
        which = ", ".join(self.exposures[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        text = _TEXT.get(self.reason, "")
        return (self.status.value, str(len(self.exposures)), self.reason, text, which)


def reason_rows(corrections: Sequence[ExposureResult]) -> tuple[ReasonRow, ...]:
    """Return the table of reasons of all exposures that are not aligned; empty if all are."""
    found: dict[tuple[Status, str], set[str]] = defaultdict(set)
    for row in corrections:
        if row.status is not Status.ALIGNED:
            found[row.status, row.reason].add(row.id)
    rows = [ReasonRow(*how, tuple(sorted(names))) for how, names in found.items()]
    return tuple(
        sorted(
            rows,
            key=lambda row: (row.status is not Status.FAILED, -len(row.exposures), row.reason),
        )
    )


def reasons_json(rows: Sequence[ReasonRow]) -> Any:
    """Return the table as JSON values."""
    return [
        {
            "status": row.status.value,
            "reason": row.reason,
            "text": _TEXT.get(row.reason, ""),
            "count": len(row.exposures),
            "exposures": list(row.exposures),
        }
        for row in rows
    ]


def reason_lines(rows: Sequence[ReasonRow]) -> list[str]:
    """Return the table as lines of a terminal."""
    cells = [row.cells for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(3)] if cells else []
    return [
        f"  {line[0]:{widths[0]}} {line[1]:>{widths[1]}}  {line[2]:{widths[2]}}  "
        f"{line[3]}: {line[4]}"
        for line in cells
    ]


def reported_reasons(report: Any) -> list[str]:
    """Return the lines of `reason_lines` from what ``report.json`` holds."""
    return reason_lines(
        [
            ReasonRow(Status(row["status"]), row["reason"], tuple(row["exposures"]))
            for row in report.get("reasons", [])
        ]
    )
