"""``method: both``: the correlation is applied, and the model says once more what it would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io.fits import FITSDiff
from durable_runs import LEFT, content, make_sky, tell, write_config
from workplaces import Command, Workplace

from alignsvc import api
from alignsvc.domain.agreement import Agreement, NotCompared
from alignsvc.domain.outcome import ExitCode
from alignsvc.io.agreement_table import read_agreement
from alignsvc.io.locations import METHOD_AGREEMENT

BOTH = {"name": "both", "source": "moffat"}


def test_each_exposure_has_a_row_that_a_finished_run_still_has(
    work: Workplace, command: Command
) -> None:
    settings = {"alignment.method": BOTH, "alignment.geometry": "rshift"}
    result = api.align(work.config(settings))
    assert result.exit_code == ExitCode.DONE
    assert [row.verdict for row in result.agreement] == [Agreement.AGREE] * 3
    for row in result.agreement:
        assert 0 < row.largest_px < 0.01
        # Both read the same noise: the difference is known better than either correction.
        assert 0 < row.error_px < 0.5 * row.stated_px
        assert 0 < row.alone_px < 2 * row.stated_px
        assert row.n_sources >= 20 and row.n_apart <= 5
    assert read_agreement(work.run / METHOD_AGREEMENT) == result.agreement
    assert api.resume(work.run).agreement == result.agreement
    told = command("report", work.run, "--json").json
    assert [row["verdict"] for row in told["method_agreement"]] == ["agree"] * 3
    assert "by the model and by correlation: 3 agree" in command("report", work.run).out
    assert "minus by correlation" in (work.run / "report.html").read_text(encoding="utf-8")


def test_exposures_that_no_model_measures_are_never_agreed(work: Workplace) -> None:
    faint = {"detection.filters": ["snr > 8", "snr < 28"]}
    settings = {"alignment.method": BOTH, "alignment.geometry": "shift", **faint}
    rows = api.align(work.config(settings)).agreement
    assert [row.verdict for row in rows] == [Agreement.NOT_COMPARED] * 3
    assert {row.reason for row in rows} == {NotCompared.NO_MODEL}
    assert all(np.isnan(row.largest_px) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("refine", [True, False])
def test_the_corrections_are_bit_for_bit_those_of_the_correlation(
    tmp_path: Path, refine: bool
) -> None:
    sky, runs = make_sky(tmp_path / "sky"), {}
    for name in ("correlate", "both"):
        method = {"method": {"name": name, "refine": refine}}
        runs[name] = api.align(write_config(tmp_path / f"{name}.yaml", sky, alignment=method))
    alone, both = (content(result.directory) for result in runs.values())
    # Headers name the run, which is another one.
    same = {name for name in alone if not name.startswith(("wcs", "mosaic.fits"))}
    assert {name: both[name] for name in same} == {name: alone[name] for name in same}
    mosaics = [str(result.directory / "mosaic.fits") for result in runs.values()]
    assert FITSDiff(*mosaics, ignore_keywords=["ALIGNRUN", "CHECKSUM"]).identical
    assert not runs["correlate"].agreement and len(runs["both"].agreement) == 3


@pytest.mark.slow
def test_a_kill_during_the_comparison_or_after_changes_no_bit(tmp_path: Path) -> None:
    sky = make_sky(tmp_path / "sky")
    method = {"alignment": {"method": BOTH, "max_iterations": [2, 1]}}
    whole = write_config(tmp_path / "whole.yaml", sky, **method)
    (told,) = tell([{"config": str(whole), "kills": []}])
    at = dict(told["events"])
    loop, end = at["loop_ended"], at["finished"]
    kills = np.linspace(loop + 1, end, 3, dtype=int).tolist()
    configs = [write_config(tmp_path / f"run{n}.yaml", sky, **method) for n in range(len(kills))]
    stories = [
        {"config": str(config), "kills": [kill]}
        for config, kill in zip(configs, kills, strict=True)
    ]
    wanted = content(whole.with_suffix(""))
    rows = (whole.with_suffix("") / METHOD_AGREEMENT).read_bytes()
    for each, config in zip(tell(stories), configs, strict=True):
        run = config.with_suffix("")
        assert each["codes"] == [9, told["codes"][-1]]
        assert len(each["tasks"]) <= len(told["tasks"]) + 1
        assert content(run) == wanted
        assert (run / METHOD_AGREEMENT).read_bytes() == rows
        assert {path.name for path in run.iterdir()} == LEFT | {METHOD_AGREEMENT}
