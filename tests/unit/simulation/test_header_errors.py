"""Given headers differ from true ones by exactly the linear map that was put in."""

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry, rotation_matrix
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.errors import ConfigError
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.simulation.distortions import DISTORTIONS
from alignsvc.simulation.header_errors import (
    HeaderError,
    draw_error,
    misaligned,
    with_chip,
    with_gross,
)
from alignsvc.simulation.layouts import Pointing
from alignsvc.simulation.optics import Header, celestial_wcs, true_headers
from alignsvc.simulation.reading_settings import sky_settings
from alignsvc.simulation.settings import CameraSettings, GrossError, HeaderErrorSettings

SHAPE = (512, 640)
LINEAR = rotation_matrix(0.02) @ np.array([[1.0 + 1e-4, 5e-5], [0.0, 1.0 + 1e-4]])


def _header(distortion: str, dec: float) -> Header:
    camera = CameraSettings(
        shape=SHAPE, scale_arcsec=0.26, distortion=DISTORTIONS.build(distortion, {})
    )
    return true_headers(camera, Pointing(0.01, dec, 33.0), np.zeros(1))[0]


@pytest.mark.parametrize("dec", [2.2, -75.0])
@pytest.mark.parametrize("distortion", DISTORTIONS.names())
def test_a_correction_about_crval_undoes_the_error(distortion: str, dec: float) -> None:
    header = _header(distortion, dec)
    wcs = celestial_wcs(header, SHAPE)
    error = HeaderError(np.array([0.4, -0.3]), LINEAR)
    given = celestial_wcs(misaligned(header, wcs, error), SHAPE)
    plane = TangentPlane(0.01, dec)
    cure = Correction(plane, LINEAR, error.shift_arcsec, Geometry.GENERAL, np.zeros((6, 6)))
    mended = corrected(given, cure.inverse())
    grid = wcs.grid(5)
    true, found = (one.sky_from_pixel(grid) for one in (wcs, mended))
    assert np.abs((found.dec - true.dec) * 3600.0).max() < 1e-5
    assert np.abs((found.ra - true.ra + 180.0) % 360.0 - 180.0).max() * 3600.0 < 1e-4


def test_a_shift_at_the_pole_does_not_turn_the_camera() -> None:
    header = _header("tpv", 89.999)
    wcs = celestial_wcs(header, SHAPE)
    error = HeaderError(np.array([1.0, 0.5]), np.eye(2))
    given = celestial_wcs(misaligned(header, wcs, error), SHAPE)
    plane, grid = TangentPlane(0.01, 89.999), wcs.grid(5)
    before, after = (
        plane.from_sky(wcs.sky_from_pixel(grid)),
        plane.from_sky(given.sky_from_pixel(grid)),
    )
    assert np.abs(after.x - before.x - 1.0).max() < 1e-5
    assert np.abs(after.y - before.y - 0.5).max() < 1e-5


@pytest.mark.parametrize("distortion", sorted(set(DISTORTIONS.names()) - {"none"}))
def test_a_distortion_reaches_its_amplitude_at_the_corner(distortion: str) -> None:
    plain, bent = (celestial_wcs(_header(name, 2.0), SHAPE) for name in ("none", distortion))
    corners = plain.corners()
    moved = bent.pixel_from_sky(plain.sky_from_pixel(corners))
    distance = np.hypot(moved.x - corners.x, moved.y - corners.y)
    assert distance.mean() == pytest.approx(3.0, rel=0.1)
    back = bent.pixel_from_sky(bent.sky_from_pixel(corners))
    assert np.allclose(back, corners, atol=1e-7)


def test_drawn_errors_are_as_large_as_asked_for() -> None:
    generator = np.random.default_rng(1)
    settings = HeaderErrorSettings(shift_px=(0.5, 2.0), rotation_deg=0.02, scale=1e-5)
    errors = [draw_error(settings, 0.2, generator) for _ in range(300)]
    length = [np.hypot(*error.shift_arcsec) / 0.2 for error in errors]
    assert min(length) >= 0.5
    assert max(length) <= 2.0
    turn = np.degrees([np.arctan2(-e.matrix[1, 0], e.matrix[0, 0]) for e in errors])
    assert np.std(turn) == pytest.approx(0.02, rel=0.2)
    assert np.std([np.linalg.det(e.matrix) for e in errors]) == pytest.approx(2e-5, rel=0.2)


