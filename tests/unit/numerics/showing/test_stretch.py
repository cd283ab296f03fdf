"""The stretch: monotonic, robust, and defined for whatever a mosaic may hold."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.showing.stretch import AsinhStretch


def test_its_numbers_are_those_of_the_sky_whatever_the_stars() -> None:
    random = np.random.default_rng(1)
    value = random.normal(10.0, 2.0, (300, 300))
    value[::40, ::40] = 1e5
    value[:20] = np.nan
    found = AsinhStretch.of(value)
    assert found.sky == pytest.approx(10.0, abs=0.05)
    assert found.sigma == pytest.approx(2.0, rel=0.03)
    assert found.black == pytest.approx(found.sky - 3.0 * found.sigma)
    assert found.white >= found.sky + 30.0 * found.sigma


def test_shades_rise_from_0_to_1_and_nan_stays() -> None:
    stretch = AsinhStretch(-1.0, 100.0, 2.0, 0.0, 0.3)
    shades = stretch(np.array([-5.0, -1.0, 0.0, 3.0, 100.0, 1e9, np.nan]))
    np.testing.assert_allclose(shades[[0, 1, 4, 5]], [0.0, 0.0, 1.0, 1.0])
    assert np.all(np.diff(shades[1:5]) > 0)
    assert np.isnan(shades[6])


@pytest.mark.parametrize(
    "value", [np.full(9, np.nan), np.zeros(9), np.full(9, 7.0), np.r_[np.zeros(8), 5.0]]
)
def test_a_plane_without_noise_has_a_stretch_all_the_same(value: np.ndarray) -> None:
    stretch = AsinhStretch.of(value)
    shades = stretch(value)
    assert stretch.white > stretch.black
    assert np.all((shades[np.isfinite(value)] >= 0) & (shades[np.isfinite(value)] <= 1))
