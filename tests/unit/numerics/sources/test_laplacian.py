"""Edges sought at some pixels are those of the whole image there, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.laplacian import LaplacianRejection

SQUARE = np.ones((3, 3), bool)


def everywhere(chip: CalibratedChip, sigma: tuple[float, float], contrast: float) -> BoolArray:
    """Return rays by planes of the whole chip: van Dokkum's steps as they are written."""
    pixels = np.where(chip.mask, np.float32(0), chip.pixels)
    padded = np.pad(pixels, 1, mode="edge")
    left, right = pixels - padded[1:-1, :-2], pixels - padded[1:-1, 2:]
    below, above = pixels - padded[:-2, 1:-1], pixels - padded[2:, 1:-1]
    edges = np.zeros(pixels.shape, np.float32)
    for beside in (left, right):
        for over in (below, above):
            edges += np.maximum(beside + over, 0)
    edges *= np.float32(0.25)
    small = ndimage.median_filter(np.pad(pixels, 4, mode="edge"), 3)[1:-1, 1:-1]
    fine = ndimage.median_filter(small, 7)[3:-3, 3:-3] * np.float32(-1) + small[3:-3, 3:-3]
    local = ndimage.median_filter(pixels, 5, mode="nearest")
    with np.errstate(divide="ignore"):
        variance = np.float32(1) / chip.weight
    if chip.gain is not None:
        variance = variance + np.maximum(local, 0) / chip.gain
    significance = 0.5 * edges * np.sqrt(chip.weight)

    def sharp(where: BoolArray, least: float) -> BoolArray:
        steep = 0.5 * edges > least * np.sqrt(variance)
        return where & (significance > least) & steep & (edges > contrast * fine)

    found = sharp(np.ones(chip.shape, bool), sigma[0])
    near = ndimage.binary_dilation(found, SQUARE) & ~found
    return found | sharp(near, sigma[1])


def rays_in_noise(shape: tuple[int, int], gain: float | None) -> CalibratedChip:
    """Noise, stars of one pixel and tracks, to the very edges; masked pixels hold anything."""
    rng = np.random.default_rng(8)
    light = rng.normal(size=shape)
    light[rng.random(shape) < 0.03] += 30.0
    light[:, shape[1] // 2] += 8.0
    mask = rng.random(shape) < 0.05
    pixels = np.where(mask & (rng.random(shape) < 0.5), np.nan, light).astype(np.float32)
    weight = np.where(mask, 0, rng.uniform(0.5, 2.0, shape)).astype(np.float32)
    return CalibratedChip("HDU 0", pixels, weight, mask, np.zeros(shape, bool), gain)


@pytest.mark.parametrize("gain", [None, 2.0])
@pytest.mark.parametrize("shape", [(60, 50), (3, 40), (40, 2), (1, 1)])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 1.0])
def test_some_pixels_have_the_rays_of_all(shape, part, gain):
    chip = rays_in_noise(shape, gain)
    where = np.flatnonzero(np.random.default_rng(9).random(shape) < part)
    for sigma in ((4.5, 2.0), (3.0, 3.0)):
        wanted = everywhere(chip, sigma, 3.0)
        assert shape != (60, 50) or 10 < wanted.sum() < 2000
        found = LaplacianRejection(sigma)(chip, where)
        np.testing.assert_array_equal(found, wanted.ravel()[where])


@pytest.mark.parametrize("clipped", [0.0, 1000.0])
def test_the_rim_of_a_saturated_core_is_no_edge(clipped: float) -> None:
    y, x = np.indices((40, 40))
    light = 3000.0 * np.exp(-0.5 * ((x - 20.3) ** 2 + (y - 19.8) ** 2) / 1.5**2)
    light += np.random.default_rng(3).normal(size=light.shape)
    full = light > 1000.0
    pixels = np.where(full, clipped, light).astype(np.float32)
    weight = np.where(full, 0.0, 1.0).astype(np.float32)
    chip = CalibratedChip("HDU 0", pixels, weight, full, full, None)
    assert not LaplacianRejection()(chip, np.arange(light.size)).any()
