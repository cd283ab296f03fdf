"""Small planes convolved with Gaussians, and stencils of their neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.numerics.displacement.splines.convolution import convolved, reach_of
from alignsvc.numerics.displacement.splines.stencils import stencilled


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


def test_a_stencil_differs_neighbours_twice_along_an_axis_and_once_along_both() -> None:
    y, x = np.mgrid[-3:4, -3:4].astype(np.float32)
    planes = (3 * x**2 + 5 * y**2 + 7 * x * y)[None]
    numbers = np.array([[2.0, 0.5, 10.0, 100.0], [1.0, 0.0, 0.0, 0.0]])

    found = stencilled(planes, np.array([1.0]), numbers)

    wanted = 2.5 * planes + 10 * (6 - 10) + 100 * 7
    np.testing.assert_allclose(found[0, :, 1:-1, 1:-1], wanted[:, 1:-1, 1:-1], rtol=1e-6)
    np.testing.assert_array_equal(found[1], planes)


def test_a_stencil_knows_the_convolution_beyond_the_edges() -> None:
    """As if the planes lay among zeros."""
    planes = np.random.default_rng(3).normal(size=(2, 9, 9)).astype(np.float32)
    half, numbers = np.array([0.5, 0.2, 0.05]), np.array([[0.3, 2.0, 1.5, -0.7]])
    among = np.pad(planes, ((0, 0), (4, 4), (4, 4)))

    found, wanted = (stencilled(some, half, numbers)[0] for some in (planes, among))

    np.testing.assert_allclose(found, wanted[:, 4:-4, 4:-4], atol=1e-5)


def test_a_kernel_reaches_no_farther_than_the_plane() -> None:
    assert reach_of(2.0, 30) == 8
    assert reach_of(2.0, 8) == 7
    assert reach_of(0.0, 30) == 0
