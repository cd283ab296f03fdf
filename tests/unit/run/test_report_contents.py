"""What the report of a run says: whether to trust it, and the numbers that this rests on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Convergence, Status, Verdict
from alignsvc.domain.result import ChipApart, ExposureResult, FitQuality, HeldOutResidual
from alignsvc.run.planning.outlines import Outlines
from alignsvc.run.records.result import PassSummary, RunResult
from alignsvc.run.records.state import RunState
from alignsvc.run.report.contents import ReportContents
from alignsvc.run.report.correction_errors import rotation_error_deg, shift_error_arcsec
from alignsvc.run.report.exposure_rows import shown_rows, worst_first
from alignsvc.run.report.pages import report_html
from alignsvc.run.report.pulls import Pulls
from alignsvc.run.report.reported_picture import reported_picture
from alignsvc.run.report.residual_statistics import residual_statistics
from alignsvc.run.report.trust import Trust, trust_of
from alignsvc.run.seeing.pass_columns import PassColumns
from alignsvc.run.seeing.picture import RunPicture
from alignsvc.run.status.run_status import RunStatus

PLANE = TangentPlane(10.0, 2.0)


def row(name: str, before_px: float = 1.0, after_px: float = 0.01) -> ExposureResult:
    numbers = np.array([0.1, -0.2, 1.0, 2e-5, -2e-5, 1.0])
    total = Correction.from_parameters(PLANE, numbers, Geometry.GENERAL, np.diag([1e-6] * 6))
    return ExposureResult(
        name, Status.ALIGNED, "", "", Verdict.IMPROVED, Geometry.GENERAL, 0, False, total,
        FitQuality(30, 20, 0.02, 0.01, 5), 0.001, 2, HeldOutResidual(before_px, after_px),
    )  # fmt: skip


def ended(name: str, status: Status = Status.FAILED, reason: str = "empty") -> ExposureResult:
    return replace(
        row(name), status=status, reason=reason, message=f"{name} is empty", correction=None,
        verdict=Verdict.UNTESTED, held_out=HeldOutResidual(), quality=FitQuality(),
    )  # fmt: skip


def result(*rows: ExposureResult, verdict: Convergence = Convergence.CONVERGED) -> RunResult:
    passes = (PassSummary(1, True, 2.0, 3, 90), PassSummary(2, True, 0.001, 3, 95))
    return RunResult(Path("run"), verdict, rows, passes, (), (Path("run/wcs/a.fits"),), ())


APART = replace(row("d"), chips_apart=(ChipApart("SCI,2", (0.3, 0.4), 0.01),))
TERM = ColourTerm((12.25, -6.0), (0.5, float("inf")))


@pytest.mark.parametrize(
    ("found", "trust", "words"),
    [
        (result(row("a"), row("b")), Trust.USE, "converged and 2 exposures are aligned"),
        (result(row("a"), ended("b")), Trust.USE_IN_PART, "1 that failed is left out"),
        (result(row("a"), APART), Trust.USE_IN_PART, "but there are warnings"),
        (
            result(row("a"), verdict=Convergence.MAX_ITERATIONS),
            Trust.LOOK,
            "did not converge (max iterations). The corrections are those of its best pass",
        ),
        (result(ended("a"), ended("b")), Trust.NOTHING, "every exposure failed"),
        (
            result(ended("a", Status.SKIPPED, "no_overlap")),
            Trust.NOTHING,
            "no exposure is aligned; the reasons are below",
        ),
        (
            replace(result(ended("b")), ended_early="1 of 2 exposures failed", headers=()),
            Trust.NOTHING,
            "the run ended before its loop did, no headers are written. 1 of 2 exposures failed",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Trust) else None,
)
def test_the_page_begins_with_whether_to_trust_the_run(
    found: RunResult, trust: Trust, words: str
) -> None:
    contents = ReportContents(found)
    told = trust_of(contents)
    assert told.trust is trust
    assert words in told.lines[0]
    assert told.heading.endswith(f", exit {int(found.exit_code)}")
    headings = re.findall(r"<h[1-6]>([^<]*)", report_html(contents))
    assert headings[0] == told.heading
    assert f">{told.lines[0]}</p>" in report_html(contents)


def test_held_out_sources_are_told_with_those_that_were_put_back() -> None:
    worse = replace(ended("c", Status.SKIPPED, "worse"), verdict=Verdict.WORSE)
    told = trust_of(ReportContents(result(row("a", 2.0, 0.5), row("b", 1.0, 0.1), worse)))
    assert "2 improved, 1 worse and put back to their input headers" in told.lines[1]
    # The number is of single sources, with their noise: exposures lie much nearer than that.
    assert "A typical one lies 0.3000 px per axis" in told.lines[1]
    assert "its own noise included, 1.5000 px before" in told.lines[1]
    assert "in the worst, a, 0.5000 px." in told.lines[1]


def test_a_step_that_was_not_measured_again_is_told() -> None:
    rows = (row("a", 2.0, 2.0),)
    stopped = result(*rows, verdict=Convergence.MAX_ITERATIONS)
    assert "before the last step of 0.0010 px" in trust_of(ReportContents(stopped)).lines[-1]
    # The pass that is kept was measured by the one after it.
    worse_since = replace(stopped, history=stopped.history[::-1])
    assert "last step" not in " ".join(trust_of(ReportContents(worse_since)).lines)
    assert "last step" not in " ".join(trust_of(ReportContents(result(*rows))).lines)


@pytest.mark.slow
def test_a_page_of_five_thousand_exposures_is_small_enough_to_open() -> None:
    names = [f"night{k % 70:02d}/exposure{k:06d}" for k in range(5000)]
    rows = [row(name, 1.0, 0.01 + k / 1e6) for k, name in enumerate(names)]
    names.sort()
    seen = picture(*names)
    contents = ReportContents(
        result(*sorted(rows, key=lambda one: one.id)),
        picture=reported_picture(replace(seen, passes=seen.passes * 5), result(*rows)),
    )
    assert len(report_html(contents).encode()) < 20e6
    assert len(json.dumps(contents.as_json())) < 20e6


def test_distributions_are_of_aligned_exposures_that_were_judged() -> None:
    values = np.linspace(0.01, 1.0, 101)
    rows = [row(f"e{k:03d}", 2.0, after) for k, after in enumerate(values)]
    blind = replace(row("blind"), held_out=HeldOutResidual())
    found = residual_statistics([*rows, blind, ended("z")])
    assert found.after is not None and found.before is not None and found.rmse is not None
    assert (found.after.n, found.rmse.n) == (101, 102)
    assert found.after.median == pytest.approx(np.median(values))
    assert found.after.p95 == pytest.approx(np.quantile(values, 0.95))
    assert (found.after.worst, found.after.worst_id) == (1.0, "e100")
    drawn = found.histogram
    assert drawn is not None
    assert (drawn.before.sum(), drawn.after.sum()) == (101, 101)
    assert residual_statistics([ended("z")]).rows == ()
    one = residual_statistics([row("only", 0.5, 0.5)]).histogram
    assert one is not None and one.after.sum() == 1


def test_exposures_are_ordered_by_what_is_wrong_with_them() -> None:
    rows = [row("a", 1.0, 0.2), row("b", 1.0, 0.9), APART, ended("e", Status.SKIPPED), ended("f")]
    assert [one.id for one in worst_first(rows)] == ["f", "e", "d", "b", "a"]
    many = [*(ended(f"f{k:03d}") for k in range(500)), *rows]
    assert {"a", "b", "d"} < {one.id for one in shown_rows(many)}
    assert len(shown_rows(many)) < 60


def test_a_rotation_has_the_error_that_its_parameters_scatter_by() -> None:
    random = np.random.default_rng(5)
    root = random.normal(size=(6, 6)) * 1e-5
    numbers = np.array([0.1, 0.2, 0.9, 0.4, -0.5, 1.1])
    made = [
        Correction.from_parameters(PLANE, numbers + root @ random.normal(size=6), Geometry.GENERAL)
        for _ in range(4000)
    ]
    one = Correction.from_parameters(PLANE, numbers, Geometry.GENERAL, root @ root.T)
    scatter = np.std([each.rotation_deg for each in made])
    assert rotation_error_deg(one) == pytest.approx(scatter, rel=0.05)
    assert shift_error_arcsec(one) == pytest.approx(
        np.std([each.shift for each in made], axis=0), rel=0.05
    )


def test_pulls_say_how_they_compare_with_a_normal() -> None:
    random = np.random.default_rng(6)
    found = Pulls.of(2.0 * random.normal(size=(5000, 2)), "about", 7, 9)
    assert found is not None
    assert found.rms == pytest.approx(2.0, abs=0.05)
    assert found.half_width_68 == pytest.approx(2.0, abs=0.05)
    assert found.counts.sum() + found.n_outside == found.n == 10_000
    assert "(the first 7 of 9 exposures)" in found.line()
    assert Pulls.of(np.full((3, 2), np.nan), "about", 1, 1) is None
    page = report_html(ReportContents(result(row("a")), pulls=found))
    assert "unit normal" in page and f"rms {found.rms:.2f}" in page


def picture(*names: str) -> RunPicture:
    """Return what the loop saw last: other numbers than the result has."""
    n = len(names)
    last = PassColumns(
        2, True, 0.5, 90, np.array(names), np.tile(np.eye(2), (n, 1, 1)), np.zeros((n, 2)),
        np.ones((n, 2)), np.full(n, 0.5), np.full(n, 0.5), np.full(n, 3), np.full(n, 2),
    )  # fmt: skip
    nothing = np.zeros(0)
    outlines = Outlines(
        np.array(names), np.full(n, 10.0), np.full(n, 2.0), np.zeros(n), np.zeros(n),
        np.full(n, 0.2), np.zeros(0, int), np.zeros(1, int), nothing, nothing,
    )  # fmt: skip
    return RunPicture(RunStatus(Path("run"), RunState(), eps_shift_px=0.003), (last,), (), outlines)


def test_drawings_and_table_show_what_the_run_leaves_and_not_its_last_pass() -> None:
    found = result(row("a"), ended("b"), APART, replace(row("e"), colour_term=TERM))
    told = json.loads(
        json.dumps(reported_picture(picture("a", "b", "d", "e"), found), allow_nan=False)
    )
    assert told["exposures"]["status"] == ["aligned", "failed", "aligned", "aligned"]
    assert told["exposures"]["message"][1] == "b is empty"
    assert told["final"]["east_mas"][:2] == [pytest.approx(100.0), None]
    assert told["final"]["rmse_px"][0] == 0.02
    assert told["passes"][-1]["rmse_px"][0] == 0.5
    columns = {one["name"]: one["values"] for one in told["columns"]}
    assert told["final"]["north_mas"] == [pytest.approx(-200.0), None, *[pytest.approx(-200.0)] * 2]
    # Its errors are in the same units, and no column is there twice.
    assert columns["error east [mas]"][:2] == [pytest.approx(1.0), None]
    assert columns["held out"] == [5, None, 5, 5]
    assert columns["chips apart"] == [None, None, "SCI,2", None]
    assert columns["farthest chip apart [px]"][2] == pytest.approx(0.5)
    assert columns["redder by a magnitude: east [mas]"] == [None, None, None, 12.25]
    # An error that nobody knows is no number.
    assert "error of that, north [mas]" not in columns
    # The journal does not say yet that the run ends; the page does.
    assert told["status"]["exit_code"] == 1 and told["status"]["finished"]


def test_a_run_that_ended_early_is_not_drawn_as_finished() -> None:
    found = replace(result(ended("b")), ended_early="too many failed", verdict=Convergence.RUNNING)
    told = reported_picture(picture("a", "b"), found)
    assert told["status"]["standing"] == "ended early"
    assert told["exposures"]["status"] == ["not aligned", "failed"]
    assert told["final"] is None


def test_text_from_outside_is_text_on_the_page() -> None:
    bad = replace(ended("<b>x</b>"), message="</script><img src=x onerror=alert(1)>")
    contents = ReportContents(result(bad), missing=("pulls: <i>damaged</i>",))
    drawn = replace(contents, picture=reported_picture(picture("<b>x</b>"), contents.result))
    page = report_html(drawn)
    assert "<b>" not in page and "<img" not in page and "<i>" not in page
    assert "&lt;/script&gt;&lt;img" in page
    assert page.count("</script>") == 3
