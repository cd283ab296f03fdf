"""Gaussians at the pixels of boxes, against numpy's exponential."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.displacement.splines.gaussians import (
    amplitude,
    fill_gaussian,
    fitted_profile,
)

SIDE = 38


def _gaussian(x: float, y: float, covariance: np.ndarray) -> np.ndarray:
    """An elliptical Gaussian of unit sum."""
    off = np.stack(np.meshgrid(np.arange(SIDE) - x, np.arange(SIDE) - y), axis=-1)
    power = np.einsum("yxi,ij,yxj->yx", off, np.linalg.inv(covariance), off)
    norm: float = 2 * np.pi * np.sqrt(np.linalg.det(covariance))
    return np.asarray(np.exp(-0.5 * power) / norm)


@given(
    x=st.floats(10, 28),
    y=st.floats(10, 28),
    widths=st.tuples(st.floats(0.7, 5), st.floats(0.7, 5)),
    lean=st.floats(-0.8, 0.8),
)
@settings(max_examples=50, deadline=None)
def test_a_plane_is_that_of_the_exponential(
    x: float, y: float, widths: tuple[float, float], lean: float
) -> None:
    across = lean * widths[0] * widths[1]
    covariance = np.array([[widths[0] ** 2, across], [across, widths[1] ** 2]])
    found = np.empty((SIDE, SIDE), np.float32)
    fill_gaussian((x, y, covariance[0, 0], across, covariance[1, 1]), found)
    wanted = _gaussian(x, y, covariance)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=1e-6 * wanted.max())
    assert (found >= np.finfo(np.float32).tiny).all()  # denormal numbers are slow


def test_an_amplitude_is_that_of_least_squares_and_never_negative() -> None:
    profile = _gaussian(18.3, 19.1, np.array([[4.0, 1.0], [1.0, 3.0]])).astype(np.float32)
    noise = np.random.default_rng(1).normal(0, 1e-3, profile.shape).astype(np.float32)
    wanted = np.sum((7 * profile + noise) * profile) / np.sum(profile**2)
    assert amplitude(7 * profile + noise, profile) == pytest.approx(wanted, rel=1e-4)
    assert amplitude(-profile, profile) == 0


def test_products_of_slopes_tell_the_gaussian_that_they_are_of() -> None:
    covariance, place = np.array([[5.0, 1.2], [1.2, 3.5]]), (18.3, 19.1)
    step = 1e-3
    plane = _gaussian(*place, covariance)
    d_x = (_gaussian(place[0] - step, place[1], covariance) - plane) / step
    d_y = (_gaussian(place[0], place[1] - step, covariance) - plane) / step
    products = np.array([np.sum(a * b) for a, b in ((d_x, d_x), (d_x, d_y), (d_y, d_y))])
    products = np.append(products, np.sum(plane**2))
    found = fitted_profile(products, place, (0.5, 0.1, 50.0))
    assert found == pytest.approx((*place, 4.5, 1.2, 3.0), rel=5e-3)
    axes = np.linalg.eigvalsh(np.array([[found[2], found[3]], [found[3], found[4]]]))
    narrow = fitted_profile(products, place, (0.5, 0.1, float(axes[0])))
    assert narrow[2] == pytest.approx(axes[0], rel=1e-6)
    assert narrow[3] == pytest.approx(0, abs=1e-9)
