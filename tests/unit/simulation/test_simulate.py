"""Whole simulations: the files, and the truth beside them."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.errors import ConfigError
from alignsvc.io.simulated_files import read_truth
from alignsvc.io.wcs_headers import celestial_from_file
from alignsvc.simulation.distortions import DISTORTIONS
from alignsvc.simulation.layouts.stack import Stack
from alignsvc.simulation.settings import (
    CameraSettings,
    ChipError,
    DetectorSettings,
    GalaxySettings,
    HeaderErrorSettings,
    SkySettings,
    StarSettings,
)
from alignsvc.simulation.simulate import draw_truth, expose_chips, simulate_to
from alignsvc.simulation.truth import ChipTruth, from_json, to_json

SMALL = SkySettings(
    seed=3,
    layout=Stack(count=2),
    camera=CameraSettings(shape=(96, 128)),
    galaxies=GalaxySettings(density=20.0),
)


def _digests(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    simulate_to(tmp_path / "a", SMALL)
    simulate_to(tmp_path / "b", SMALL)
    assert sorted(_digests(tmp_path / "a")) == ["exp000.fits", "exp001.fits", "truth.json"]
    assert _digests(tmp_path / "a") == _digests(tmp_path / "b")


def test_an_exposure_does_not_depend_on_how_many_there_are() -> None:
    one = dataclasses.replace(SMALL, layout=Stack(count=1))
    few, many = draw_truth(one), draw_truth(SMALL)
    assert few.exposures[0] == many.exposures[0]
    assert np.array_equal(
        expose_chips(one, few, 0)[0].pixels, expose_chips(SMALL, many, 0)[0].pixels
    )


def test_a_file_says_what_a_reader_needs(tmp_path: Path) -> None:
    truth = simulate_to(tmp_path, SMALL)
    header = fits.getheader(tmp_path / "exp001.fits")
    exposure = truth.exposures[1]
    assert header["GAIN"] == exposure.gain
    assert header["RDNOISE"] == exposure.read_noise
    assert header["SATURATE"] == exposure.saturation
    assert header["EXPTIME"] == exposure.exposure_time_s
    assert header["BUNIT"] == "adu"
    assert header["CRVAL1"] == dict(exposure.chips[0].header_given)["CRVAL1"]
    assert (header["NAXIS2"], header["NAXIS1"]) == (96, 128)


def test_planes_and_chips_become_extensions(tmp_path: Path) -> None:
    settings = dataclasses.replace(
        SMALL,
        camera=CameraSettings(shape=(64, 64), chips=(1, 2)),
        detector=DetectorSettings(bad_pixels=0.01),
        planes=("err", "dq"),
    )
    truth = simulate_to(tmp_path, settings)
    with fits.open(tmp_path / "exp000.fits") as hdus:
        names = [(hdu.name, hdu.ver) for hdu in hdus[1:]]
        assert names == [(n, k) for k in (1, 2) for n in ("SCI", "ERR", "DQ")]
        assert [chip.hdu for chip in truth.exposures[0].chips] == [1, 4]
        science, error, quality = (hdus[k].data for k in (1, 2, 3))
        assert np.isfinite(science).all()
        assert (error > 0).all()
        assert set(np.unique(quality)) <= {0, 1, 2, 3}
        assert hdus[3].header["CRVAL1"] == hdus[1].header["CRVAL1"]


def test_bad_pixels_without_a_quality_plane_are_nan(tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, detector=DetectorSettings(bad_pixels=0.01))
    simulate_to(tmp_path, settings)
    pixels = fits.getdata(tmp_path / "exp000.fits")
    assert np.isnan(pixels).mean() == pytest.approx(0.01, rel=0.3)


def test_the_truth_survives_the_file(tmp_path: Path) -> None:
    truth = simulate_to(tmp_path, SMALL)
    again = from_json(read_truth(tmp_path))
    assert again.exposures == truth.exposures
    assert to_json(again) == to_json(truth)


def test_a_directory_without_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no truth\.json"):
        read_truth(tmp_path)
    with pytest.raises(ConfigError, match="not the truth"):
        from_json("{}")


def test_stars_lie_where_the_true_header_says() -> None:
    """Centroids of bright, noiseless-by-brightness stars against the truth."""
    settings = dataclasses.replace(
        SMALL,
        camera=CameraSettings(shape=(256, 256)),
        stars=StarSettings(density=10.0, flux=(3e4, 3e4)),
        galaxies=GalaxySettings(),
        detector=DetectorSettings(saturation=1e9),
    )
    truth = draw_truth(settings)
    exposure = truth.exposures[0]
    pixels = expose_chips(settings, truth, 0)[0].pixels - exposure.sky
    positions = SkyPoints(truth.sources.ra, truth.sources.dec)
    where = exposure.chips[0].true_wcs.pixel_from_sky(positions)
    checked = 0
    for x, y in zip(where.x, where.y, strict=True):
        apart = np.sort(np.hypot(where.x - x, where.y - y))[1]
        if min(x, y) > 20 and max(x, y) < 236 and apart > 30:
            found = _weighted_centroid(pixels, x, y)
            assert found == pytest.approx((x, y), abs=0.01)
            checked += 1
    assert checked >= 1


def _weighted_centroid(pixels, x: float, y: float) -> tuple[float, float]:
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    for _ in range(20):
        weight = np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / 2.0**2) * pixels
        x += 2.0 * float((weight * (columns - x)).sum() / weight.sum())
        y += 2.0 * float((weight * (rows - y)).sum() / weight.sum())
    return x, y


def test_headers_given_are_wrong_by_the_shift_asked_for() -> None:
    truth = draw_truth(SMALL)
    chip = truth.exposures[0].chips[0]
    middle = Points(np.array([63.5]), np.array([47.5]))
    seen = chip.given_wcs.pixel_from_sky(chip.true_wcs.sky_from_pixel(middle))
    assert 0.5 <= np.hypot(seen.x - 63.5, seen.y - 47.5)[0] <= 2.0


@pytest.mark.parametrize("distortion", DISTORTIONS.names())
def test_the_file_and_the_truth_say_the_same_wcs(tmp_path: Path, distortion: str) -> None:
    camera = CameraSettings(shape=(96, 128), distortion=DISTORTIONS.build(distortion, {}))
    truth = simulate_to(tmp_path, dataclasses.replace(SMALL, camera=camera))
    for exposure in truth.exposures:
        chip = exposure.chips[0]
        read = celestial_from_file(str(tmp_path / exposure.file))
        grid = read.grid(4)
        found = chip.given_wcs.pixel_from_sky(read.sky_from_pixel(grid))
        assert np.allclose(found, grid, atol=1e-6)


def test_chips_are_displaced_in_all_exposures_or_in_one() -> None:
    errors = HeaderErrorSettings(
        shift_px=(0.0, 0.0),
        rotation_deg=0.0,
        chip_shift_px=0.5,
        chips=(ChipError(1, (3.0, 0.0), exposure=1), ChipError(0, (0.0, 2.0))),
    )
    camera = CameraSettings(shape=(96, 128), chips=(1, 2))
    truth = draw_truth(dataclasses.replace(SMALL, camera=camera, header_errors=errors))
    lacking = np.array([[_lacking(chip) for chip in one.chips] for one in truth.exposures])
    assert np.allclose(lacking[1] - lacking[0], [[0.0, 0.0], [3.0, 0.0]], atol=1e-5)
    own = lacking[0] - [[0.0, 2.0], [0.0, 0.0]]
    assert 0.1 < np.abs(own).max() < 2.0
    assert np.abs(own[0] - own[1]).max() > 0.1


def _lacking(chip: ChipTruth) -> np.ndarray:
    middle = Points(np.array(64.0), np.array(48.0))
    meant = chip.true_wcs.pixel_from_sky(chip.given_wcs.sky_from_pixel(middle))
    return np.array([middle.x - meant.x, middle.y - meant.y])


def test_a_chip_that_is_not_there_is_refused() -> None:
    errors = HeaderErrorSettings(chips=(ChipError(2, (1.0, 0.0)),))
    with pytest.raises(ConfigError, match="names chip 2 of exposure None; found 1 chip in 2"):
        draw_truth(dataclasses.replace(SMALL, header_errors=errors))
