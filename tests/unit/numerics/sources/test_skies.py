"""The sky of a chip: level and noise, whatever lies on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from source_fields import random_truth, render

from alignsvc.errors import ConfigError, DataError
from alignsvc.numerics.sources.skies import SKIES
from alignsvc.numerics.sources.skies.mesh import MeshBackground
from alignsvc.reasons import FailureKind

RNG = np.random.default_rng
ALL_SKIES = SKIES.names()


def noisy(shape, rms=5.0, seed=1):
    return RNG(seed).normal(0.0, rms, shape).astype(np.float32)


def gradient(shape, per_px=0.05):
    y, x = np.indices(shape)
    return (100.0 + per_px * x + 0.5 * per_px * y).astype(np.float32)


@pytest.mark.parametrize("name", ALL_SKIES)
@pytest.mark.parametrize("shape", [(300, 257), (40, 40), (130, 600)])
def test_every_sky_measures_the_noise_and_leaves_its_inputs_alone(name, shape):
    pixels, mask = noisy(shape), np.zeros(shape, bool)
    before = pixels.copy()
    pixels.flags.writeable = mask.flags.writeable = False
    sky = SKIES.build(name, {})(pixels, mask)
    assert sky.rms == pytest.approx(5.0, rel=0.06)
    assert sky.level.shape == shape
    assert sky.level.dtype == np.float32
    assert not sky.level.flags.writeable
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", ALL_SKIES)
@pytest.mark.parametrize("shape", [(300, 257), (40, 40), (9, 600)])
def test_a_sky_is_made_again_of_what_is_kept_bit_for_bit(name, shape):
    estimator, mask = SKIES.build(name, {}), RNG(3).random(shape) < 0.1
    sky = estimator(noisy(shape) + gradient(shape), mask)
    again = estimator.again(sky.kept, shape)
    assert again.level.tobytes() == sky.level.tobytes()
    assert (again.rms, again.mesh_level.tobytes()) == (sky.rms, sky.mesh_level.tobytes())
    assert again.mesh_rms.tobytes() == sky.mesh_rms.tobytes()


@pytest.mark.parametrize("name", ALL_SKIES)
def test_a_masked_pixel_changes_nothing(name):
    pixels = noisy((200, 200))
    mask = RNG(2).random(pixels.shape) < 0.2
    wild = np.where(mask, np.float32(1e9), pixels)
    one, other = (SKIES.build(name, {})(image, mask) for image in (pixels, wild))
    assert np.array_equal(one.level, other.level)
    assert one.rms == other.rms


@pytest.mark.parametrize("name", ALL_SKIES)
def test_a_chip_without_good_pixels_is_an_error_that_says_so(name):
    with pytest.raises(DataError, match="usable pixels") as caught:
        SKIES.build(name, {})(noisy((50, 50)), np.ones((50, 50), bool))
    assert caught.value.kind is FailureKind.ALL_MASKED


def test_none_subtracts_nothing():
    sky = SKIES.build("none", {})(noisy((100, 100)) + np.float32(50), np.zeros((100, 100), bool))
    assert not sky.level.any()
    assert sky.rms == pytest.approx(5.0, rel=0.02)


def test_a_gradient_is_followed_to_the_corners_and_is_no_noise():
    truth = gradient((512, 512))
    sky = MeshBackground()(noisy(truth.shape) + truth, np.zeros(truth.shape, bool))
    assert np.abs(sky.level - truth).max() < 1.0
    assert sky.rms == pytest.approx(5.0, rel=0.03)


def test_light_that_is_everywhere_is_not_noise():
    """Faint stars of FWHM 5 px all over: the pixels alone tell a tenth too much noise."""
    rng = RNG(5)
    stars = np.zeros((256, 256))
    stars[rng.integers(0, 256, 150), rng.integers(0, 256, 150)] = 10 ** rng.uniform(2, 4, 150)
    seen = (noisy((256, 256)) + gaussian_filter(stars, 2.1)).astype(np.float32)
    sky = MeshBackground()(seen, np.zeros((256, 256), bool))
    assert sky.rms == pytest.approx(5.0, rel=0.05)


def test_sources_hardly_raise_the_level():
    rng = RNG(3)
    truth = gradient((512, 512))
    stars = render(random_truth(200, 512, rng), truth.shape).astype(np.float32)
    sky = MeshBackground()(noisy(truth.shape) + truth + stars, np.zeros(truth.shape, bool))
    assert np.abs(np.mean(sky.level - truth)) < 0.5
    assert sky.rms == pytest.approx(5.0, rel=0.06)


def test_a_masked_quarter_does_not_bend_the_sky_beside_it():
    truth = gradient((512, 512))
    mask = np.zeros(truth.shape, bool)
    mask[:256, :256] = True
    sky = MeshBackground(box=64)(noisy(truth.shape) + truth, mask)
    assert np.abs(sky.level - truth)[~mask].max() < 2.0


def test_a_star_that_fills_a_cell_is_filtered_out():
    pixels = noisy((640, 640))
    pixels[256:384, 256:384] += 500.0
    sky = MeshBackground()(pixels, np.zeros(pixels.shape, bool))
    assert np.abs(sky.level).max() < 5.0


def test_a_constant_border_says_nothing_about_the_noise():
    pixels = noisy((512, 512))
    pixels[:256] = 0.0
    assert MeshBackground()(pixels, np.zeros(pixels.shape, bool)).rms == pytest.approx(5, rel=0.03)


@pytest.mark.parametrize("rms", [0.3, 0.6, 2.0])
def test_the_noise_of_integers_is_seen_though_most_pixels_are_equal(rms):
    counts = np.round(7.0 + noisy((256, 256), rms)).astype(np.float32)
    sky = MeshBackground()(counts, np.zeros(counts.shape, bool))
    assert sky.rms == pytest.approx(counts.std(), rel=0.1)
    assert np.abs(sky.level - 7.0).max() < 0.3


def test_a_constant_chip_has_no_noise():
    flat = np.full((100, 100), 7.0, np.float32)
    sky = MeshBackground()(flat, np.zeros(flat.shape, bool))
    assert sky.rms == 0.0
    assert np.allclose(sky.level, 7.0)


def test_a_box_too_small_is_refused():
    with pytest.raises(ConfigError, match="8 px or more"):
        MeshBackground(box=2)


@pytest.mark.real_data
def test_real_exposures_have_a_finite_sky():
    folder = Path(__file__).resolve().parents[4] / "../shared/data"
    files = sorted(folder.rglob("*.fits")) if folder.is_dir() else []
    if not files:
        pytest.skip(f"no real exposures in {folder}")
    from astropy.io import fits

    with fits.open(files[0]) as hdus:
        image = next(hdu.data for hdu in hdus if hdu.data is not None and hdu.data.ndim == 2)
    pixels = image[:1024, :1024].astype(np.float32)
    mask = ~np.isfinite(pixels)
    sky = MeshBackground()(np.where(mask, np.float32(0), pixels), mask)
    assert np.isfinite(sky.level).all()
    assert sky.rms > 0
