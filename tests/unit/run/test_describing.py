"""What functions return is told in the sentences of the command line."""

from __future__ import annotations

from pathlib import Path

import alignsvc
from alignsvc.domain.outcome import Verdict
from alignsvc.io.journal import VerdictGiven
from alignsvc.run.records.state import RunState
from alignsvc.run.status.explaining import Explanation, ExposureInput, verdict_text
from alignsvc.run.status.run_status import RunStatus


def test_a_status_and_an_explanation_are_described_by_their_lines() -> None:
    status = RunStatus(Path("/runs/a"), RunState())
    told = Explanation(
        "a", "failed", "no_wcs", "no WCS", "give it one", "", ExposureInput(), (), ()
    )
    for found in (status, told):
        assert alignsvc.describe(found) == "\n".join(found.lines())
    assert "what to do: give it one" in alignsvc.describe(told)


def test_an_exposure_that_nobody_tested_has_no_numbers() -> None:
    nan = float("nan")
    untested = verdict_text(VerdictGiven("a", Verdict.UNTESTED, nan, nan))
    assert "nan" not in untested and "untested" in untested
    judged = verdict_text(VerdictGiven("a", Verdict.IMPROVED, 0.5, 0.01))
    assert judged == "held-out sources: improved, 0.5000 px off before, 0.0100 px after"
