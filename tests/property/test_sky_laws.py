"""The sky that is measured row by row of cells is, bit for bit, that of whole arrays at once."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.errors import DataError
from alignsvc.numerics.sources.meshes import (
    clipped_statistics,
    interpolated,
    median_filtered,
    mended,
)
from alignsvc.numerics.sources.skies.mesh import MeshBackground

SIDES = st.integers(1, 70)


def plain_statistics(values: np.ndarray, clip_sigma: float) -> tuple[float, float, int]:
    """Level, rms and count of a cell, as the docstring of `clipped_statistics` says it."""
    if values.size == 0:
        return math.nan, math.nan, 0
    ordered = np.sort(values, axis=None)
    n, centre = ordered.size, float(ordered[ordered.size // 2])
    deviations = ordered.astype(np.float64) - centre
    density = math.exp(-0.5 * clip_sigma**2) / math.sqrt(2.0 * math.pi)
    inside = math.erf(clip_sigma / math.sqrt(2.0))
    narrowing = math.sqrt(1.0 - 2.0 * clip_sigma * density / inside)
    lower = max(-deviations[int(0.15866 * n)], -deviations[int(0.02275 * n)] / 2.0)
    rms, median, mean, before = lower, 0.0, 0.0, (0, 0)
    for _ in range(20):
        reach = clip_sigma * max(rms, lower)
        low = int(np.searchsorted(deviations, median - reach, side="left"))
        high = int(np.searchsorted(deviations, median + reach, side="right"))
        if (low, high) == before or high <= low:
            break
        before, kept = (low, high), deviations[low:high]
        mean = float(kept.mean())
        rms = math.sqrt(max(float(kept @ kept) / kept.size - mean * mean, 0.0)) / narrowing
        median = 0.5 * (kept[(kept.size - 1) // 2] + kept[kept.size // 2])
    mode = 2.5 * median - 1.5 * mean if abs(mean - median) < 0.3 * rms else median
    return centre + mode, rms, n


def plain_differences(
    pixels: np.ndarray, good: np.ndarray, rms: float
) -> tuple[np.ndarray, np.ndarray]:
    """Second differences over two pixels of a whole chip at once, and where they tell of noise."""
    values = np.where(good, pixels, np.float32(0))
    light, sound = values, good
    for axis in (0, 1):
        values, light, sound = (np.swapaxes(one, 0, axis) for one in (values, light, sound))
        whole, total, kept = np.zeros_like(values), np.zeros_like(values), np.zeros_like(sound)
        total[2:-2] = light[4:] + light[2:-2] + light[:-4]
        whole[2:-2] = values[4:] - 2 * values[2:-2] + values[:-4]
        kept[2:-2] = sound[4:] & sound[2:-2] & sound[:-4]
        values, light, sound = (np.swapaxes(one, 0, axis) for one in (whole, total, kept))
    return values / np.float32(6), sound & (light <= 1.5 * 3 * rms)


def plain_sky(sky: MeshBackground, pixels: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """Level, noise and mesh of a sky, every step on the whole chip."""
    edges = [
        np.linspace(0, n, max(1, round(n / sky.box)) + 1).round().astype(int) for n in pixels.shape
    ]

    def cells(values: np.ndarray, good: np.ndarray) -> np.ndarray:
        rows = [
            [
                clipped_statistics(values[y0:y1, x0:x1][good[y0:y1, x0:x1]], sky.clip_sigma)
                for x0, x1 in pairwise(edges[1])
            ]
            for y0, y1 in pairwise(edges[0])
        ]
        found = [[(cell.level, cell.rms, cell.count) for cell in row] for row in rows]
        return np.moveaxis(np.array(found, np.float64), -1, 0)

    level, spread, count = cells(pixels, ~mask)
    trusted = count >= min(0.25 * pixels.size / count.size, 0.5 * count.max())
    mesh = median_filtered(mended(level, trusted), sky.filter_size)
    centres = [
        (np.arange(n) + 0.5) * (m / n) - 0.5 for n, m in zip(pixels.shape, mesh.shape, strict=True)
    ]
    surface = interpolated(mesh, centres[0], centres[1])
    residual = pixels - surface
    _, of_pixels, _ = cells(residual, ~mask)
    _, noise, told = cells(*plain_differences(residual, ~mask, float(np.median(of_pixels))))
    rms = np.where(told >= 16, np.minimum(noise, of_pixels), of_pixels)
    noisy = trusted & (spread > 0)
    overall = np.array(np.median(rms[noisy]) if noisy.any() else 0.0)
    return [surface, overall, mesh, mended(rms, trusted)]


@st.composite
def chips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and mask of a chip: noise, sources, ties, constants, holes that hold no number."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    shape = draw(SIDES), draw(SIDES)
    pixels = rng.normal(draw(st.sampled_from([0.0, 100.0])), 5.0, shape)
    pixels += draw(st.sampled_from([0.0, 500.0])) * (rng.random(shape) < 0.05)
    pixels = pixels.astype(np.float32)
    if draw(st.booleans()):
        pixels = np.round(pixels * np.float32(0.1))
    if draw(st.booleans()):
        pixels[: shape[0] // 2] = draw(st.sampled_from([0.0, 7.0]))
    mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.0, 0.02, 0.5]))
    mask[:, : draw(st.integers(0, shape[1]))] |= draw(st.booleans())
    pixels[mask] = draw(st.sampled_from([np.nan, np.inf, 0.0, 1e9]))
    return pixels, mask


@given(chips(), st.sampled_from([8, 20, 128]), st.sampled_from([2.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_row_by_row_the_sky_has_the_bits_of_whole_arrays(
    chip: tuple[np.ndarray, np.ndarray], box: int, clip_sigma: float
) -> None:
    pixels, mask = chip
    estimate = MeshBackground(box, clip_sigma)
    try:
        sky = estimate(pixels, mask)
    except DataError:
        return
    found = [sky.level, np.array(sky.rms), sky.mesh_level, sky.mesh_rms]
    for one, wanted in zip(found, plain_sky(estimate, pixels, mask), strict=True):
        assert one.tobytes() == wanted.tobytes()


@given(st.integers(0, 2**20), st.integers(1, 400), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=40, deadline=None)
def test_a_cell_has_the_numbers_of_the_plain_formulae(seed: int, n: int, dtype: type) -> None:
    rng = np.random.default_rng(seed)
    values: np.ndarray = rng.standard_t(2, n).astype(dtype)
    values[rng.random(n) < 0.3] = np.round(values[0])
    cell = clipped_statistics(values, 3.0)
    level, rms, count = plain_statistics(values, 3.0)
    assert cell.count == count
    # Sums in another order.
    np.testing.assert_allclose((cell.level, cell.rms), (level, rms), rtol=1e-9, atol=1e-9)
