"""Runs that place sources by a profile of the exposure's own stars: ``method: model``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from workplaces import Command, Workplace

from alignsvc import api
from alignsvc.domain.agreement import Agreement
from alignsvc.domain.outcome import ExitCode
from alignsvc.io.agreement_table import read_agreement

MODEL = {"name": "model", "source": "moffat"}


def test_a_run_by_models_ends_aligned_and_stays_near_the_truth(
    work: Workplace, small_sky: Path
) -> None:
    result = api.align(work.config({"alignment.method": MODEL, "alignment.geometry": "rshift"}))
    assert result.exit_code == ExitCode.DONE
    judged = api.evaluate(work.run, small_sky)
    assert judged["false_success"] == []
    assert judged["passes"] <= 3
    assert judged["before_local_rms_px"] > 0.3
    assert judged["local_rms_px"] < 0.006
    assert judged["ratio_local"] < 2.5


@pytest.mark.slow
def test_models_and_correlation_agree_within_their_errors(work: Workplace, small_sky: Path) -> None:
    shift, error = [], []
    for method in (MODEL, {"name": "correlate"}):
        place = Workplace(work.root / method["name"])
        place.root.mkdir()
        settings = {"alignment.method": method, "alignment.geometry": "rshift"}
        config = place.config({**settings, "images.paths": [f"{work.inputs}/*"]})
        found = api.align(config).corrections
        shift.append([one.correction.shift for one in found])
        error.append([np.sqrt(np.diag(one.correction.covariance)[:2]) for one in found])
    apart = np.array(shift[0]) - np.array(shift[1])
    assert (np.abs(apart) < 3 * np.hypot(*np.array(error))).all()


def test_a_model_without_the_global_solver_is_refused(work: Workplace, command: Command) -> None:
    settings = {"alignment.method": MODEL, "alignment.solver": "independent"}
    ended = command("check", work.config(settings))
    assert ended.code == 2
    assert "set it to global or use correlate" in ended.sentence


BOTH = {"name": "both", "source": "moffat"}


def test_both_methods_are_compared_and_the_correlation_is_what_is_applied(
    work: Workplace, small_sky: Path, command: Command
) -> None:
    alone = Workplace(work.root / "alone")
    alone.root.mkdir()
    paths = {"images.paths": [f"{work.inputs}/*"], "alignment.geometry": "rshift"}
    api.align(alone.config(paths))
    result = api.align(work.config({**paths, "alignment.method": BOTH}))
    assert result.exit_code == ExitCode.DONE
    same = [(one / "corrections.ecsv").read_bytes() for one in (alone.run, work.run)]
    assert same[0] == same[1]
    assert [row.verdict for row in result.agreement] == [Agreement.AGREE] * 3
    for row in result.agreement:
        assert 0 < row.largest_px < 0.02 and 0 < row.error_px < 0.01
        assert row.n_sources >= 20 and row.n_apart <= 5
    assert read_agreement(work.run / "method_agreement.ecsv") == result.agreement
    # A finished run is read back, and not compared again.
    assert api.resume(work.run).agreement == result.agreement
    told = command("report", work.run, "--json").json
    assert [row["verdict"] for row in told["method_agreement"]] == ["agree"] * 3
    assert "by the model and by correlation: 3 agree" in command("report", work.run).out
    assert "minus by correlation" in (work.run / "report.html").read_text(encoding="utf-8")
