"""Where a model fit for people begins: matches, windows, noise, maps."""

import math

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.numerics.models.modelling.joined_windows import joined_windows
from alignsvc.numerics.models.modelling.scene_start import StartMatcher, widths
from alignsvc.numerics.models.modelling.sky_map import SkyMap
from alignsvc.numerics.models.scene.reweighting import noise_per_flux

PLACES = Points(np.array([40.0, 101.0, 80.0, 20.0]), np.array([50.0, 62.0, 110.0, 130.0]))


def turned(points: Points, angle: float, shift: tuple[float, float]) -> Points:
    z = (points.x - 75 + 1j * (points.y - 75)) * np.exp(1j * angle)
    return Points(z.real + 75 + shift[0], z.imag + 75 + shift[1])


@pytest.mark.parametrize("angle", [0.0, math.pi / 32, -math.pi / 32])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_sources_are_found_though_shifted_turned_and_in_another_order(
    angle: float, count: int
) -> None:
    expected = Points(PLACES.x[:count], PLACES.y[:count])
    found = turned(expected, angle, (2.5, -1.5))
    order = np.arange(count)[::-1]
    matches = StartMatcher()(expected, Points(found.x[order], found.y[order]), may_turn=True)
    np.testing.assert_array_equal(matches.second, order[matches.first])
    assert len(matches) == count


def test_where_the_header_is_right_no_other_match_is_preferred() -> None:
    random = np.random.default_rng(1)
    others = Points(*random.uniform(0, 150, (2, 30)))
    found = Points(np.append(PLACES.x, others.x), np.append(PLACES.y, others.y))
    matches = StartMatcher()(PLACES, found, may_turn=True)
    np.testing.assert_array_equal(matches.second, np.arange(4))


def test_one_of_several_expected_sources_is_no_match() -> None:
    far = Points(np.array([45.0, 400.0]), np.array([55.0, 400.0]))
    assert len(StartMatcher()(PLACES, far, may_turn=True)) == 0
    nothing = Points(np.zeros(0), np.zeros(0))
    assert len(StartMatcher()(PLACES, nothing, may_turn=True)) == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 80), st.floats(0, 80)), min_size=1, max_size=12),
    st.integers(1, 9),
)
def test_no_pixel_stands_in_two_windows_and_each_source_in_one(
    at: list[tuple[float, float]], half: int
) -> None:
    x, y = np.array(at).T
    seen = np.arange(len(x))
    windows = joined_windows(Points(x, y), np.full(len(x), 2 * half + 1), seen)
    assert sorted(k for window in windows for k in window.members) == seen.tolist()
    count = np.zeros((300, 300), int)
    for window in windows:
        box = window.box
        count[box.y0 + 100 : box.y1 + 100, box.x0 + 100 : box.x1 + 100] += window.inside
    assert count.max() == 1
    squares = np.zeros(count.shape, bool)
    for i, j in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        squares[j + 100 - half : j + 101 + half, i + 100 - half : i + 101 + half] = True
    np.testing.assert_array_equal(count == 1, squares)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_what_a_fit_leaves_tells_the_noise_of_light(gain: float) -> None:
    random = np.random.default_rng(2)
    light = random.uniform(0, 400, 20_000)
    left = random.normal(0, np.sqrt(25 + light / gain))
    assert noise_per_flux(np.full(light.shape, 1 / 25), left, light) == pytest.approx(
        1 / gain, rel=0.05
    )
    assert noise_per_flux(np.full(light.shape, 1 / 25), 0 * left, light) == 0.0
    assert noise_per_flux(np.zeros(light.shape), left, light) == 0.0


def test_the_width_of_a_star_is_read_from_the_area_above_half_its_peak() -> None:
    y, x = np.indices((60, 60))
    sigma = 6.0 / math.sqrt(8 * math.log(2))
    image = np.exp(-0.5 * ((x - 30.3) ** 2 + (y - 20.6) ** 2) / sigma**2).astype(np.float32)
    found = widths(image, Points(np.array([30.3, 55.0, 90.0]), np.array([20.6, 50.0, 20.0])))
    assert found[0] == pytest.approx(6.0, rel=0.08)
    assert np.isnan(found[2])


def test_the_map_of_a_header_has_the_derivatives_of_its_pixels() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---TAN", "DEC--TAN"), (30.0, 60.0)
    wcs.wcs.cd = np.array([[-0.9, 0.3], [0.3, 0.9]]) / 3600
    wcs.wcs.crpix = 50.0, 60.0
    sky_map = SkyMap(TangentPlane(30.01, 60.01), CelestialWcs(wcs, (100, 100)))
    at = Points(np.array([-30.0, 5.0, 20.0]), np.array([-50.0, 12.0, -5.0]))
    mapped, h = sky_map(at), 1e-2
    for axis, (dx, dy) in enumerate([(h, 0.0), (0.0, h)]):
        there = sky_map(Points(at.x + dx, at.y + dy)).pixel
        back = sky_map(Points(at.x - dx, at.y - dy)).pixel
        slope = np.stack([there.x - back.x, there.y - back.y], axis=1) / (2 * h)
        np.testing.assert_allclose(mapped.by_place[:, :, axis], slope, atol=1e-7)
