"""What is decided before a run, and what a run's identity is made of. No pixel is read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.config.load import parse_config
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.errors import ConfigError
from alignsvc.io.journal import ExposureEnded, HeaderApplied
from alignsvc.run.planning.copies import copies_among
from alignsvc.run.planning.making import make_plan, with_starts
from alignsvc.run.planning.plan import Plan, comparable, no_usable_exposure
from alignsvc.run.planning.unchanged import difference, refuse_corrected
from alignsvc.run.records.state import RunState
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to

SKY = {
    "layout": {"name": "stack", "count": 3, "ra": 150.1, "dec": 2.2},
    "camera": {"shape": [64, 64], "scale_arcsec": 0.2},
}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    simulate_to(folder, sky_settings(SKY))
    return folder


@pytest.fixture
def inputs(tmp_path: Path, sky: Path) -> Path:
    folder = tmp_path / "in"
    shutil.copytree(sky, folder, ignore=shutil.ignore_patterns("*.json"))
    return folder


def plan_of(inputs: Path, *overrides: str) -> Plan:
    text = f"{{images: {{paths: ['{inputs}/*.fits']}}, cluster: {{backend: serial}}}}"
    return make_plan(parse_config(text, "x.yaml", overrides))


def state_of(plan: Plan, *headers: HeaderApplied, exit_code: int | None = None) -> RunState:
    return RunState(plan.identity, plan.parts, headers=headers, exit_code=exit_code)


@pytest.mark.parametrize(
    "override",
    [
        "cluster.backend=local",
        "cluster.workers=2",
        "run.directory=elsewhere",
        "run.keep_mosaics=all",
        "output.report=none",
        "output.wcs=in_place",
    ],
)
def test_where_it_runs_and_what_it_writes_is_not_part_of_the_identity(
    inputs: Path, override: str
) -> None:
    extra = ("cluster.backend=local",) if "workers" in override else ()
    assert plan_of(inputs, *extra, override).identity == plan_of(inputs).identity


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("run.seed=1", "run.seed"),
        ("alignment.eps_shift=0.01", "alignment.eps_shift"),
        ("alignment.clip.sigma=4", "alignment.clip"),
        ("mosaic.resampler.pixfrac=0.8", "mosaic.resampler"),
        ("detection.threshold=6", "detection.threshold"),
        ("images.sky=none", "images.sky"),
        ("reference.image=exp001", "reference.image"),
        ("alignment.tangent_plane=exp002", "alignment.tangent_plane"),
    ],
)
def test_a_setting_that_changes_numbers_is_and_is_named(
    inputs: Path, override: str, part: str
) -> None:
    plan = plan_of(inputs)
    assert difference(plan_of(inputs, override), state_of(plan)) == f"setting {part} differs"


def test_the_same_files_elsewhere_are_the_same_run(inputs: Path) -> None:
    plan = plan_of(inputs, f"reference.image={inputs}/exp001.fits")
    moved = inputs.rename(inputs.parent / "moved [x]")
    os.utime(moved / "exp001.fits", (0, 0))
    again = plan_of(Path(str(moved).replace("[", "[[]")), "reference.image=exp001")
    assert again.identity == plan.identity and again.reference == "exp001"


def test_a_catalogue_counts_by_what_it_holds(inputs: Path) -> None:
    def with_stars(name: str, text: str) -> Plan:
        (inputs / name).write_text(text)
        return plan_of(inputs, f"detection.catalog={inputs / name}")

    plan = with_stars("a.csv", "ra,dec\n150.1,2.2\n")
    assert with_stars("b.csv", "ra,dec\n150.1,2.2\n").identity == plan.identity
    other = with_stars("a.csv", "ra,dec\n150.1,2.3\n")
    assert difference(other, state_of(plan)) == "setting detection.catalog differs"


def test_changed_new_and_lost_inputs_are_named(inputs: Path) -> None:
    known = state_of(plan_of(inputs))
    assert difference(plan_of(inputs), known) == ""
    fits.setval(inputs / "exp001.fits", "OBJECT", value="changed")
    assert difference(plan_of(inputs), known).startswith("exposure exp001 differs")
    (inputs / "exp000.fits").unlink()
    assert difference(plan_of(inputs), known) == "exposure exp000 is not in this one"
    known = state_of(plan_of(inputs))
    fits.setval(inputs / "exp002.fits", "OBJECT", value="x")
    shutil.copy(inputs / "exp002.fits", inputs / "a.fits")
    assert difference(plan_of(inputs), known) == "exposure a is new"


def test_a_header_that_the_finished_run_wrote_counts_as_unchanged(inputs: Path) -> None:
    before = plan_of(inputs)
    fits.setval(inputs / "exp001.fits", "OBJECT", value="written")
    after = plan_of(inputs)
    own = {header.ref.id: header.ref.fingerprint for header in after.headers}
    old = {header.ref.id: header.ref.fingerprint for header in before.headers}
    written = HeaderApplied("exp001", "f", old["exp001"], own["exp001"])
    assert difference(after, state_of(before, written, exit_code=0)) == ""
    assert difference(before, state_of(after, written, exit_code=0)) == ""  # put back since
    assert difference(after, state_of(before, exit_code=0)) != ""
    fits.setval(inputs / "exp001.fits", "OBJECT", value="another hand")
    assert difference(plan_of(inputs), state_of(before, written, exit_code=0)) != ""


def test_headers_of_another_run_are_refused_where_new_ones_are_to_be_written(
    inputs: Path,
) -> None:
    fits.setval(inputs / "exp001.fits", "ALIGNRUN", value="other")
    for wcs in ("copy", "in_place"):
        with pytest.raises(ConfigError, match=r"exp001.*run other already.*alignsvc revert"):
            refuse_corrected(plan_of(inputs, f"output.wcs={wcs}"), "mine")
    for wcs in ("head", "none"):
        refuse_corrected(plan_of(inputs, f"output.wcs={wcs}"), "mine")
    refuse_corrected(plan_of(inputs), "other")


def test_every_exposure_has_a_grid_or_an_end(inputs: Path) -> None:
    (inputs / "bad.fits").write_bytes(b"")
    shutil.copy(inputs / "exp000.fits", inputs / "twin.fits")
    fits.setval(inputs / "exp002.fits", "CRVAL2", value=-40.0)
    plan = plan_of(inputs)
    assert [one.id for one in plan.exposures] == ["exp000", "exp001"]
    assert {end.exposure: end.reason for end in plan.ended} == {
        "bad": "empty",
        "exp002": "no_overlap",
        "twin": "duplicate",
    }
    assert [header.ref.id for header in plan.headers] == ["exp000", "exp001", "exp002", "twin"]
    assert plan.is_usable and plan.exit_code is ExitCode.SOME_FAILED


def twin_of(inputs: Path, **cards: object) -> Plan:
    """Return the plan of exposures one of which is there twice, under headers that differ."""
    shutil.copy(inputs / "exp001.fits", inputs / "twin.fits")
    for name, value in {"OBJECT": "another hand", **cards}.items():
        fits.setval(inputs / "twin.fits", name, value=value)
    return plan_of(inputs)


def test_exposures_taken_at_once_at_one_place_are_named_as_perhaps_one(inputs: Path) -> None:
    assert not any("same time" in note for note in plan_of(inputs).notes)
    plan = twin_of(inputs, CRPIX1=35.0)
    (said,) = (note for note in plan.notes if "same time" in note)
    assert "twin and exp001;" in said and "exp000" not in said
    assert len(plan.exposures) == 4  # a user may mean it


@pytest.mark.parametrize(
    "cards",
    [
        {"CRVAL2": 2.203},  # a chip beside it
        {"MJD-OBS": 60000.25},
        {"EXPTIME": 90.0},
        {"FILTER": "another"},
    ],
)
def test_exposures_of_another_place_time_or_filter_are_others(
    inputs: Path, cards: dict[str, object]
) -> None:
    assert not any("same time" in note for note in twin_of(inputs, **cards).notes)


def test_a_date_without_a_time_of_day_tells_nothing(inputs: Path) -> None:
    for file in inputs.glob("*.fits"):
        fits.delval(file, "MJD-OBS")
        fits.setval(file, "DATE-OBS", value="2024-05-01")
    assert not any("same time" in note for note in plan_of(inputs).notes)


def test_a_time_that_the_configuration_gives_makes_no_exposures_one(inputs: Path) -> None:
    assert not any("same time" in note for note in plan_of(inputs, "images.mid_time=6e4").notes)


def test_a_copy_is_told_with_the_first_exposure_of_its_pixels() -> None:
    pixels = {"d": 2.0, "a": 1.0, "c": 1.0, "b": 2.0, "e": 1.0, "f": 3.0}
    assert copies_among(pixels) == {"c": "a", "d": "b", "e": "a"}


def test_without_a_usable_exposure_the_first_reasons_are_given(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.fits").touch()
    plan = plan_of(tmp_path)
    assert not plan.is_usable and plan.exit_code is ExitCode.BAD_CONFIGURATION
    said = str(no_usable_exposure(plan))
    assert "among 5" in said and "2.fits" in said and "and 2 more" in said


def test_nothing_found_leaves_the_plan_as_it_is(inputs: Path) -> None:
    plan = plan_of(inputs)
    assert with_starts(plan, {}, ()) is plan


def test_the_grid_is_where_the_loop_begins(inputs: Path) -> None:
    """An exposure of 13 arcsec is 200 arcsec off: by its header it is alone, by its stars not."""
    with fits.open(inputs / "exp001.fits", mode="update") as hdus:
        hdus[0].header["CRVAL2"] += 200.0 / 3600.0
    plan = plan_of(inputs)
    assert [end.reason for end in plan.ended] == ["no_overlap"]
    assert [header.ref.id for header in comparable(plan)] == ["exp000", "exp001", "exp002"]
    still = {one.id: Correction.identity(one.plane, Geometry.GENERAL) for one in plan.exposures}
    plane = TangentPlane(*comparable(plan)[1].wcs[0].terms.crval)
    back = Correction(plane, np.eye(2), np.array([0.0, -200.0]), Geometry.GENERAL, np.zeros((6, 6)))
    begun = with_starts(plan, {"exp001": back}, ())
    assert not begun.ended
    assert [one.id for one in begun.exposures] == ["exp000", "exp001", "exp002"]
    assert np.abs(np.subtract(begun.grids[0].shape, plan.grids[0].shape)).max() < 20
    one = begun.exposures[1]
    assert one.since_start(back).parameters == pytest.approx([0, 0, 1, 0, 0, 1], abs=1e-9)
    assert begun.exposures[0].since_start(still["exp000"]) is still["exp000"]


def test_who_ended_before_the_loop_has_no_part_in_it(inputs: Path) -> None:
    plan = plan_of(inputs)
    end = ExposureEnded("exp002", Status.FAILED, "wrong_parity", "exposure exp002: mirrored")
    begun = with_starts(plan, {}, [end])
    assert [one.id for one in begun.exposures] == ["exp000", "exp001"]
    assert begun.ended == (end,)
