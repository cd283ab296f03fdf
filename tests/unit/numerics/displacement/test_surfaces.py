"""Sums over spline surfaces, against surfaces made by scipy and plain products."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RectBivariateSpline

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.splines.surface_sums import (
    Boxes,
    boxes_laid_out,
    sums_at,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import own_bands

SIDE, MARGIN = 11, 5
ACROSS = SIDE + 2 * MARGIN


def _splines(rng: np.random.Generator, n: int) -> TemplateSpline:
    return TemplateSpline(rng.normal(size=(n, ACROSS, ACROSS)).astype(np.float32))


def _shift(rng: np.random.Generator, n: int) -> Points:
    return Points(*rng.uniform(-2.5, 2.5, (2, n)))


def _weight(rng: np.random.Generator, n: int) -> np.ndarray:
    """Weights that leave out rows and columns, and of the last box all."""
    weight = rng.uniform(0.5, 2, (n, SIDE, SIDE)).astype(np.float32)
    for i, (top, left) in enumerate(rng.integers(0, 4, (n, 2))):
        weight[i, :top] = weight[i, :, :left] = weight[i, SIDE - left :] = 0
    weight[-1] = 0
    return weight


def test_surfaces_are_those_of_a_spline_and_its_slopes() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2, ACROSS, ACROSS)).astype(np.float32)
    shift = _shift(rng, 2)
    found = TemplateSpline.through(values).shifted(shift, SIDE)
    pixel, step = np.arange(ACROSS), np.arange(MARGIN, MARGIN + SIDE)
    for i in range(2):
        # Knots that differ at the ends hardly matter in the middle.
        wide = np.pad(values[i], 12, mode="reflect").astype(float)
        axis = np.arange(-12, len(pixel) + 12)
        oracle = RectBivariateSpline(axis, axis, wide, kx=5, ky=5)
        at = step + shift.y[i], step + shift.x[i]
        np.testing.assert_allclose(found.value[i], oracle(*at), atol=1e-3)
        np.testing.assert_allclose(found.along_x[i], oracle(*at, dy=1), atol=1e-3)
        np.testing.assert_allclose(found.along_y[i], oracle(*at, dx=1), atol=1e-3)


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_sums_of_a_trial_are_products_of_the_surfaces(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instrument, template, shift = _splines(rng, 5), _splines(rng, 5), _shift(rng, 5)
    weight = _weight(rng, 5)
    pixels = rng.normal(size=weight.shape).astype(np.float32)

    first, along = own_bands(template.bands(shift, SIDE))
    boxes, work = Boxes.of(pixels, weight), workspace(SIDE)
    found = np.zeros((5, 4, 5), np.float32)
    for i, splines in enumerate(zip(instrument.coefficients, template.coefficients, strict=True)):
        box = boxes.extent[i], boxes_laid_out((*boxes,), i, work[1])
        sums_at((first[i], along[i]), splines, box, work, found[i])

    own = instrument.shifted(shift, SIDE).planes.astype(float)
    theirs = template.shifted(shift, SIDE).planes.astype(float)
    columns = np.concatenate([theirs, pixels[:, None]], axis=1)
    wanted = np.einsum("niyx,nyx,njyx->nij", own, weight.astype(float), columns)
    np.testing.assert_allclose(found, wanted, atol=2e-3)
