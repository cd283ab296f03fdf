"""Why exposures were not aligned: each reason once, with what to do next and whom it struck."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from alignsvc.domain.outcome import Status
from alignsvc.reasons import NEXT_STEP, REASON_TEXT
from alignsvc.run.seeing.picture import SeenExposure

_TEXT = {reason.value: text for reason, text in REASON_TEXT.items()}
_NEXT = {reason.value: text for reason, text in NEXT_STEP.items()}


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Exposures that ended for one reason.

    Parameters
    ----------
    status : Status
    reason : str
        A word of the closed list.
    text, next_step : str
        What it means, and what the user does; empty for a reason that this version does not know.
    rows : tuple of int
        Their places among the exposures.
    """

    status: Status
    reason: str
    text: str
    next_step: str
    rows: tuple[int, ...]


def failure_groups(exposures: Sequence[SeenExposure]) -> tuple[FailureGroup, ...]:
    """Return why exposures ended unaligned: failed ones first, then by how many they are."""
    found: dict[tuple[Status, str], list[int]] = defaultdict(list)
    for row, one in enumerate(exposures):
        if one.status not in (None, Status.ALIGNED):
            found[one.status, one.reason].append(row)
    groups = [
        FailureGroup(status, reason, _TEXT.get(reason, ""), _NEXT.get(reason, ""), tuple(rows))
        for (status, reason), rows in found.items()
    ]
    return tuple(
        sorted(
            groups,
            key=lambda one: (one.status is not Status.FAILED, -len(one.rows), one.reason),
        )
    )