def test_chips_of_a_camera_meet_at_their_gaps() -> None:
    camera = CameraSettings(shape=(100, 200), chips=(2, 2), gap_px=30.0, scale_arcsec=0.2)
    headers = true_headers(camera, Pointing(50.0, 10.0, 0.0), np.zeros(4))
    chips = [celestial_wcs(header, camera.shape) for header in headers]
    edge = chips[0].sky_from_pixel(Points(np.array([230.0, 0.0]), np.array([50.0, 130.0])))
    on_second, on_third = chips[1].pixel_from_sky(edge), chips[2].pixel_from_sky(edge)
    assert np.allclose([on_second.x[0], on_second.y[0]], [0.0, 50.0], atol=1e-6)
    assert np.allclose([on_third.x[1], on_third.y[1]], [0.0, 0.0], atol=1e-6)


def test_a_mirrored_camera_has_the_other_parity() -> None:
    pointing = Pointing(50.0, 10.0, 20.0)
    usual, mirrored = (
        celestial_wcs(
            true_headers(CameraSettings(east_left=left), pointing, np.zeros(1))[0], (512, 512)
        )
        for left in (True, False)
    )
    assert (usual.parity, mirrored.parity) == (-1, 1)
    north = usual.sky_from_pixel(Points(np.array([255.5]), np.array([355.5])))
    place = TangentPlane(50.0, 10.0).from_sky(SkyPoints(north.ra, north.dec))
    assert np.degrees(np.arctan2(place.x, place.y))[0] == pytest.approx(20.0)


def test_a_gross_error_comes_on_top_of_the_others() -> None:
    small = HeaderError(np.array([0.4, -0.3]), LINEAR)
    gross = (GrossError(0, (300.0, -10.0), 30.0), GrossError(0, is_mirrored=True))
    found = with_gross(small, gross, 0.2)
    assert found.shift_arcsec == pytest.approx([60.4, -2.3])
    assert found.matrix == pytest.approx(np.diag([-1.0, 1.0]) @ rotation_matrix(30.0) @ LINEAR)


@pytest.mark.parametrize("distortion", DISTORTIONS.names())
def test_a_mirrored_header_exchanges_east_and_west(distortion: str) -> None:
    header = _header(distortion, 2.2)
    wcs = celestial_wcs(header, SHAPE)
    error = HeaderError(np.zeros(2), np.diag([-1.0, 1.0]))
    given = celestial_wcs(misaligned(header, wcs, error), SHAPE)
    plane, grid = TangentPlane(0.01, 2.2), wcs.grid(5)
    right, wrong = (plane.from_sky(one.sky_from_pixel(grid)) for one in (wcs, given))
    assert np.abs(wrong.x + right.x).max() < 1e-4
    assert np.abs(wrong.y - right.y).max() < 1e-4


def test_gross_errors_are_read_and_misspelt_ones_refused() -> None:
    text = {"exposure": 3, "shift_px": [300.0, 0.0], "is_mirrored": True}
    settings = sky_settings({"header_errors": {"gross": [text]}})
    assert settings.header_errors.gross == (GrossError(3, (300.0, 0.0), is_mirrored=True),)
    with pytest.raises(ConfigError, match="gross"):
        sky_settings({"header_errors": {"gross": [{"exposure": 3, "shift": [1.0, 2.0]}]}})


@pytest.mark.parametrize("position_angle_deg", [0.0, 70.0])
def test_what_a_chip_lacks_is_a_shift_in_its_own_pixels(position_angle_deg: float) -> None:
    camera = CameraSettings(shape=SHAPE, chips=(1, 2), gap_px=20.0)
    lacking = np.array([0.7, -0.4])
    pointing = Pointing(0.01, 12.0, position_angle_deg)
    for header in true_headers(camera, pointing, np.zeros(2)):
        wcs = celestial_wcs(header, SHAPE)
        sound = HeaderError(np.zeros(2), np.eye(2))
        given = celestial_wcs(misaligned(header, wcs, with_chip(sound, wcs, lacking)), SHAPE)
        places = wcs.grid(3)
        meant = wcs.pixel_from_sky(given.sky_from_pixel(places))
        assert np.abs(meant.x - places.x + lacking[0]).max() < 1e-5
        assert np.abs(meant.y - places.y + lacking[1]).max() < 1e-5
