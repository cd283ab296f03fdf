"""Drops in runs and one by one: the bits of adding each in turn."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.numerics.resampling.drops import drop

SHAPE = (3, 300)
F = np.float32


def one_by_one(
    planes: tuple[Float32Array, Float32Array], positions: FloatArray, side: float
) -> tuple[Float32Array, Float32Array]:
    """Sums over 40 x 340 pixels from (5, 3) on, of drops that are cut at every pixel's edge."""
    numerator, total = np.zeros((40, 340), F), np.zeros((40, 340), F)
    values, weights = planes
    for r, c in np.ndindex(values.shape):
        x, y = positions[:, r, c] + (0.5 + 0.5 * side)
        weight = weights[r, c] * F(1.0 / side**2)
        for j, high in parts_of(y, side):
            for i, wide in parts_of(x, side):
                if weight > 0 and 0 <= j - 3 < 40 and 0 <= i - 5 < 340:
                    share = wide * (high * weight)
                    total[j - 3, i - 5] += share
                    numerator[j - 3, i - 5] += share * values[r, c]
    return numerator, total


def parts_of(end: float, side: float) -> list[tuple[int, np.float32]]:
    """Pixels that a drop covers along an axis, and how much of each, the last one first."""
    at, rest = int(np.floor(end)), F(side)
    part, found = min(F(end - np.floor(end)), rest), []
    while rest > 0:
        found.append((at, part))
        rest -= part
        at, part = at - 1, min(F(1), rest)
    return found


@pytest.mark.parametrize("angle", [0.0, 0.001, 0.02, 0.4, np.pi])
@pytest.mark.parametrize(("scale", "side"), [(1.0, 1.0), (1.003, 1.003), (0.98, 0.98), (0.5, 0.3)])
def test_in_whatever_runs_they_come_each_pixel_gets_the_same_terms_in_order(angle, scale, side):
    rng = np.random.default_rng(4)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    # They begin beyond the left edge of the sums, or end beyond it.
    at_x, at_y = (2.7, 8.3) if cos > 0 else (290.7, 15.3)
    positions = np.stack([cos * x - sin * y + at_x, sin * x + cos * y + at_y])
    values = rng.normal(size=SHAPE).astype(F)
    weights = rng.uniform(1.0, 2.0, SHAPE).astype(F)
    is_bad = rng.random(SHAPE) < 0.01
    values[is_bad], weights[is_bad] = 0.0, 0.0
    found = np.zeros((40, 340), F), np.zeros((40, 340), F)
    drop((values, weights), positions, (side, 5, 3), found)
    wanted = one_by_one((values, weights), positions, side)
    assert wanted[1].any()
    for one, other in zip(found, wanted, strict=True):
        # A part of a drop is multiplied by its weight before, or after.
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1.003, 0.998])
def test_runs_have_the_bits_of_their_drops_alone(scale):
    rng = np.random.default_rng(4)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    positions = np.stack([scale * x + 7.7, 0.01 * x + scale * y + 8.3])
    planes = tuple(rng.uniform(1.0, 2.0, SHAPE).astype(F) for _ in range(2))
    whole, alone = ([np.zeros((40, 340), F) for _ in range(2)] for _ in range(2))
    drop((planes[0], planes[1]), positions, (scale, 5, 3), (whole[0], whole[1]))
    for r, c in np.ndindex(SHAPE):
        values, weights = (np.ascontiguousarray(plane[r : r + 1, c : c + 1]) for plane in planes)
        place = np.ascontiguousarray(positions[:, r : r + 1, c : c + 1])
        drop((values, weights), place, (scale, 5, 3), (alone[0], alone[1]))
    for one, other in zip(whole, alone, strict=True):
        assert one.tobytes() == other.tobytes()
