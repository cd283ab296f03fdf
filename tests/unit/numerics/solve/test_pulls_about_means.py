"""Pulls: of unit variance if the errors are right, whoever else saw the same source."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.pulls import pulls_about_means, pulls_alone
from alignsvc.numerics.solve.sums import cholesky_2x2, inverse_2x2


def errors(random: np.random.Generator, n: int) -> FloatArray:
    """Return covariances of very different sizes, with correlated axes."""
    size = 10.0 ** random.uniform(-2.0, 0.0, n)
    roots = random.normal(size=(n, 2, 2)) + 2.0 * np.eye(2)
    return (size**2)[:, None, None] * (roots @ np.swapaxes(roots, 1, 2))


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_as_large_as_stated_gives_unit_pulls_about_the_means_of_sources(seed: int) -> None:
    random = np.random.default_rng(seed)
    source = random.integers(0, 4000, 20_000) * 10**12
    covariance = errors(random, len(source))
    noise = (cholesky_2x2(covariance) @ random.normal(size=(len(source), 2, 1)))[..., 0]
    # Where a source lies for all exposures is no part of its pulls.
    latent = random.normal(size=(4000, 2))[source // 10**12] * 100.0
    pulls = pulls_about_means(source, latent + noise, inverse_2x2(covariance))
    assert 0.5 * len(source) < len(pulls) < len(source)
    assert np.sqrt(np.mean(pulls**2, axis=0)) == pytest.approx([1.0, 1.0], abs=0.02)
    assert np.quantile(np.abs(pulls), 0.6827) == pytest.approx(1.0, abs=0.03)


def test_errors_that_are_too_small_by_half_double_the_pulls() -> None:
    random = np.random.default_rng(3)
    source = np.repeat(np.arange(500), 4)
    noise = random.normal(size=(2000, 2))
    stated = np.tile(np.eye(2) / 0.25, (2000, 1, 1))
    pulls = pulls_about_means(source, noise, stated)
    assert len(pulls) == 2000
    assert np.sqrt(np.mean(pulls**2)) == pytest.approx(2.0, abs=0.06)


def test_what_one_exposure_alone_saw_tells_nothing() -> None:
    information = np.tile(np.eye(2), (3, 1, 1))
    residual = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
    assert pulls_about_means(np.array([7, 8, 8]), residual, information).shape == (2, 2)
    assert pulls_about_means(np.array([7, 8, 9]), residual, information).shape == (0, 2)
    assert pulls_about_means(np.zeros(0, int), residual[:0], information[:0]).shape == (0, 2)


def test_alone_a_pull_is_a_residual_over_its_error_along_its_axis() -> None:
    covariance = np.array([[[4.0, 1.0], [1.0, 9.0]]])
    assert pulls_alone(np.array([[2.0, 6.0]]), inverse_2x2(covariance)).tolist() == [
        pytest.approx([1.0, 2.0])
    ]
