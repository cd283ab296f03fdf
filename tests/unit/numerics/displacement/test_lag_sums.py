"""Sums over the overlap of frames at few lags, against the definition and the transforms."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.displacement.correlation.lag_sums import (
    energies_at_lags,
    masked_sums_at_lags,
    products_at_lags,
)
from alignsvc.numerics.displacement.splines.spline import REACH, TemplateSpline


def _summed(image: np.ndarray, template: np.ndarray, first: int, n_lags: int) -> np.ndarray:
    """The definition: a template padded with zeros, one lag after another."""
    side, pad = image.shape[-1], image.shape[-1] + n_lags + abs(first)
    wide = np.pad(template.astype(float), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    sums = np.empty((*template.shape[:2], n_lags, n_lags))
    for y in range(n_lags):
        for x in range(n_lags):
            top, left = pad + first + y, pad + first + x
            piece = wide[:, :, top : top + side, left : left + side]
            sums[:, :, y, x] = np.einsum("nyx,nvyx->nv", image.astype(float), piece)
    return sums


@given(
    side=st.integers(1, 12),
    margin=st.integers(0, 4),
    max_lag=st.integers(0, 5),
    versions=st.sampled_from([1, 4]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_sums_at_lags_are_what_they_say(
    side: int, margin: int, max_lag: int, versions: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    good = rng.random((2, side, side)) < rng.choice([0.0, 0.3, 0.9, 1.0])
    image = np.where(good, rng.normal(size=good.shape), 0).astype(np.float32)
    across = side + 2 * margin
    template = rng.normal(size=(2, versions, across, across)).astype(np.float32)
    lags = margin - max_lag, 2 * max_lag + 1

    np.testing.assert_allclose(
        products_at_lags(image, template, *lags), _summed(image, template, *lags), atol=2e-4
    )
    np.testing.assert_allclose(
        masked_sums_at_lags(good, template, *lags), _summed(good, template, *lags), atol=2e-4
    )


@given(
    side=st.integers(1, 12),
    margin=st.integers(0, 4),
    max_lag=st.integers(0, 5),
    spare=st.integers(0, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_energies_at_lags_are_sums_of_squares_of_the_blots_that_count(
    side: int, margin: int, max_lag: int, spare: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    across = side + 2 * margin
    wider = across + 2 * (REACH + spare)
    good = rng.random((2, side, side)) < rng.choice([0.0, 0.3, 0.9, 1.0])
    template_good = rng.random((2, across, across)) < rng.choice([0.5, 1.0])
    spline = TemplateSpline(rng.normal(size=(2, wider, wider)).astype(np.float32))
    lags = margin - max_lag, 2 * max_lag + 1
    squares = (spline.half_pixel(across) * template_good[:, None]) ** 2

    found = energies_at_lags(good, template_good, spline.coefficients, *lags)

    np.testing.assert_allclose(found, _summed(good, squares, *lags), atol=2e-4)
