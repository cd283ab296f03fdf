"""Gram matrices of windows, and elimination by sweeping, against dense algebra."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scenes_of_stars import GAUSSIAN

from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.scene.window import WindowStack
from alignsvc.numerics.models.scene.window_sums import LinearValues, sky_terms, sweep, window_gram


def test_the_gram_matrix_is_that_of_all_columns_pixel_by_pixel() -> None:
    rng = np.random.default_rng(1)
    windows = WindowStack(
        rng.normal(size=(4, 9, 9)), rng.uniform(0, 2, (4, 9, 9)), np.zeros((4, 2), int)
    )
    members = [
        GAUSSIAN(Places(rng.uniform(2, 6, 4), rng.uniform(2, 6, 4), 9), np.full((4, 1), 0.4))
        for _ in range(2)
    ]
    values = LinearValues(rng.normal(size=(4, 2)), rng.normal(size=(4, 3)))
    gram = window_gram(windows, members, values)
    for n in range(4):
        sky = list(sky_terms(9, 3))
        columns = [c for m in members for c in (m.d_x[n], m.d_y[n], m.d_shape[n, 0])]
        columns += [m.value[n] for m in members] + sky
        model = sum(f * m.value[n] for f, m in zip(values.flux[n], members, strict=True))
        model = model + sum(s * t for s, t in zip(values.sky[n], sky, strict=True))
        dense = np.stack([*columns, windows.pixels[n] - model]).reshape(len(columns) + 1, -1)
        np.testing.assert_allclose(
            gram[n], (dense * windows.weight[n].ravel()) @ dense.T, rtol=1e-10, atol=1e-10
        )


def test_the_value_of_a_masked_pixel_changes_no_sum() -> None:
    weight = np.ones((1, 7, 7))
    weight[0, 3, 3] = 0
    profile = [GAUSSIAN(Places(np.array([3.2]), np.array([2.9]), 7), np.full((1, 1), 0.4))]
    values = LinearValues(np.ones((1, 1)), np.zeros((1, 1)))
    sums = []
    for value in (0.0, 1e30):
        pixels = np.ones((1, 7, 7))
        pixels[0, 3, 3] = value
        windows = WindowStack(pixels, weight, np.zeros((1, 2), int))
        sums.append(window_gram(windows, profile, values))
    assert np.array_equal(sums[0], sums[1])


@given(seed=st.integers(0, 10_000), first=st.integers(0, 3), count=st.integers(0, 3))
def test_sweeping_is_least_squares_in_the_columns_that_are_swept(
    seed: int, first: int, count: int
) -> None:
    columns = np.random.default_rng(seed).normal(size=(2, 7, 30))
    gram = columns @ columns.swapaxes(1, 2)
    swept = sweep(gram, first, first + count)
    own = np.arange(first, first + count)
    rest = np.setdiff1d(np.arange(7), own)
    assert swept.determined.all()
    for dense, found in zip(columns, swept.gram, strict=True):
        solution = np.linalg.lstsq(dense[own].T, dense[rest].T, rcond=None)[0]
        left = dense[rest] - solution.T @ dense[own]
        np.testing.assert_allclose(found[np.ix_(own, rest)], solution, atol=1e-9)
        np.testing.assert_allclose(found[np.ix_(rest, rest)], left @ left.T, atol=1e-9)
        covariance = np.linalg.inv(dense[own] @ dense[own].T)
        np.testing.assert_allclose(found[np.ix_(own, own)], -covariance, atol=1e-9)


def test_a_column_that_others_explain_takes_no_part() -> None:
    # Many windows: the rounding of what is left of the second column has either sign.
    columns = np.random.default_rng(3).normal(size=(50, 4, 20))
    columns[:, 1] = columns[:, 0] / 3
    columns[-1] = 0
    swept = sweep(columns @ columns.swapaxes(1, 2), 0, 2)
    assert swept.determined[:, 0].tolist() == [True] * 49 + [False]
    assert not swept.determined[:, 1].any()
    assert np.isfinite(swept.gram).all()
    assert not swept.gram[:, 1, -1].any()
