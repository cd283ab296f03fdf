"""Small planes convolved with Gaussians, and stencils of their neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.numerics.displacement.convolution import convolved, convolved_alike, reach_of
from alignsvc.numerics.displacement.stencils import stencilled


def both_sides(half):
    """A symmetric kernel at distances -reach .. reach."""
    return np.concatenate([half[:0:-1], half])


@settings(deadline=None)
@given(side=st.integers(3, 30), reach=st.integers(0, 20), seed=st.integers(0, 99))
def test_each_plane_has_a_kernel_with_zeros_around(side: int, reach: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.normal(size=(3, side, side)).astype(np.float32)
    half = np.abs(rng.normal(size=(3, min(reach, side - 1) + 1)))
    half[1, 1:] = 0  # reaches less far than the others

    found = convolved(planes, half)

    for plane, one, seen in zip(planes, half, found, strict=True):
        kernel = np.outer(both_sides(one), both_sides(one))
        wanted = ndimage.convolve(plane.astype(float), kernel, mode="constant")
        np.testing.assert_allclose(seen, wanted, atol=2e-6 * kernel.sum())


@settings(deadline=None)
@given(side=st.integers(1, 20), seed=st.integers(0, 99))
def test_one_kernel_for_all_is_known_one_pixel_beyond_the_edges(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    planes = rng.normal(size=(2, side, side)).astype(np.float32)
    half = rng.uniform(0.1, 1, side + 1)

    found = convolved_alike(planes, half)

    kernel = np.outer(both_sides(half), both_sides(half))
    for plane, seen in zip(planes, found, strict=True):
        wanted = ndimage.convolve(np.pad(plane.astype(float), 1), kernel, mode="constant")
        np.testing.assert_allclose(seen, wanted, atol=2e-6 * kernel.sum())


def test_a_stencil_differs_neighbours_twice_along_an_axis_and_once_along_both() -> None:
    y, x = np.mgrid[-1:6, -1:6].astype(np.float32)
    smooth = (3 * x**2 + 5 * y**2 + 7 * x * y)[None]
    planes = np.ones((1, 5, 5), np.float32)

    found = stencilled(planes, smooth, (2.0, 0.5, 10.0, 100.0))

    wanted = 2 + 0.5 * smooth[:, 1:-1, 1:-1] + 10 * (6 - 10) + 100 * 7
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_kernel_reaches_no_farther_than_the_plane() -> None:
    assert reach_of(2.0, 30) == 8
    assert reach_of(2.0, 8) == 7
    assert reach_of(0.0, 30) == 0
