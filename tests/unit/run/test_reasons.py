"""The table of reasons: failed ones first, the most frequent reason first."""

from __future__ import annotations

import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.reasons import REASON_TEXT, FailureKind, SkipReason
from alignsvc.run.report.reasons import reason_lines, reason_rows, reasons_json, reported_reasons


def row(name: str, status: Status, reason: str) -> ExposureResult:
    quality = FitQuality()
    return ExposureResult(
        name, status, reason, "", Verdict.UNTESTED, Geometry.SHIFT, 0, False, None, quality, 0.0, 0
    )


SKIPPED = [row(f"s{n}", Status.SKIPPED, SkipReason.NO_OVERLAP) for n in range(9)]
FAILED = [row("b", Status.FAILED, FailureKind.MEMORY), row("a", Status.FAILED, FailureKind.MEMORY)]


def test_failed_ones_come_first_and_long_lists_are_cut() -> None:
    aligned = row("fine", Status.ALIGNED, "")
    lines = reason_lines(reason_rows([*SKIPPED, aligned, *FAILED]))
    assert lines == [
        "  failed  2  memory      its task needs more memory than there is: a, b",
        "  skipped 9  no_overlap  it overlaps no other exposure: s0, s1, s2, s3, s4 and 4 more",
    ]


def test_where_all_are_aligned_there_is_no_table() -> None:
    assert reason_lines(reason_rows([row("fine", Status.ALIGNED, "")])) == []


def test_the_table_reads_the_same_from_json() -> None:
    rows = reason_rows([*SKIPPED, *FAILED])
    assert reported_reasons({"reasons": reasons_json(rows)}) == reason_lines(rows)


@pytest.mark.parametrize("reason", [*FailureKind, *SkipReason])
def test_every_reason_has_its_sentence_in_the_table(reason: FailureKind | SkipReason) -> None:
    status = Status.FAILED if isinstance(reason, FailureKind) else Status.SKIPPED
    (line,) = reason_lines(reason_rows([row("x", status, reason)]))
    assert REASON_TEXT[reason] in line
