"""What a result says beside its counts: in the terminal, in JSON and on the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Convergence, ExitCode, Status, Verdict
from alignsvc.domain.result import ChipApart, ExposureResult, FitQuality
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.contents import ReportContents
from alignsvc.run.report.pages import report_html
from alignsvc.run.report.summary import report_lines, result_json, result_lines

TWO = (ChipApart("SCI,2", (0.3, -0.4), 0.01), ChipApart("SCI,4", (0.1, 0.0), 0.01))


def row(name: str, apart: tuple[ChipApart, ...], term: ColourTerm | None = None) -> ExposureResult:
    total = Correction.identity(TangentPlane(10.0, 2.0), Geometry.SHIFT)
    return ExposureResult(
        name, Status.ALIGNED, "", "", Verdict.IMPROVED, Geometry.SHIFT, 0, False, total,
        FitQuality(10, 8, 0.01, 0.008), 0.001, 2, chips_apart=apart, colour_term=term,
    )  # fmt: skip


def result(*rows: ExposureResult, notes: tuple[str, ...] = ()) -> RunResult:
    return RunResult(Path("run"), Convergence.CONVERGED, rows, (), (), (), notes)


def test_aligned_exposures_whose_chips_are_not_are_warned_of_beside_the_counts() -> None:
    found = result(row("a", TWO), row("b", TWO[1:]), row("c", ()))
    (warning,) = found.warnings
    assert warning.startswith("2 of 3 aligned exposures have chips")
    assert "(SCI,2, SCI,4; SCI,2 of a is off by 0.500 +- 0.010 px)" in warning
    assert "set images.chip_offsets: true" in warning
    assert result_lines(found)[1] == f"warning: {warning}"
    told = json.loads(json.dumps(result_json(found), allow_nan=False))
    assert report_lines(told)[1] == f"warning: {warning}"
    assert told["exposures"][0]["chips_apart"][0] == {
        "name": "SCI,2", "offset_px": [0.3, -0.4], "error_px": 0.01,
    }  # fmt: skip
    page = report_html(ReportContents(found))
    assert "<td>not its chips SCI,2 by 0.500 px, SCI,4 by 0.100 px</td>" in page
    assert page.count('class="apart"') == 2
    # Its stated errors hold it: the contract calls that aligned, and the run done.
    assert found.exit_code == ExitCode.DONE


def test_a_run_in_which_nobody_is_aligned_does_not_say_that_it_converged() -> None:
    one = replace(row("a", ()), status=Status.SKIPPED, reason="too_few_sources", correction=None)
    found = result(one)
    assert result_lines(found)[0] == "no exposure is aligned: 0 aligned, 1 skipped, 0 failed"
    told = json.loads(json.dumps(result_json(found), allow_nan=False))
    assert report_lines(told)[0].startswith("no exposure is aligned: 0 aligned, 1 skipped")


def test_without_such_chips_there_is_nothing_to_warn_of() -> None:
    assert result(row("a", ())).warnings == ()


def test_colour_terms_stand_with_their_exposures() -> None:
    term = ColourTerm((12.25, -6.0), (0.5, float("inf")))
    found = result(row("a", (), term), row("b", ()))
    first, second = result_json(found)["exposures"]
    assert first["colour_term"]["shift_mas_per_mag"] == pytest.approx([12.25, -6.0])
    assert first["colour_term"]["error_mas_per_mag"] == [0.5, None]
    assert "colour_term" not in second
    assert "<td>+12.25</td><td>-6.00</td><td>inf</td>" in report_html(ReportContents(found))


def test_the_page_holds_every_note_and_a_terminal_the_first() -> None:
    found = result(row("a", ()), notes=tuple(f"told {k}" for k in range(30)))
    assert "note: told 29" in report_html(ReportContents(found))
    assert not any("told 29" in line for line in result_lines(found))
