"""Cameras of several chips that do not stand where headers have them: found, or at least named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from alignsvc import api
from alignsvc.domain.correction import Geometry
from alignsvc.domain.outcome import ExitCode
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.run.report.summary import report_lines
from alignsvc.simulation.evaluate import Evaluation, evaluate
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import draw_truth

pytestmark = pytest.mark.slow

#: Six exposures of four chips, dithered by a third of the camera.
SKY: Mapping[str, Any] = {
    "seed": 31,
    "layout": {"name": "dither", "count": 6, "ra": 150.1, "dec": 2.2, "reach": 0.3},
    "camera": {"shape": [256, 256], "chips": [2, 2], "gap_px": 20.0, "scale_arcsec": 0.2},
    "stars": {"density": 140.0},
}
HEADERS: Mapping[str, Any] = {"shift_px": [0.5, 2.0], "rotation_deg": 0.02}
IN_ONE = {"chips": [{"chip": 1, "shift_px": [0.6, -0.4], "exposure": 2}]}
IN_ALL = {"chip_shift_px": 0.5}


def aligned(
    folder: Path, errors: Mapping[str, Any], *, chip_offsets: bool
) -> tuple[api.RunResult, Mapping[str, Any]]:
    sky = {**SKY, "header_errors": {**HEADERS, **errors}}
    (folder / "sky.yaml").write_text(yaml.safe_dump(sky), encoding="utf-8")
    api.simulate(folder / "sky.yaml", folder / "sky")
    settings = {
        "run": {"directory": str(folder / "run"), "keep_mosaics": "none"},
        "images": {"paths": [str(folder / "sky" / "*.fits")], "chip_offsets": chip_offsets},
        "alignment": {"geometry": "rshift"},
        "output": {"wcs": "none", "mosaic": "none", "report": "html", "history": "none"},
        "cluster": {"backend": "serial"},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    result = api.align(folder / "config.yaml")
    assert result.exit_code == ExitCode.DONE
    return result, api.evaluate(folder / "run", folder / "sky")


def without_displacement(result: api.RunResult) -> Evaluation:
    """Judge a run's corrections by headers that have the errors of the exposures only."""
    truth = draw_truth(sky_settings({**SKY, "header_errors": HEADERS}))
    totals = {row.id: row.correction for row in result.corrections}
    wcs = {
        one.id: [corrected(chip.given_wcs, totals[one.id]) for chip in one.chips]
        for one in truth.exposures
    }
    return evaluate(truth, wcs, geometry=Geometry.RSHIFT)


def test_chips_displaced_in_all_exposures_are_put_where_they_are(tmp_path: Path) -> None:
    result, judged = aligned(tmp_path, IN_ALL, chip_offsets=True)
    assert len(result.history) <= 3
    assert judged["before_local_rms_px"] > 0.5
    assert judged["ratio_local"] < 1.4
    assert judged["false_success"] == []
    assert all(len(row.chips) == 4 for row in result.corrections)


def test_without_the_option_chips_displaced_in_all_exposures_are_named(tmp_path: Path) -> None:
    result, judged = aligned(tmp_path, IN_ALL, chip_offsets=False)
    assert judged["false_success"] == []  # the stated errors say that no correction holds
    assert judged["local_rms_px"] > 0.1
    (note,) = (note for note in result.notes if "images.chip_offsets: true" in note)
    assert "SCI,1 by 0.9" in note
    (warning,) = result.warnings
    assert warning.startswith("6 of 6 aligned exposures have chips for which")
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert report["warnings"] == [warning]
    named = {chip["name"] for row in report["exposures"] for chip in row["chips_apart"]}
    assert "SCI,1" in named
    assert any(line == f"warning: {warning}" for line in report_lines(api.report(tmp_path / "run")))
    assert note in (tmp_path / "run" / "report.html").read_text(encoding="utf-8").replace(
        "&#x27;", "'"
    )


def test_a_chip_displaced_in_one_exposure_is_named_and_bends_no_correction(tmp_path: Path) -> None:
    result, judged = aligned(tmp_path, IN_ONE, chip_offsets=False)
    assert judged["false_success"] == []
    (note,) = (note for note in result.notes if note.startswith("exposure exp002: chip SCI,2 "))
    assert "lies 0.7" in note
    assert without_displacement(result).ratio_local < 1.4


def test_a_chip_displaced_in_one_exposure_gets_an_offset_of_its_own(tmp_path: Path) -> None:
    result, judged = aligned(tmp_path, IN_ONE, chip_offsets=True)
    (note,) = (note for note in result.notes if note.startswith("exposure exp002: chip SCI,2 "))
    assert "it has an offset of its own" in note
    assert judged["ratio_local"] < 1.4
    assert judged["false_success"] == []


def test_offsets_that_are_not_there_cost_no_more_than_not_knowing_them(tmp_path: Path) -> None:
    result, judged = aligned(tmp_path, {}, chip_offsets=True)
    assert judged["ratio_local"] < 1.4
    assert judged["ratio_affine"] < 1.4
    assert result.notes == ()
