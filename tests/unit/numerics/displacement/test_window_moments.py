"""Moments in Gaussian windows, and where the windows come to rest."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.displacement.splines.window_moments import (
    centred,
    fill_moments,
    window_means,
    window_worth,
)

SIDE = 31


def _gaussians(place: np.ndarray, sigma_px: float) -> np.ndarray:
    step = np.arange(SIDE)
    x, y = (step - place[:, None, axis] for axis in (0, 1))
    both = x[:, None, :] ** 2 + y[:, :, None] ** 2
    return np.exp(-0.5 * both / sigma_px**2).astype(np.float32)


@pytest.mark.parametrize("power", [1, 2])
def test_moments_are_sums_over_the_window(power: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    at, width = np.array([12.3, 17.9]), 2.7
    found, room = np.empty((3, 3)), np.empty((3, 3, SIDE), np.float32)

    fill_moments(values, at, (width, power), room, found)

    y, x = np.mgrid[:SIDE, :SIDE]
    u, v = (x - at[0]) / width, (y - at[1]) / width
    window = np.exp(-0.5 * power * (u**2 + v**2))
    wanted = [[np.sum(window * values * v**j * u**k) for k in range(3)] for j in range(3)]
    np.testing.assert_allclose(found, wanted, atol=1e-3)


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


def test_centroids_scatter_as_their_covariance_says() -> None:
    """Of a star that is no circle, in noise that is not the same everywhere."""
    rng, n = np.random.default_rng(2), 2000
    step = np.arange(SIDE) - 15.2
    x, y = step, step[:, None]
    star = 500 * np.exp(-0.5 * (x**2 / 4 + y**2 / 5 + 0.1 * x * y)).astype(np.float32)
    variance = (1 + 0.2 * np.abs(x) + 0.1 * np.abs(y)).astype(np.float32)
    seen = star + np.sqrt(variance) * rng.normal(size=(n, SIDE, SIDE)).astype(np.float32)
    begin, width = np.full((n, 2), 15.2), np.full(n, 2.1)
    place = centred(seen, begin, width, (1e-5, 2.0, 30))

    worth = window_worth(star[None], variance[None], begin[:1], width[:1])

    assert worth.sound.all()
    np.testing.assert_allclose(
        np.cov(place.T) / worth.covariance[0, 0, 0],
        worth.covariance[0] / worth.covariance[0, 0, 0],
        atol=0.1,
    )
    window = np.exp(-0.5 * (x**2 + y**2) / 2.1**2)
    assert worth.flux[0] == pytest.approx((window * star).sum(), rel=1e-4)


def test_without_light_nothing_answers() -> None:
    place = np.array([[15.2, 14.7]])
    star = _gaussians(place, 2.0)
    sound = [
        window_worth(values, np.ones_like(star), place, np.full(1, 2.0)).sound[0]
        for values in (star, -star)
    ]
    assert sound == [True, False]


def test_a_mean_is_that_within_the_window() -> None:
    step = np.arange(SIDE, dtype=np.float32)
    ramp = np.broadcast_to(0.1 * step, (3, SIDE, SIDE)).astype(np.float32)
    at = np.array([[14.3, 15.0], [0.0, 15.0], [-400.0, 15.0]])
    found = window_means(ramp, at, np.full(3, 2.0))
    assert found[0] == pytest.approx(1.43, abs=1e-4)
    assert 0 < found[1] < 0.3  # the half of it that lies in the frame
    assert np.isnan(found[2])
