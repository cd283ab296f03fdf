"""What two methods differ by, as JSON values, as sentences, and as cells of the page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from alignsvc.domain.agreement import Agreement, MethodAgreement

AGREEMENT_TITLE = "By the model, minus by correlation (which is applied)"
AGREEMENT_HEAD = (
    *("exposure", "verdict", "reason", "east, middle of the footprint [px]", "north"),
    *(
        "largest in the footprint [px]",
        "its error",
        "stated error",
        "solved alone",
        "sigma",
        "sources",
        "of these apart",
    ),
    "scatter of the others [px]",
)


def agreement_json(rows: Sequence[MethodAgreement]) -> Any:
    """Return the rows of ``method_agreement.ecsv`` as JSON values; NaN becomes null."""
    return [
        {
            "id": row.id,
            "verdict": row.verdict.value,
            "reason": "" if row.reason is None else row.reason.value,
            "message": row.message,
            "dx_px": _number(row.dx_px),
            "dy_px": _number(row.dy_px),
            "largest_px": _number(row.largest_px),
            "error_px": _number(row.error_px),
            "stated_px": _number(row.stated_px),
            "alone_px": _number(row.alone_px),
            "sigma": _number(row.sigma),
            "n_sources": row.n_sources,
            "n_apart": row.n_apart,
            "scatter_px": _number(row.scatter_px),
        }
        for row in rows
    ]


def agreement_lines(rows: Sequence[MethodAgreement]) -> list[str]:
    """Return how many exposures agree, in one sentence; none if nothing was compared."""
    return _sentence(
        Counter(row.verdict for row in rows),
        [row.largest_px for row in rows if row.verdict is not Agreement.NOT_COMPARED],
    )


def reported_agreement(report: Any) -> list[str]:
    """Return the sentence of `agreement_lines` from what ``report.json`` holds."""
    rows = report.get("method_agreement", [])
    return _sentence(
        Counter(Agreement(row["verdict"]) for row in rows),
        [row["largest_px"] for row in rows if row["largest_px"] is not None],
    )


def agreement_cells(row: MethodAgreement) -> tuple[str, ...]:
    """Return a row of the page, in the order of `AGREEMENT_HEAD`."""
    head = (row.id, row.verdict.value, row.text)
    if row.verdict is Agreement.NOT_COMPARED:
        return (*head, *[""] * (len(AGREEMENT_HEAD) - len(head)))
    return (
        *head,
        f"{row.dx_px:+.4f}",
        f"{row.dy_px:+.4f}",
        f"{row.largest_px:.4f}",
        f"{row.error_px:.4f}",
        f"{row.stated_px:.4f}",
        f"{row.alone_px:.4f}",
        f"{row.sigma:.1f}",
        f"{row.n_sources}",
        f"{row.n_apart}",
        f"{row.scatter_px:.4f}",
    )


def _sentence(counts: Counter[Agreement], largest_px: Sequence[float]) -> list[str]:
    if not counts:
        return []
    told = ", ".join(f"{counts[one]} {one.value.replace('_', ' ')}" for one in Agreement)
    farthest = f"; at most {max(largest_px):.4f} px" if largest_px else ""
    return [f"exposures by the model and by correlation: {told}{farthest}"]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
