"""What holds the frame: the mean of all, a fixed image, or a catalogue."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from alignsvc import api
from alignsvc.config.load import parse_config
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Displacements
from alignsvc.errors import ConfigError
from alignsvc.io.locations import RunLocations
from alignsvc.io.simulated_files import read_truth
from alignsvc.io.tables import read_table
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.run.planning.making import make_plan
from alignsvc.run.records.result import RunResult
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to
from alignsvc.simulation.truth import Truth, from_json

SKY = {
    "seed": 11,
    "layout": {"name": "stack", "count": 4, "ra": 359.9995, "dec": -33.0, "jitter_arcsec": 4.0},
    "camera": {"shape": [320, 320], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 1.5], "rotation_deg": 0.02},
}


@dataclass(frozen=True)
class Sky:
    folder: Path
    truth: Truth


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Sky:
    folder = tmp_path_factory.mktemp("sky")
    simulate_to(folder, sky_settings(SKY))
    return Sky(folder, from_json(read_truth(folder)))


def aligned(sky: Sky, run: Path, *overrides: str) -> RunResult:
    text = f"images: {{paths: ['{sky.folder}/*.fits']}}\ncluster: {{backend: serial}}"
    always = (f"run.directory={run}", "alignment.geometry=rshift", "alignment.eps_shift=0.02")
    always += ("mosaic.reject_cosmic_rays=false", "output.mosaic=none")
    return api.align(parse_config(text, "test", (*always, *overrides)))


def absolute_offsets_px(sky: Sky, result: RunResult) -> np.ndarray:
    """Where the middle of each exposure now lies, minus where it truly lies, pixels."""
    plan = make_plan(parse_config((result.directory / "config.yaml").read_text(), "run"))
    offsets = []
    for one, row, truth in zip(
        plan.exposures, result.corrections, sky.truth.exposures, strict=True
    ):
        assert row.correction is not None
        middle = Points(np.array([159.5]), np.array([159.5]))
        seen = corrected(one.header.wcs[0], row.correction).sky_from_pixel(middle)
        there = truth.chips[0].true_wcs.pixel_from_sky(seen)
        offsets.append([there.x[0] - 159.5, there.y[0] - 159.5])
    return np.array(offsets)


def relative_rms_px(offsets: np.ndarray) -> float:
    return float(np.sqrt(((offsets - offsets.mean(axis=0)) ** 2).mean()))


def test_the_mean_of_all_corrections_is_nothing(sky: Sky, tmp_path: Path) -> None:
    result = aligned(sky, tmp_path / "run")
    assert np.abs(absolute_offsets_px(sky, result)).max() > 0.1  # nothing says where all lie
    shifts = np.array([row.correction.shift for row in result.corrections if row.correction])
    assert np.abs(shifts.mean(axis=0)).max() < 1e-3
    assert relative_rms_px(absolute_offsets_px(sky, result)) < 0.02


def test_a_reference_image_does_not_move_and_the_others_come_to_it(
    sky: Sky, tmp_path: Path
) -> None:
    result = aligned(sky, tmp_path / "run", "reference.image=exp002")
    held = next(row for row in result.corrections if row.id == "exp002")
    assert held.is_reference
    assert held.correction is not None
    assert held.correction.is_identity
    assert relative_rms_px(absolute_offsets_px(sky, result)) < 0.02


def test_a_catalogue_puts_all_exposures_where_it_says(sky: Sky, tmp_path: Path) -> None:
    bright = np.argsort(-sky.truth.sources.flux)[:200]
    table = Table({"ra": sky.truth.sources.ra[bright], "dec": sky.truth.sources.dec[bright]})
    table.write(tmp_path / "gaia.ecsv")
    after = aligned(sky, tmp_path / "run", f"reference.catalog={tmp_path / 'gaia.ecsv'}")
    assert np.abs(absolute_offsets_px(sky, after)).max() < 0.05


def test_a_reference_that_is_not_there_is_refused(sky: Sky, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"reference\.image: 'nobody'.*give an id such as exp000"):
        aligned(sky, tmp_path / "run", "reference.image=nobody")


def test_a_users_sources_are_the_ones_measured(sky: Sky, tmp_path: Path) -> None:
    bright = np.argsort(-sky.truth.sources.flux)[:60]
    wanted = Table({"ra": sky.truth.sources.ra[bright], "dec": sky.truth.sources.dec[bright]})
    wanted["weight"] = 1.0
    wanted.write(tmp_path / "mine.ecsv")
    result = aligned(
        sky,
        tmp_path / "run",
        f"detection.catalog={tmp_path / 'mine.ecsv'}",
        "detection.weight_column=weight",
    )
    assert result.history[-1].n_sources <= 60
    assert relative_rms_px(absolute_offsets_px(sky, result)) < 0.03


def test_sources_under_a_mask_are_not_used(sky: Sky, tmp_path: Path) -> None:
    with fits.open(sky.folder / "exp000.fits") as hdus:
        image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
        hidden = np.zeros(image.data.shape, np.uint8)
        hidden[:, : hidden.shape[1] // 2] = 1
        fits.writeto(tmp_path / "mask.fits", hidden, image.header)
        wcs = WCS(image.header)
    run = aligned(sky, tmp_path / "run", f"detection.mask={tmp_path / 'mask.fits'}").directory
    objects = RunLocations(run).objects
    (kept,) = (
        name for name in objects.list("history/") if name.endswith("exp000-displacements.npz")
    )
    used = read_table(objects, kept, Displacements)
    found = Table.read(run / "sources.ecsv")
    x, _ = wcs.all_world2pix(found["ra"], found["dec"], 0)
    hides = dict(zip(found["id"].tolist(), (x < hidden.shape[1] // 2 - 0.5).tolist(), strict=True))
    assert sum(hides.values()) >= 5 and len(used) >= 5
    assert not any(hides[source] for source in used.source.tolist())


def test_reprojects_resamplers_serve_as_well(sky: Sky, tmp_path: Path) -> None:
    result = aligned(sky, tmp_path / "run", "mosaic.resampler=interp")
    assert relative_rms_px(absolute_offsets_px(sky, result)) < 0.02


def gaia_of(sky: Sky, count: int = 150) -> Table:
    bright = np.argsort(-sky.truth.sources.flux)[:count]
    table = Table({"ra": sky.truth.sources.ra[bright], "dec": sky.truth.sources.dec[bright]})
    table["ra_error"] = table["dec_error"] = 0.5
    table["pmra"] = table["pmdec"] = 0.0
    table["pmra_error"] = table["pmdec_error"] = 0.02
    table["ref_epoch"] = 2016.0
    return table


@pytest.mark.slow
def test_a_catalogue_gives_the_same_corrections_in_every_format(sky: Sky, tmp_path: Path) -> None:
    for suffix in ("ecsv", "fits"):
        gaia_of(sky).write(tmp_path / f"gaia.{suffix}")
    one, other = (
        aligned(sky, tmp_path / suffix, f"reference.catalog={tmp_path / f'gaia.{suffix}'}")
        for suffix in ("ecsv", "fits")
    )
    for first, second in zip(one.corrections, other.corrections, strict=True):
        assert first.correction is not None and second.correction is not None
        assert first.correction.parameters.tolist() == second.correction.parameters.tolist()


def test_wrong_stars_in_a_catalogue_are_not_believed(sky: Sky, tmp_path: Path) -> None:
    table, rng = gaia_of(sky), np.random.default_rng(1)
    wrong = rng.random(len(table)) < 0.2
    table["dec"][wrong] += rng.uniform(0.4, 1.0, int(wrong.sum())) / 3600.0  # 2 to 5 px
    table.write(tmp_path / "gaia.ecsv")
    result = aligned(sky, tmp_path / "run", f"reference.catalog={tmp_path / 'gaia.ecsv'}")
    assert np.abs(absolute_offsets_px(sky, result)).max() < 0.03


def test_a_catalogue_of_another_field_is_refused_before_anything_runs(
    sky: Sky, tmp_path: Path
) -> None:
    table = gaia_of(sky)
    table["dec"] += 1.0
    table.write(tmp_path / "gaia.ecsv")
    with pytest.raises(ConfigError, match=r"none of the 150 stars .* lies on the mosaic"):
        aligned(sky, tmp_path / "run", f"reference.catalog={tmp_path / 'gaia.ecsv'}")


def test_without_times_no_motion_is_applied_and_the_report_says_so(
    sky: Sky, tmp_path: Path
) -> None:
    gaia_of(sky).write(tmp_path / "gaia.ecsv")
    result = aligned(
        sky,
        tmp_path / "run",
        f"reference.catalog={tmp_path / 'gaia.ecsv'}",
        "images.mid_time=NOTHING",
    )
    assert any("4 exposures have no mid time" in note for note in result.notes)
    assert any("stars were found among the sources" in note for note in result.notes)
    assert np.abs(absolute_offsets_px(sky, result)).max() < 0.05


def test_a_catalogue_that_nothing_would_use_is_refused(sky: Sky, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="enters the joint solve"):
        aligned(sky, tmp_path / "run", "reference.catalog=x.csv", "alignment.solver=independent")
