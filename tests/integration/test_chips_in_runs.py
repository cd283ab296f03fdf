"""Runs in which chips have offsets: killed, resumed, applied, and refused where they cannot be."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from durable_runs import content, tell, write_config
from test_resume import moment_after, plain, tools_for
from threadpoolctl import threadpool_limits

from alignsvc import api
from alignsvc.config.build import build_algorithms
from alignsvc.config.schema import Config
from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.outcome import Status
from alignsvc.errors import ConfigError
from alignsvc.io.corrections_table import read_corrections
from alignsvc.run.loop.passes import begin_pass, run_pass
from alignsvc.run.records.state import fold
from alignsvc.run.stages.loop_state import PassSettings
from alignsvc.run.stages.solved_table import restored
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three exposures of two chips, dithered over the gap; one chip stands 0.8 px elsewhere."""
    folder = tmp_path_factory.mktemp("chips") / "sky"
    camera = {"shape": [192, 192], "chips": [1, 2], "gap_px": 10.0, "scale_arcsec": 0.2}
    layout = {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2, "jitter_arcsec": 10.0}
    simulate_to(
        folder,
        sky_settings(
            {
                "seed": 4,
                "layout": layout,
                "camera": camera,
                "stars": {"density": 200.0},
                "header_errors": {"chips": [{"chip": 1, "shift_px": [0.8, 0.0]}]},
            }
        ),
    )
    return folder


def config_of(path: Path, sky: Path, **sections: dict[str, Any]) -> Path:
    images = {"paths": [f"{sky}/*.fits"], "chip_offsets": True}
    return write_config(path, sky, images=images, **sections)


@pytest.fixture(scope="module")
def finished(sky: Path) -> Path:
    """The directory of a run to its end."""
    return api.align(config_of(sky.with_name("whole.yaml"), sky)).directory


@pytest.mark.slow
def test_a_kill_changes_no_bit(sky: Path, tmp_path: Path) -> None:
    whole, killed = (config_of(tmp_path / f"{name}.yaml", sky) for name in ("whole", "killed"))
    told = tell([{"config": str(whole), "kills": []}])[0]
    kills = [moment_after(told, "solved", 0), 60]
    again = tell([{"config": str(killed), "kills": kills}])[0]
    assert again["codes"] == [9, 9, told["codes"][-1]]
    assert content(killed.with_suffix("")) == content(whole.with_suffix(""))


def plain_with_chips(state: Any) -> Any:
    kept = plain(state)
    for name in ("chips", "chips_at_start"):
        kept[name] = {
            key: [getattr(one, field.name).tobytes() for field in fields(ChipShifts)]
            for key, one in getattr(state, name).items()
        }
    return kept


@pytest.mark.slow
def test_the_journal_leads_to_the_chips_that_the_driver_had(sky: Path, tmp_path: Path) -> None:
    tools = tools_for(config_of(tmp_path / "run.yaml", sky))
    state = restored(tools, fold(()).settled)
    with threadpool_limits(limits=1):
        for settings in (PassSettings(1, is_full=True), PassSettings(2, is_full=False)):
            state = run_pass(tools, settings, begin_pass(tools, settings, state))
            again = restored(tools, fold(tools.journal.events()).settled)
            kept, found = plain_with_chips(state), plain_with_chips(again)
            for of_start in ("pass_start", "chips_at_start"):
                del kept[of_start], found[of_start]
            assert found == kept
    assert sorted(state.chips) == ["exp000", "exp001", "exp002"]
    before = {name: chips.plain for name, chips in again.chips_at_start.items()}
    assert before == {name: chips.plain for name, chips in state.chips_at_start.items()}


def test_the_table_has_a_row_for_each_chip(finished: Path) -> None:
    table = Table.read(finished / "corrections.ecsv", format="ascii.ecsv")
    assert list(table["id"]) == [name for name in ("exp000", "exp001", "exp002") for _ in (0, 1)]
    assert list(table["chip"]) == ["SCI,1", "SCI,2"] * 3
    between = np.hypot(*(np.diff(table[f"chip_shift_{axis}"])[::2] for axis in "xy")) / 0.2
    assert list(between) == pytest.approx([0.8] * 3, abs=0.2)  # a dozen sources cross the gap
    report = json.loads((finished / "report.json").read_text())
    assert [chip["name"] for chip in report["exposures"][0]["chips"]] == ["SCI,1", "SCI,2"]


def test_stored_corrections_put_on_files_give_each_chip_its_own(
    sky: Path, finished: Path, tmp_path: Path
) -> None:
    rows = read_corrections(finished / "corrections.ecsv")
    assert {row.status for row in rows} == {Status.ALIGNED}
    files = tuple(sorted(sky.glob("*.fits")))
    target = api.destination(in_place=False, to=tmp_path / "wcs", head=False)
    written = api.apply_from(finished / "corrections.ecsv", files, target)
    for file in written:
        with fits.open(file) as found, fits.open(finished / "wcs" / file.name) as wanted:
            for hdu in (1, 2):
                for card in ("CRVAL1", "CRVAL2", "CD1_1", "CD1_2"):
                    assert found[hdu].header[card] == wanted[hdu].header[card]


def test_offsets_need_the_global_solver() -> None:
    config = Config.model_validate(
        {
            "images": {"paths": ["a.fits"], "chip_offsets": True},
            "alignment": {"solver": "independent"},
        }
    )
    with pytest.raises(ConfigError, match="chip_offsets: true asks for what all exposures say"):
        build_algorithms(config)
