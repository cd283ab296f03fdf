"""Equations of sources without their noise, against numpy's linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.displacement.splines.posed import eliminate, pose


def _sums(rng: np.random.Generator, n: int) -> np.ndarray:
    root = rng.normal(size=(n, 4, 7))
    return np.concatenate([root @ root.swapaxes(1, 2), rng.normal(size=(n, 4, 1))], axis=2)


def _posed(
    sums: np.ndarray, expected: np.ndarray, most_noise: float, frees_background: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices, and which are informative."""
    matrix, how = np.empty((len(sums), 4, 4)), (most_noise, frees_background)
    informative = [pose(*one, how, into) for *one, into in zip(sums, expected, matrix, strict=True)]
    return matrix, np.array(informative)


@given(seed=st.integers(0, 99), frees_background=st.booleans())
@settings(max_examples=30, deadline=None)
def test_equations_are_the_sums_less_their_noise(seed: int, frees_background: bool) -> None:
    rng = np.random.default_rng(seed)
    sums = _sums(rng, 6)
    expected = 0.3 * np.diagonal(sums[:, :, :4], axis1=1, axis2=2) * rng.random((6, 4))

    matrix, informative = _posed(sums, expected, 1.0, frees_background)

    wanted = sums[:, :, :4] - expected[:, :, None] * np.eye(4)
    if not frees_background:
        wanted[:, 3] = wanted[:, :, 3] = 0
        wanted[:, 3, 3] = 1
    scale = np.sqrt(np.diagonal(np.abs(wanted), axis1=1, axis2=2))
    unit = wanted / (scale[:, :, None] * scale[:, None, :])
    np.testing.assert_array_equal(informative, np.abs(np.linalg.det(unit)) > 0.05**4)
    np.testing.assert_allclose(matrix[informative], wanted[informative])


@given(seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_elimination_solves_and_returns_the_determinant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, solution = rng.normal(size=(4, 4)), rng.normal(size=4)
    right = matrix @ solution
    assert eliminate(matrix.copy(), right) == pytest.approx(np.linalg.det(matrix))
    np.testing.assert_allclose(right, solution, rtol=1e-6, atol=1e-6)


def test_a_template_of_noise_tells_nothing() -> None:
    sums = _sums(np.random.default_rng(2), 3)
    power = np.diagonal(sums[:, :, :4], axis1=1, axis2=2)
    expected = np.zeros((3, 4))
    expected[1, 0] = 0.97 * power[1, 0]  # all but 3 % of the slopes' power
    sums[2, 1, 2] = np.nan

    matrix, informative = _posed(sums, expected, 0.5, True)

    assert informative.tolist() == [True, False, False]
    np.testing.assert_array_equal(matrix[1:], np.stack([np.eye(4)] * 2))


def test_while_iterating_no_more_than_a_part_of_the_power_is_taken_for_noise() -> None:
    sums = _sums(np.random.default_rng(3), 1)
    power = np.diagonal(sums[:, :, :4], axis1=1, axis2=2)
    matrix, informative = _posed(sums, 0.9 * power, 0.5, True)
    assert informative.all()
    np.testing.assert_allclose(np.diagonal(matrix, axis1=1, axis2=2), 0.5 * power)
