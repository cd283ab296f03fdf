"""What a run by both methods says of each exposure: the verdict, the table, the warning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alignsvc.domain.agreement import (
    NOT_COMPARED_TEXT,
    Agreement,
    MethodAgreement,
    NotCompared,
    least_sigma,
)
from alignsvc.domain.outcome import Convergence
from alignsvc.errors import RunStoreError
from alignsvc.io.agreement_table import agreement_to_ecsv, read_agreement
from alignsvc.reasons import SkipReason
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.contents import ReportContents
from alignsvc.run.report.pages import report_html
from alignsvc.run.report.summary import report_lines, result_json, result_lines

FAR = MethodAgreement(
    "far", Agreement.AGREE, None, 0.03, -0.04, 0.05, 0.002, 0.01, 0.07, 20.0, 40, 3, 0.02
)  # fmt: skip
NONE = MethodAgreement("none", Agreement.NOT_COMPARED, NotCompared.NO_MODEL)
BROKEN = MethodAgreement(
    "broken", Agreement.NOT_COMPARED, NotCompared.FAILED, message='LinAlgError: "Singular, matrix"'
)


def test_an_exposure_differs_beyond_chance_and_stated_errors_and_what_nobody_minds() -> None:
    assert FAR.judged(10, 0.003).verdict is Agreement.DIFFER
    for change in ({"sigma": 3.0}, {"stated_px": 0.03}, {"largest_px": 0.0029}):
        assert replace(FAR, **change).judged(10, 0.003).verdict is Agreement.AGREE
    assert replace(FAR, sigma=3.0).judged(1, 0.003).verdict is Agreement.DIFFER


def test_more_exposures_are_farther_apart_by_chance() -> None:
    assert [round(least_sigma(n), 1) for n in (0, 1, 10, 1000)] == [2.6, 2.6, 3.3, 4.4]


def test_the_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    rows = (FAR.judged(2, 0.003), NONE, BROKEN)
    (tmp_path / "table.ecsv").write_bytes(agreement_to_ecsv(rows))
    read = read_agreement(tmp_path / "table.ecsv")
    assert read[0] == rows[0]
    assert read[1].reason is NotCompared.NO_MODEL and read[1].n_sources == 0
    assert read[2].reason is NotCompared.FAILED and read[2].message == BROKEN.message
    with pytest.raises(RunStoreError, match="not a table of what two methods"):
        (tmp_path / "other.ecsv").write_text("a,b")
        read_agreement(tmp_path / "other.ecsv")
    with pytest.raises(RunStoreError, match=r"none.ecsv: there is no such file"):
        read_agreement(tmp_path / "none.ecsv")


def test_what_differs_is_warned_of_and_what_was_not_compared_is_never_agreed() -> None:
    rows = (FAR.judged(2, 0.003), replace(FAR, id="near", sigma=1.0), NONE)
    result = RunResult(Path("run"), Convergence.CONVERGED, (), (), (), (), (), agreement=rows)
    (warning,) = result.warnings
    assert warning.startswith("1 of 2 compared exposures lie elsewhere by the model")
    assert "far: 0.0500 +- 0.0020 px, stated error 0.0100 px, 3 of 40 sources apart" in warning
    counted = "by the model and by correlation: 1 agree, 1 differ, 1 not compared"
    told = json.loads(json.dumps(result_json(result), allow_nan=False))
    assert told["method_agreement"][2]["largest_px"] is None
    assert told["method_agreement"][2]["reason"] == "no_model"
    for lines in (result_lines(result), report_lines(told)):
        assert any(counted in line for line in lines) and f"warning: {warning}" in lines
    assert f"<td>{NONE.text}</td>" in report_html(ReportContents(result))


def test_a_measurement_that_failed_is_warned_of_with_what_failed() -> None:
    rows = (replace(FAR, sigma=1.0), BROKEN)
    result = RunResult(Path("run"), Convergence.CONVERGED, (), (), (), (), (), agreement=rows)
    (warning,) = result.warnings
    assert warning.startswith("1 of 2 exposures could not be measured by both methods")
    assert f"broken: {BROKEN.message}" in warning
    told = json.loads(json.dumps(result_json(result), allow_nan=False))
    assert told["method_agreement"][1]["message"] == BROKEN.message
    assert "its measurement by the model failed: LinAlgError" in report_html(ReportContents(result))


def test_every_reason_has_a_text_and_those_of_the_solve_are_among_them() -> None:
    assert set(NOT_COMPARED_TEXT) == set(NotCompared)
    for reason in (SkipReason.TOO_FEW_SOURCES, SkipReason.DEGENERATE_FIT):
        assert NotCompared(reason.value) in NOT_COMPARED_TEXT
