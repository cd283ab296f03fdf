"""Moments in Gaussian windows, and where the windows come to rest."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.displacement.window_moments import centred, responses, window_moments

SIDE = 31


def _gaussians(place: np.ndarray, sigma_px: float) -> np.ndarray:
    step = np.arange(SIDE)
    x, y = (step - place[:, None, axis] for axis in (0, 1))
    both = x[:, None, :] ** 2 + y[:, :, None] ** 2
    return np.exp(-0.5 * both / sigma_px**2).astype(np.float32)


@pytest.mark.parametrize("power", [1, 2])
def test_moments_are_sums_over_the_window(power: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, SIDE, SIDE)).astype(np.float32)
    at, width = rng.uniform(2, SIDE - 3, (4, 2)), rng.uniform(0.8, 4, 4)

    found = window_moments(values, at, width, power)

    y, x = np.mgrid[:SIDE, :SIDE]
    for i in range(4):
        u, v = (x - at[i, 0]) / width[i], (y - at[i, 1]) / width[i]
        window = np.exp(-0.5 * power * (u**2 + v**2))
        wanted = [[np.sum(window * values[i] * v**j * u**k) for k in range(3)] for j in range(3)]
        np.testing.assert_allclose(found[i], wanted, atol=1e-3)


def test_a_window_comes_to_rest_on_its_source() -> None:
    rng = np.random.default_rng(1)
    place = rng.uniform(14, 16, (20, 2))
    begin = place + rng.uniform(-1, 1, place.shape)
    found = centred(_gaussians(place, 2.0), begin, np.full(20, 2.0), (1e-4, 2.0, 30))
    np.testing.assert_allclose(found, place, atol=1e-4)


def test_without_a_source_or_far_from_it_there_is_no_rest() -> None:
    place = np.array([[15.0, 15.0]] * 3)
    values = _gaussians(place, 2.0) * np.array([-1.0, 0.0, 1.0], np.float32)[:, None, None]
    begin = place + np.array([[0.3, 0.0], [0.3, 0.0], [9.0, 0.0]])
    assert np.isnan(centred(values, begin, np.full(3, 2.0), (1e-4, 2.0, 30))).all()


def test_a_source_as_wide_as_its_window_answers_with_half_of_its_flux() -> None:
    place = np.array([[15.2, 14.7]])
    sums = window_moments(_gaussians(place, 2.0), place, np.full(1, 2.0), 1)
    response, sound = responses(np.concatenate([sums, -sums]))
    assert sound.tolist() == [True, False]
    np.testing.assert_allclose(response[0], 0.5 * sums[0, 0, 0] * np.eye(2), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(response[1], np.eye(2))
