"""The image that detection looks at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from alignsvc.numerics.sources.matched_filter import inner, signal_to_noise


def test_white_noise_comes_out_as_a_unit_gaussian_whatever_its_weight():
    rng = np.random.default_rng(1)
    rms = rng.choice([1.0, 3.0], (400, 400))
    noise = rng.normal(0.0, rms).astype(np.float32)
    seen = signal_to_noise(noise, (1 / rms**2).astype(np.float32))
    assert inner(seen).std() == pytest.approx(1.0, abs=0.01)


def test_what_a_hole_holds_changes_nothing():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(20, 20)).astype(np.float32)
    weight = np.ones((20, 20), np.float32)
    weight[8:11, 8:11] = 0.0
    seen = signal_to_noise(values, weight)
    values[9, 9] = 1e6
    assert np.array_equal(signal_to_noise(values, weight), seen)
    assert not seen[8:11, 8:11].any()


def test_a_pixel_depends_on_its_neighbours_alone():
    rng = np.random.default_rng(3)
    values, weight = rng.random((2, 30, 30), np.float32)
    whole = signal_to_noise(values, weight)
    part = signal_to_noise(values[5:20, 7:25], weight[5:20, 7:25])
    assert np.array_equal(inner(part), inner(whole[5:20, 7:25]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (2, 2), (20, 30)])
def test_it_is_the_convolution_with_1_2_1_over_its_own_noise(shape):
    rng = np.random.default_rng(4)
    values = rng.normal(size=shape).astype(np.float32)
    weight = np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(0.5, 2.0, shape)).astype(np.float32)
    kernel = np.outer((1.0, 2.0, 1.0), (1.0, 2.0, 1.0))
    signal = ndimage.convolve(values * weight.astype(float), kernel, mode="constant")
    noise = np.sqrt(ndimage.convolve(weight.astype(float), kernel**2, mode="constant"))
    wanted = np.where(weight > 0, signal / np.where(noise > 0, noise, 1.0), 0.0)
    np.testing.assert_allclose(signal_to_noise(values, weight), wanted, rtol=1e-5, atol=1e-6)
