"""What the camera does to the light."""

import numpy as np
import pytest

from alignsvc.simulation.detector import (
    DQ_BAD_PIXEL,
    DQ_SATURATED,
    bad_pixels,
    bled,
    cosmic_rays,
    expose,
)
from alignsvc.simulation.settings import CosmicRaySettings, DetectorSettings

GOOD = np.zeros((200, 200), np.int64)


def test_noise_has_the_variance_of_photons_and_reading() -> None:
    detector = DetectorSettings(gain=2.0, read_noise=5.0)
    image = expose(np.full((200, 200), 400.0), detector, GOOD, np.random.default_rng(1))
    assert image.pixels.mean() == pytest.approx(200.0, abs=0.4)
    assert image.pixels.std() == pytest.approx(np.sqrt(400.0 + 25.0) / 2.0, rel=0.02)
    assert image.error.mean() == pytest.approx(np.sqrt(400.0 + 25.0) / 2.0, rel=0.02)


def test_saturated_pixels_are_clipped_and_flagged() -> None:
    expected = np.full((200, 200), 100.0)
    expected[50, 60] = 1e6
    detector = DetectorSettings(gain=2.0, saturation=1000.0)
    image = expose(expected, detector, GOOD, np.random.default_rng(1))
    assert image.pixels.max() == 1000.0
    assert np.argwhere(image.quality == DQ_SATURATED).tolist() == [[50, 60]]


def test_bad_pixels_are_flagged_and_half_of_them_are_dead() -> None:
    bad = bad_pixels((200, 200), 0.01, np.random.default_rng(1))
    assert (bad > 0).mean() == pytest.approx(0.01, rel=0.2)
    image = expose(np.full((200, 200), 100.0), DetectorSettings(), bad, np.random.default_rng(2))
    assert np.array_equal(image.quality & DQ_BAD_PIXEL > 0, bad > 0)
    assert (image.pixels[bad == 1] == 0.0).all()
    assert (image.pixels[bad == 2] > 10000.0).all()


def test_bleeding_keeps_the_charge_in_its_column() -> None:
    electrons = np.full((50, 5), 10.0)
    electrons[25, 2] = 1000.0
    result = bled(electrons, 100.0)
    assert result.max() == 100.0
    assert result.sum() == pytest.approx(electrons.sum())
    assert np.array_equal(result[:, [0, 1, 3, 4]], electrons[:, [0, 1, 3, 4]])
    assert electrons[25, 2] == 1000.0


def test_cosmic_rays_come_as_often_as_asked_for() -> None:
    settings = CosmicRaySettings(per_megapixel=500.0, length_px=1e-3)
    hits = cosmic_rays((1000, 1000), settings, np.random.default_rng(1))
    assert (hits > 0).sum() == pytest.approx(500.0, rel=0.2)
    assert np.median(hits[hits > 0]) == pytest.approx(settings.electrons_per_px, rel=0.2)
    assert not cosmic_rays((100, 100), CosmicRaySettings(), np.random.default_rng(1)).any()
