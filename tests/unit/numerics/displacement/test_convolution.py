"""Small planes convolved with sums of products of short kernels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.numerics.displacement.convolution import convolved, reach_of


@settings(deadline=None)
@given(
    side=st.integers(3, 20),
    reach=st.integers(0, 9),
    n_terms=st.integers(1, 3),
    of_each=st.booleans(),
    itself=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 99),
)
def test_sums_of_separable_kernels_with_zeros_around_the_planes(
    side: int, reach: int, n_terms: int, of_each: bool, itself: float, seed: int
) -> None:
    reach = min(reach, side - 1)
    rng = np.random.default_rng(seed)
    planes = rng.normal(size=(3, side, side)).astype(np.float32)
    along_x, along_y = rng.normal(size=(2, 3 if of_each else 1, n_terms, 2 * reach + 1))

    found = convolved(planes, along_x, along_y, itself)

    for i, plane in enumerate(planes):
        wanted = itself * plane.astype(float)
        for x, y in zip(along_x[i * of_each], along_y[i * of_each], strict=True):
            wanted += ndimage.convolve(plane.astype(float), np.outer(y, x), mode="constant")
        np.testing.assert_allclose(found[i], wanted, atol=1e-5 * (2 * reach + 1) ** 2)


def test_a_kernel_reaches_no_farther_than_the_plane() -> None:
    assert reach_of(2.0, 30) == 9
    assert reach_of(2.0, 9) == 8
    assert reach_of(0.0, 30) == 0
