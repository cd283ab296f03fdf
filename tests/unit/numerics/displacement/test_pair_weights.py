"""Apertures of pairs, and what a source's own noise does to weights, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from displacement_scenes import random_phases

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.pairs import SOFT_EDGE_PX, PairStack

SIDE, N = 15, 3
NONE = np.zeros(N)
SHIFT = Points(np.array([0.3, -0.4, 0.0]), np.array([0.1, 0.2, -1.3]))


def _pairs(gain: float | None = 2.0) -> PairStack:
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 2, (N, SIDE, SIDE)).astype(np.float32)
    weight[:, 4] = 0
    middle = np.full(N, 7.2)
    return PairStack(
        pixels=weight,
        weight=weight,
        good=weight > 0,
        spline=TemplateSpline(np.zeros((N, SIDE + 10, SIDE + 10), np.float32)),
        template_good=np.ones((N, SIDE + 10, SIDE + 10), bool),
        template_variance=rng.uniform(1, 2, weight.shape).astype(np.float32),
        texture=random_phases(N),
        share=weight,
        centre=Points(middle, middle),
        whole=Points(NONE, NONE),
        aperture_px=np.array([3.0, 4.5, 20.0]),
        gain=gain,
    )


def _distance() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.hypot(x - (7.2 - SHIFT.x)[:, None, None], y - (7.2 - SHIFT.y)[:, None, None])


def test_an_aperture_is_a_disc_about_where_the_shift_puts_the_source() -> None:
    pairs = _pairs()
    inside = _distance() <= pairs.aperture_px[:, None, None]
    np.testing.assert_array_equal(pairs.aperture(SHIFT), inside)


def test_a_window_falls_from_1_to_0_across_the_rim_of_the_aperture() -> None:
    pairs = _pairs()
    depth = (pairs.aperture_px[:, None, None] - _distance()) / SOFT_EDGE_PX + 0.5
    depth = np.clip(depth, 0, 1)
    np.testing.assert_allclose(pairs.window(SHIFT), depth**2 * (3 - 2 * depth), atol=1e-5)


@pytest.mark.parametrize("gain", [2.0, None])
def test_light_adds_its_own_noise_and_what_is_below_the_sky_none(gain: float | None) -> None:
    pairs = _pairs(gain)
    model = np.random.default_rng(2).normal(0, 5, pairs.weight.shape).astype(np.float32)
    light = np.maximum(model, 0) / gain if gain else np.zeros_like(model)
    seen = pairs.weight > 0
    variance = np.divide(1, pairs.weight, out=np.full_like(model, np.inf), where=seen) + light

    np.testing.assert_allclose(pairs.inverse_variance(model), 1 / variance, rtol=1e-5)
    halved = pairs.noisier(0.5 * pairs.weight, model / 4, np.full(len(pairs), 4.0))
    np.testing.assert_allclose(halved, 0.5 / variance, rtol=1e-5)
    good = seen & (np.arange(SIDE) != 3)
    own, template = pairs.variances(model, good)
    np.testing.assert_allclose(own, np.where(good, variance, 0), rtol=1e-5)
    growth = 1 + light * pairs.weight
    wanted = np.where(good, pairs.template_variance * growth, 0)
    np.testing.assert_allclose(template, wanted, rtol=1e-5)
