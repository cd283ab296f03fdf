"""What a plan says of refraction, and where colours come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from alignsvc.config.load import parse_config
from alignsvc.errors import ConfigError
from alignsvc.run.plan import Plan, make_plan
from alignsvc.simulation.settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


def sky_at(folder: Path, airmass: tuple[float, float]) -> Path:
    settings = {
        "layout": {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2},
        "camera": {"shape": [64, 64], "scale_arcsec": 0.2},
        "conditions": {"airmass": airmass},
    }
    simulate_to(folder, sky_settings(settings))
    return folder


def plan_of(sky: Path, *overrides: str) -> Plan:
    text = f"{{images: {{paths: ['{sky}/*.fits']}}, cluster: {{backend: serial}}}}"
    return make_plan(parse_config(text, "x.yaml", overrides))


def warnings_of(plan: Plan) -> list[str]:
    return [note for note in plan.notes if "refraction" in note]


def test_exposures_of_different_airmass_are_warned_of_with_a_size(tmp_path: Path) -> None:
    (warning,) = warnings_of(plan_of(sky_at(tmp_path, (1.0, 2.0))))
    assert "px) or more" in warning
    assert " in r," in warning
    assert "alignment.colour_term" in warning


def test_exposures_of_one_airmass_are_not(tmp_path: Path) -> None:
    assert not warnings_of(plan_of(sky_at(tmp_path, (1.5, 1.5))))


def test_with_a_colour_term_there_is_nothing_to_warn_of(tmp_path: Path) -> None:
    sky = sky_at(tmp_path / "sky", (1.0, 2.0))
    table = tmp_path / "stars.ecsv"
    columns = {"ra": [150.1, 150.2], "dec": [2.2, 2.3], "bp_rp": [0.5, np.nan]}
    Table(columns).write(table)
    wanted = (f"detection.catalog={table}", "alignment.colour_term=bp_rp")
    plan = plan_of(sky, *wanted)
    assert plan.colours is not None
    assert plan.colours.colour.tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert not warnings_of(plan)


def test_a_colour_that_no_catalogue_has_is_refused(tmp_path: Path) -> None:
    sky = sky_at(tmp_path / "sky", (1.0, 1.0))
    with pytest.raises(ConfigError, match="colour_term: no column of numbers is named 'bp_rp'"):
        plan_of(sky, "alignment.colour_term=bp_rp")


def test_a_colour_term_needs_the_joint_solve(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colour_term belongs to solver 'global'"):
        plan_of(tmp_path, "alignment.colour_term=bp_rp", "alignment.solver=independent")
