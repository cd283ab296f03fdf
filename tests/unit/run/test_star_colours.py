"""What a plan says of refraction, and where colours come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from alignsvc.config.load import parse_config
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.errors import ConfigError
from alignsvc.numerics.solve.colour_terms import SourceColours
from alignsvc.run.planning.making import make_plan
from alignsvc.run.planning.plan import Plan
from alignsvc.run.planning.star_colours import colour_term_notes
from alignsvc.run.report.summary import plan_json, plan_lines
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to


def sky_at(folder: Path, airmass: tuple[float, float]) -> Path:
    settings = {
        "layout": {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2},
        "camera": {"shape": [64, 64], "scale_arcsec": 0.2},
        "conditions": {"airmass": airmass},
    }
    simulate_to(folder, sky_settings(settings))
    return folder


def with_keywords(sky: Path, **columns: list[object]) -> Path:
    """Set keywords of the exposures, one value each; None removes it."""
    for keyword, values in columns.items():
        for path, value in zip(sorted(sky.glob("*.fits")), values, strict=True):
            with fits.open(path, mode="update") as files:
                for hdu in files:
                    hdu.header.remove(keyword, ignore_missing=True)
                    if value is not None:
                        hdu.header[keyword] = value
    return sky


def stars_at(folder: Path, **columns: list[float]) -> Path:
    table = folder / "stars.ecsv"
    Table({"ra": [150.1, 150.1001], "dec": [2.2, 2.2001], **columns}).write(table)
    return table


def plan_of(sky: Path, *overrides: str) -> Plan:
    text = f"{{images: {{paths: ['{sky}/*.fits']}}, cluster: {{backend: serial}}}}"
    return make_plan(parse_config(text, "x.yaml", overrides))


def warnings_of(plan: Plan) -> list[str]:
    return [note for note in plan.notes if "refraction" in note]


def test_exposures_of_different_airmass_are_warned_of_with_a_size(tmp_path: Path) -> None:
    plan = plan_of(sky_at(tmp_path, (1.0, 2.0)))
    (warning,) = warnings_of(plan)
    assert "px) or more" in warning
    assert " in r," in warning
    assert "not taken off" in warning
    assert "alignment.colour_term" in warning
    assert any(warning in line for line in plan_lines(plan))
    assert warning in plan_json(plan)["notes"]


def test_exposures_of_one_airmass_are_not(tmp_path: Path) -> None:
    assert not warnings_of(plan_of(sky_at(tmp_path, (1.5, 1.5))))


def test_bands_count_without_an_airmass_as_at_45_degrees(tmp_path: Path) -> None:
    sky = sky_at(tmp_path, (1.0, 1.0))
    with_keywords(sky, AIRMASS=[None, None, None], FILTER=["g", "g", "i"])
    (warning,) = warnings_of(plan_of(sky))
    assert "at 45 degrees from the zenith (no header has an AIRMASS) in g, i" in warning


def test_a_filter_that_is_not_named_is_taken_for_v(tmp_path: Path) -> None:
    sky = with_keywords(sky_at(tmp_path, (1.0, 2.0)), FILTER=[None, None, None])
    (warning,) = warnings_of(plan_of(sky))
    assert "in V (no FILTER)" in warning


def test_a_column_of_colours_that_is_named_is_taken(tmp_path: Path) -> None:
    sky = sky_at(tmp_path / "sky", (1.0, 2.0))
    table = stars_at(tmp_path, v_i=[0.5, np.nan])
    plan = plan_of(sky, f"detection.catalog={table}", "alignment.colour_term=v_i")
    assert plan.colours is not None
    assert plan.colours.colour.tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    (told,) = warnings_of(plan)
    assert "taken off by the column 'v_i'" in told


@pytest.mark.parametrize(
    ("airmass", "column", "settings", "taken"),
    [
        ((1.0, 2.0), "bp_rp", (), True),
        ((1.0, 2.0), "BP-RP", (), True),
        ((1.5, 1.5), "bp_rp", (), False),  # nothing to take off
        ((1.0, 2.0), "v_i", (), False),  # a column that one has to name
        ((1.0, 2.0), "bp_rp", ("alignment.colour_term=null",), False),
        ((1.0, 2.0), "bp_rp", ("alignment.solver=independent",), False),
    ],
)
def test_by_itself_gaias_colours_are_taken_where_refraction_is_worth_it(
    tmp_path: Path,
    airmass: tuple[float, float],
    column: str,
    settings: tuple[str, ...],
    taken: bool,
) -> None:
    sky = sky_at(tmp_path / "sky", airmass)
    table = stars_at(tmp_path, **{column: [0.5, 1.5]})
    plan = plan_of(sky, f"detection.catalog={table}", *settings)
    assert (plan.colours is not None) is taken
    assert [("is not taken off" in told) for told in warnings_of(plan)] == (
        [] if airmass == (1.5, 1.5) else [not taken]
    )


def test_the_report_says_for_which_colour_corrections_hold() -> None:
    colours = SourceColours.of(np.array([3, 5, 9]), np.array([0.4, 0.9, 2.0]))
    terms = [ColourTerm((3.0, -4.0), (0.25, 0.5)), ColourTerm((1.0, 1.0), (0.25, 0.5))]
    (note,) = colour_term_notes(0, colours, terms)
    assert "hold for their median, +0.900 mag" in note
    assert "the longest of its shifts is 5.0 +- 0.5 mas a magnitude" in note
    (nobody,) = colour_term_notes(1, SourceColours.of(np.zeros(0, np.int64), np.zeros(0)), [])
    assert "no source of component 1 has a colour" in nobody


def test_a_colour_that_no_catalogue_has_is_refused(tmp_path: Path) -> None:
    sky = sky_at(tmp_path / "sky", (1.0, 1.0))
    with pytest.raises(ConfigError, match="colour_term: no column of numbers is named 'bp_rp'"):
        plan_of(sky, "alignment.colour_term=bp_rp")


def test_a_colour_term_needs_the_joint_solve(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colour_term belongs to solver 'global'"):
        plan_of(tmp_path, "alignment.colour_term=bp_rp", "alignment.solver=independent")
