"""The report of a run: its numbers are those of its tables, and it is whole whatever went wrong."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from durable_runs import write_config

from alignsvc.api import align
from alignsvc.domain.measurement import Factors
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.io.corrections_table import read_corrections
from alignsvc.io.objects import LocalObjects
from alignsvc.run.records.result import RunResult
from alignsvc.run.records.stored import state_of
from alignsvc.run.report.pulls import find_pulls
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """The headings, the cells of tables by their section, and the drawings' data of a page."""

    def __init__(self, run: Path) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.rows: dict[str, list[list[str]]] = {}
        self.picture: Any = None
        self._in = ""
        self.feed((run / "report.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in = "data" if ("type", "application/json") in attrs else tag
        if tag in ("h1", "h2"):
            self.headings.append("")
        elif tag == "tr":
            self.rows.setdefault(self.headings[-1], []).append([])
        elif tag in ("td", "th"):
            self.rows[self.headings[-1]][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in ("h1", "h2"):
            self.headings[-1] += data
        elif self._in in ("td", "th"):
            self.rows[self.headings[-1]][-1][-1] += data
        elif self._in == "data" and self.picture is None:
            self.picture = json.loads(data)


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three exposures of a field with sources enough to hold some out, and an empty file."""
    sky = tmp_path_factory.mktemp("report") / "sky"
    settings = {
        "seed": 5,
        "layout": {"name": "stack", "count": 3, "ra": 10.0, "dec": 20.0, "jitter_arcsec": 4.0},
        "camera": {"shape": [288, 288], "scale_arcsec": 0.2},
        "header_errors": {"shift_px": [0.5, 2.0], "rotation_deg": 0.02},
    }
    simulate_to(sky, sky_settings(settings))
    (sky / "none.fits").touch()
    return sky


@pytest.fixture(scope="module")
def result(sky: Path) -> RunResult:
    alignment = {"max_iterations": [3, 1], "hold_out": 0.4}
    return align(
        write_config(sky.parent / "run.yaml", sky, output={"mosaic": "none"}, alignment=alignment)
    )


@pytest.fixture(scope="module")
def run(result: RunResult) -> Path:
    assert isinstance(result.directory, Path)
    return result.directory


@pytest.fixture(scope="module")
def told(run: Path) -> Any:
    return json.loads((run / "report.json").read_text())


def test_every_number_of_the_page_is_that_of_the_table_of_corrections(run: Path) -> None:
    page = Page(run)
    rows = {row.id: row for row in read_corrections(run / "corrections.ecsv")}
    shown = {cells[0]: cells for cells in page.rows["Exposures, worst first"][1:]}
    assert shown.keys() == rows.keys()
    assert page.rows["Exposures, worst first"][1][:2] == ["none", "failed"]
    ids = page.picture["exposures"]["id"]
    columns = {one["name"]: one["values"] for one in page.picture["columns"]}
    for k, name in enumerate(ids):
        row, cells = rows[name], shown[name]
        assert page.picture["exposures"]["status"][k] == cells[1] == row.status.value
        if row.correction is None:
            continue
        east, north = row.correction.shift.tolist()
        assert cells[4:6] == [f"{east:+.5f}", f"{north:+.5f}"]
        final = page.picture["final"]
        assert final["east_mas"][k] == pytest.approx(1e3 * east, rel=1e-5)
        turned = 3600 * row.correction.rotation_deg
        assert final["rotation_arcsec"][k] == pytest.approx(turned, rel=1e-5)
        assert columns["error north [mas]"][k] == pytest.approx(
            1e3 * np.sqrt(row.correction.covariance[1, 1]), rel=1e-5
        )
        # Not of the last pass: what was held out of it has joined since.
        assert page.picture["final"]["used"][k] == row.quality.n_used
        assert page.picture["passes"][-1]["used"][k] <= row.quality.n_used


def test_the_report_is_whole_as_json(run: Path, result: RunResult, told: Any) -> None:
    page = Page(run)
    assert page.headings[0] == f"{told['verdict']}, exit {told['exit_code']}"
    assert told["exit_code"] == page.picture["status"]["exit_code"] == int(result.exit_code)
    assert told["trust"]["heading"] == page.headings[0]
    assert told["trust"]["answer"] == "use what is aligned"
    after = {row["id"]: row["held_out_after_px"] for row in told["exposures"]}
    judged = {name: px for name, px in after.items() if px is not None}
    found = told["residuals"]["held_out_after_px"]
    assert found["worst"] == judged[found["worst_exposure"]] == max(judged.values())
    assert found["median"] == pytest.approx(np.median(list(judged.values())))
    cells = page.rows["Residuals"][2]
    assert cells[:3] == ["held-out sources, after", str(len(judged)), f"{found['median']:.4f}"]
    assert told["configuration"]["images"]["paths"] and told["configuration"]["run"]["seed"] == 0
    assert told["inputs"]["exposures"] == len(told["inputs"]["fingerprints"]) == 3
    assert told["provenance"]["versions"]["numpy"] == np.__version__
    assert all((run / name).exists() for name in told["tables"])
    stages = {one["stage"]: one for one in told["performance"]["stages"]}
    assert stages["measure"]["mpix_per_s"] > 0 and stages["merge"]["mpix_per_s"] is None
    assert told["mosaic"] == [] and told["missing"] == []


def test_pulls_are_of_the_sources_that_no_fit_used(run: Path, told: Any) -> None:
    measured = [np.load(file) for file in sorted(run.glob("history/*/*-displacements.npz"))]
    held_out = sum(int((one["flags"] == DisplacementFlag.HELD_OUT).sum()) for one in measured)
    found = find_pulls(LocalObjects(run), state_of(run), "global")
    assert found is not None
    # Two a source and exposure, but for sources that only one exposure saw.
    assert held_out < told["pulls"]["n"] == found.n <= 2 * held_out
    assert (told["pulls"]["exposures_read"], told["pulls"]["exposures"]) == (3, 3)
    assert sum(told["pulls"]["counts"]) + told["pulls"]["outside"] == found.n
    # A small simulated set: a factor of two and a half would be a mistake of units or of planes.
    assert 0.5 < told["pulls"]["rms"] < 2.5


def test_a_run_that_ended_early_says_so_and_shows_what_there_is(sky: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "run.yaml", sky, run={"max_failed_fraction": 0.1})
    result = align(config)
    assert result.ended_early
    page = Page(tmp_path / "run")
    assert page.headings[0] == "failed, exit 1"
    assert page.rows["Reasons"][1][:3] == ["failed", "1", "empty"]
    assert page.picture["status"]["standing"] == "ended early"
    assert page.picture["final"] is None and "Residuals" not in page.headings
    told = json.loads((tmp_path / "run/report.json").read_text())
    assert told["pulls"] is None and told["missing"] == []


def test_what_cannot_be_shown_is_named_and_fails_no_run(
    sky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alignsvc.errors import DamagedProduct
    from alignsvc.io import tables

    def damaged(objects: Any, name: str, kind: type, checksum: str = "") -> Any:
        if kind is Factors:
            raise DamagedProduct(f"table {name} is missing")
        return tables.read_table(objects, name, kind, checksum)

    monkeypatch.setattr("alignsvc.run.report.pulls.read_table", damaged)
    config = write_config(tmp_path / "run.yaml", sky, alignment={"max_iterations": [1, 1]})
    assert int(align(config).exit_code) == 4
    told = json.loads((tmp_path / "run/report.json").read_text())
    assert told["pulls"] is None
    (why,) = told["missing"]
    assert why.startswith("pulls: table tables/") and why.endswith("is missing")
    text = (tmp_path / "run/report.html").read_text()
    assert f"not shown: {why}" in text
    assert "Look before you use it: the loop did not converge" in text
