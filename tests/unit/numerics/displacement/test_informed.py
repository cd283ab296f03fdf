"""What estimates are worth, against surfaces, plain products and numpy's linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.arrays import contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.fitting.informed import Informed, PixelNoise, informed
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.splines.surface_sums import Boxes

SIDE, MARGIN, N = 11, 5, 4
ACROSS = SIDE + 2 * MARGIN


class Sources:
    """Templates with instruments nearly the same, pixels that are twice as bright, and noise."""

    def __init__(self, seed: int, has_gain: bool) -> None:
        rng = np.random.default_rng(seed)
        template = rng.normal(size=(N, ACROSS, ACROSS)).astype(np.float32)
        other = template + 0.1 * rng.normal(size=template.shape).astype(np.float32)
        self.template, self.instrument = TemplateSpline(template), TemplateSpline(other)
        self.shift = Points(*rng.uniform(-2.5, 2.5, (2, N)))
        self.weight, self.sky, self.variance, self.share = (
            contiguous(rng.uniform(0.5, 1, (N, SIDE, SIDE)).astype(np.float32)) for _ in range(4)
        )
        light = 2 * self.template.values(self.shift, SIDE)
        self.pixels = contiguous(light + rng.normal(0, 0.1, light.shape).astype(np.float32))
        self.per_gain = np.float32(0.5 if has_gain else 0)
        self.expected = np.zeros((N, 4))
        self.expected[:, :3] = rng.uniform(0, 1, (N, 3))

    def informed(self, *, frees_background: bool = True) -> Informed:
        noise = PixelNoise(self.sky, self.variance, self.share, self.per_gain)
        return informed(
            np.stack([self.shift.x, self.shift.y], axis=1),
            (self.instrument.rows, self.template.rows),
            (Boxes.of(self.pixels, self.weight), noise),
            self.expected,
            frees_background,
        )

    def equations(self) -> tuple[np.ndarray, np.ndarray]:
        own = self.instrument.shifted(self.shift, SIDE).planes.astype(float)
        theirs = self.template.shifted(self.shift, SIDE).planes.astype(float)
        columns = np.concatenate([theirs, self.pixels[:, None]], axis=1)
        sums = np.einsum("niyx,nyx,njyx->nij", own, self.weight.astype(float), columns)
        return sums[:, :, :4] - self.expected[:, :, None] * np.eye(4), sums[:, :, 4]


@given(seed=st.integers(0, 99), has_gain=st.booleans())
@settings(max_examples=20, deadline=None)
def test_sums_of_noise_follow_each_pixels_error_to_the_estimate(seed: int, has_gain: bool) -> None:
    some = Sources(seed, has_gain)
    matrix, data = some.equations()
    found = some.informed()

    inverse = np.linalg.inv(matrix)
    flux = (inverse @ data[:, :, None])[:, 2, 0]
    np.testing.assert_allclose(found.flux, flux, rtol=1e-3)
    own = some.instrument.shifted(some.shift, SIDE)
    model = flux[:, None, None] * some.template.shifted(some.shift, SIDE).value
    growth = 1 + np.maximum(model, 0) * some.sky * some.per_gain
    moved = np.einsum("nak,nkyx,nyx->nayx", inverse[:, :2], own.planes, some.weight)
    for first, errors in ((0, growth / some.sky), (3, some.variance * growth)):
        wanted = np.einsum("nayx,nbyx,nyx->nab", moved, moved, errors)
        upper = np.stack([wanted[:, 0, 0], wanted[:, 0, 1], wanted[:, 1, 1]], axis=1)
        atol = 1e-3 * upper.max()
        np.testing.assert_allclose(found.sums[:, first : first + 3], upper, rtol=2e-3, atol=atol)
    power = some.weight * (own.along_x**2 + own.along_y**2)
    np.testing.assert_allclose(found.sums[:, 6], power.sum(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.sums[:, 7], (power * some.share).sum(axis=(1, 2)), rtol=1e-4)


def test_a_known_background_is_no_unknown() -> None:
    some = Sources(5, has_gain=False)
    matrix, data = some.equations()
    wanted = np.linalg.solve(matrix[:, :3, :3], data[:, :3, None])[:, 2, 0]
    np.testing.assert_allclose(some.informed(frees_background=False).flux, wanted, rtol=1e-3)


def test_doubt_grows_with_the_noise_of_the_axis_that_knows_less() -> None:
    some = Sources(6, has_gain=False)
    some.expected[:] = 0
    assert some.informed().doubt == pytest.approx(np.ones(N))
    matrix, _ = some.equations()
    some.expected[:, 1] = 0.5 * matrix[:, 1, 1]  # as much noise as signal
    relative2 = 0.2**2
    assert some.informed().doubt == pytest.approx(np.full(N, 1 + relative2 + relative2**2))


def test_what_is_no_source_is_worth_nothing() -> None:
    some = Sources(7, has_gain=True)
    some.pixels = contiguous(np.where(np.arange(N)[:, None, None] == 1, -1, 1) * some.pixels)
    matrix, _ = some.equations()
    some.expected[2, 0] = 40 * matrix[2, 0, 0]  # all of its slopes are noise
    found = some.informed()
    assert found.informative.tolist() == [True, False, False, True]
    assert found.flux[1] < 0
    assert np.isnan(found.flux[2])
    assert np.isnan(found.sums[[1, 2], :6]).all()
    assert (found.sums[:, 6:] > 0).all()
