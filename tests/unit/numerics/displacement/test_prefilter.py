"""Coefficients of splines, against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.numerics.displacement.splines.prefilter import prefilter


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 99))
def test_coefficients_are_scipys_to_float32_rounding(ny, nx, seed):
    plane = np.random.default_rng(seed).normal(size=(ny, nx)).astype(np.float32)
    wanted = ndimage.spline_filter(plane.astype(float), order=5, mode="mirror")
    np.testing.assert_allclose(prefilter(plane), wanted, rtol=0, atol=3e-6 * np.abs(wanted).max())


def test_rounding_does_not_grow_with_the_plane():
    plane = np.random.default_rng(1).normal(1e4, 1.0, (900, 700)).astype(np.float32)
    wanted = ndimage.spline_filter(plane.astype(float), order=5)
    np.testing.assert_allclose(prefilter(plane), wanted, rtol=4e-6)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_has_no_coefficients(shape):
    assert prefilter(np.zeros(shape, np.float32)).shape == shape
