"""Coefficients of splines through small planes, against scipy's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.numerics.displacement.splines.coefficients import spline_coefficients


@settings(deadline=None)
@given(side=st.integers(2, 50), seed=st.integers(0, 99))
def test_coefficients_are_those_of_a_quintic_mirrored_at_the_edges(side: int, seed: int) -> None:
    planes = np.random.default_rng(seed).normal(size=(2, side, side)).astype(np.float32)

    found = spline_coefficients(planes)

    for plane, seen in zip(planes, found, strict=True):
        wanted = ndimage.spline_filter(plane.astype(float), 5, mode="mirror")
        np.testing.assert_allclose(seen, wanted, atol=2e-6 * np.abs(wanted).max())


def test_a_plane_is_the_same_among_others() -> None:
    planes = np.random.default_rng(1).normal(size=(5, 13, 13)).astype(np.float32)
    np.testing.assert_array_equal(
        spline_coefficients(planes)[3:4], spline_coefficients(planes[3:4])
    )
