"""Exposures whose headers are wrong about flux and sky are brought to one level on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from durable_runs import content, make_sky, tell, write_config

from alignsvc import api
from alignsvc.io.simulated_files import read_truth
from alignsvc.simulation.truth import from_json

#: Exposure times in headers are wrong by up to three times either way.
WRONG = (0.3, 3.0)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sky(tmp_path_factory.mktemp("levels") / "sky", exposure_time=WRONG)


def test_wrong_exposure_times_are_found_out(sky: Path, tmp_path: Path) -> None:
    result = api.align(write_config(tmp_path / "run.yaml", sky))
    truth = from_json(read_truth(sky))
    factor = np.array([one.time_factor for one in truth.exposures])
    assert factor.max() / factor.min() > 1.5
    scale = np.array([row.level.flux_scale for row in result.corrections])
    off = np.log(scale / factor)
    assert np.abs(off - off.mean()).max() < 0.03
    assert any("flux scale" in note for note in result.notes)
    report = json.loads((result.directory / "report.json").read_text())
    assert [row["flux_scale"] for row in report["exposures"]] == scale.tolist()


@pytest.mark.slow
def test_right_exposure_times_stay_as_they_are(tmp_path: Path) -> None:
    result = api.align(write_config(tmp_path / "run.yaml", make_sky(tmp_path / "sky")))
    assert all(row.level.flux_scale == 1.0 for row in result.corrections)
    assert not any("flux scale" in note for note in result.notes)


@pytest.mark.slow
def test_skies_that_nobody_took_off_are_brought_to_one_level(sky: Path, tmp_path: Path) -> None:
    images = {"sky": {"name": "none"}, "exposure_time": None}
    result = api.align(write_config(tmp_path / "run.yaml", sky, images=images))
    truth = from_json(read_truth(sky))
    level = np.array([one.sky for one in truth.exposures])
    offset = np.array([row.level.sky_offset for row in result.corrections])
    left = level - offset
    assert np.ptp(level) > 20.0
    assert np.ptp(left) < 0.05 * np.ptp(level)


@pytest.mark.slow
def test_a_kill_while_levels_are_matched_changes_no_bit(sky: Path, tmp_path: Path) -> None:
    loop = {"alignment": {"max_iterations": [3, 2]}}
    configs = [write_config(tmp_path / f"run{n}.yaml", sky, **loop) for n in range(2)]
    (whole,) = tell([{"config": str(configs[0]), "kills": []}])
    after_first = next(moment for name, moment in whole["events"] if name == "solved") + 1
    (killed,) = tell([{"config": str(configs[1]), "kills": [after_first, 30]}])
    assert killed["codes"][:2] == [9, 9]
    assert content(configs[1].with_suffix("")) == content(configs[0].with_suffix(""))
