"""Absolute alignment by a catalogue: stars that stand still, and stars that move for ten years."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from alignsvc import api
from alignsvc.config.load import parse_config
from alignsvc.domain.geometry import Points
from alignsvc.domain.outcome import ExitCode
from alignsvc.domain.quality import SourceFlag
from alignsvc.io.simulated_files import read_truth
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.run.planning.making import make_plan
from alignsvc.run.records.result import RunResult
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.simulate import simulate_to
from alignsvc.simulation.truth import Truth, from_json

SKY = {
    "seed": 5,
    "layout": {"name": "stack", "count": 6, "ra": 150.1, "dec": 42.0, "jitter_arcsec": 6.0},
    "camera": {"shape": [400, 400], "scale_arcsec": 0.2},
    "header_errors": {"shift_px": [0.5, 1.5], "rotation_deg": 0.01},
}
#: Six exposures in ten years, of stars that move by 0.2 arcsec, a pixel, in that time.
TEN_YEARS = {
    **SKY,
    "conditions": {"interval_days": 730.5},
    "stars": {"proper_motion_mas": 20.0},
}
COMMON_PX = (1.2, -0.9)  # 1.5 px long


@dataclass(frozen=True)
class Sky:
    """Exposures, and what is true of them."""

    folder: Path
    truth: Truth

    def gaia(self, path: Path, count: int, *, motions: bool = True) -> Path:
        """Write the brightest stars as Gaia would have them, with its kind of errors."""
        stars = self.truth.sources
        chosen = np.argsort(-stars.flux)[:count]
        rng = np.random.default_rng(3)
        error_mas = np.full(count, 0.3)
        motion_error = np.full(count, 0.05)
        pm_ra = stars.pm_ra[chosen] + rng.normal(0.0, motion_error)
        pm_dec = stars.pm_dec[chosen] + rng.normal(0.0, motion_error)
        cos_dec = np.cos(np.radians(stars.dec[chosen]))
        table = Table(
            {
                "ra": stars.ra[chosen] + rng.normal(0.0, error_mas) / 3.6e6 / cos_dec,
                "dec": stars.dec[chosen] + rng.normal(0.0, error_mas) / 3.6e6,
                "ra_error": error_mas,
                "dec_error": error_mas,
            }
        )
        if motions:
            table["ref_epoch"] = 2016.0
            table["pmra"], table["pmdec"] = pm_ra, pm_dec
            table["pmra_error"] = table["pmdec_error"] = motion_error
        table.write(path, overwrite=True)
        return path

    def align(self, run: Path, *overrides: str) -> RunResult:
        """Align with geometry rshift, as the headers' errors need."""
        text = f"images: {{paths: ['{self.folder}/*.fits']}}\ncluster: {{backend: serial}}"
        always = (f"run.directory={run}", "alignment.geometry=rshift", "output.mosaic=none")
        return api.align(parse_config(text, "test", (*always, *overrides)))

    def errors_px(self, result: RunResult) -> np.ndarray:
        """Where corners and middle of each exposure now lie, less where they truly lie, px."""
        plan = make_plan(parse_config((result.directory / "config.yaml").read_text(), "run"))
        x, y = np.array([[0, 0], [399, 0], [399, 399], [0, 399], [199.5, 199.5]]).T
        at = Points(x, y)
        errors = []
        for one, row, truth in zip(
            plan.exposures, result.corrections, self.truth.exposures, strict=True
        ):
            assert row.correction is not None
            seen = corrected(one.header.wcs[0], row.correction).sky_from_pixel(at)
            there = truth.chips[0].true_wcs.pixel_from_sky(seen)
            errors.append([there.x - at.x, there.y - at.y])
        return np.array(errors)


def stated_px(result: RunResult) -> np.ndarray:
    """The error that each correction states for its shift, per axis, pixels."""
    return np.array(
        [
            np.sqrt(np.diag(row.correction.covariance)[:2]) / 0.2
            for row in result.corrections
            if row.correction is not None
        ]
    )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict], Sky]:
    def make(settings: dict) -> Sky:
        folder = tmp_path_factory.mktemp("sky")
        simulate_to(folder, sky_settings(settings))
        for file in sorted(folder.glob("*.fits")):  # all headers are wrong together, too
            for key, wrong in zip(("CRPIX1", "CRPIX2"), COMMON_PX, strict=True):
                fits.setval(file, key, value=fits.getval(file, key) + wrong)
        return Sky(folder, from_json(read_truth(folder)))

    return make


@pytest.fixture(scope="module")
def still(simulated: Callable[[dict], Sky]) -> Sky:
    return simulated(SKY)


@pytest.fixture(scope="module")
def moving(simulated: Callable[[dict], Sky]) -> Sky:
    return simulated(TEN_YEARS)


@pytest.mark.slow
def test_a_catalogue_takes_out_what_all_headers_have_in_common(still: Sky, tmp_path: Path) -> None:
    without = still.align(tmp_path / "without")
    assert np.abs(still.errors_px(without).mean(axis=(0, 2))).max() > 0.7
    gaia = still.gaia(tmp_path / "gaia.ecsv", 60)
    result = still.align(tmp_path / "with", f"reference.catalog={gaia}")
    assert result.exit_code is ExitCode.DONE
    errors, stated = still.errors_px(result), stated_px(result)
    assert (np.abs(errors[:, :, 4]) < 4.0 * stated).all()
    assert stated.max() < 0.01
    assert np.abs(errors).max() < 0.03


@pytest.mark.slow
def test_stars_that_move_are_put_where_they_are_in_each_exposure(
    moving: Sky, tmp_path: Path
) -> None:
    known = moving.gaia(tmp_path / "gaia.ecsv", 500)
    still = moving.gaia(tmp_path / "still.ecsv", 500, motions=False)
    right = moving.align(tmp_path / "right", f"reference.catalog={known}")
    errors, stated = moving.errors_px(right), stated_px(right)
    assert (np.abs(errors[:, :, 4]) < 4.0 * stated).all()
    assert np.abs(errors).max() < 0.04
    flags = np.asarray(Table.read(right.directory / "sources.ecsv")["flags"])
    assert (flags & SourceFlag.MOVING != 0).mean() > 0.5
    wrong = moving.align(tmp_path / "wrong", f"reference.catalog={still}")
    off = np.abs(moving.errors_px(wrong)[:, :, 4])
    assert off.max() > 3.0 * np.abs(errors[:, :, 4]).max()
    # And says so.
    assert (off < 4.0 * stated_px(wrong)).all()


@pytest.mark.slow
def test_without_a_catalogue_what_moves_fast_is_found_and_left_out(
    simulated: Callable[[dict], Sky], tmp_path: Path
) -> None:
    sky = simulated({**TEN_YEARS, "stars": {"proper_motion_mas": 3.0}})
    result = sky.align(tmp_path / "run")
    assert any("sources move between the exposures" in note for note in result.notes)
    errors = sky.errors_px(result)[:, :, 4]
    assert np.abs(errors - errors.mean(axis=0)).max() < 0.05
