"""Interpolation: next to plain sums by numpy, between pixels, at bad ones and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.resampling.gathering import KERNELS, kernel_table
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.resampling.resamplers.interpolate import InterpolatingResampler

NY, NX = 90, 110


def kernel_at(kernel: str, distance: FloatArray) -> FloatArray:
    far = np.abs(distance)
    if kernel == "lanczos3":
        return np.where(far < 3, np.sinc(far) * np.sinc(far / 3), 0.0)
    if kernel == "bilinear":
        return np.maximum(1 - far, 0.0)
    outer = -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
    return np.where(far < 1, 1.5 * far**3 - 2.5 * far**2 + 1, np.where(far < 2, outer, 0.0))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_grid_pixel_is_the_kernels_sum_over_the_chip(kernel, small_sky, make_chip):
    pixel_map = small_sky.pixel_map(rotation_deg=30.0)
    pixels = np.random.default_rng(1).normal(size=(NY, NX)).astype(np.float32)
    found = InterpolatingResampler(kernel)(make_chip(pixels), pixel_map, small_sky.grid)
    value, hole = found.mean()
    brightness = pixels / pixel_map.areas(pixel_map.box)
    checked = 0
    for row, column in np.random.default_rng(2).integers(0, min(value.shape), (300, 2)):
        grid = Points(np.array(found.box.x0 + float(column)), np.array(found.box.y0 + float(row)))
        x, y = (float(one) for one in pixel_map.to_chip(grid))
        if not (3 < x < NX - 4 and 3 < y < NY - 4):
            continue
        kx, ky = kernel_at(kernel, np.arange(NX) - x), kernel_at(kernel, np.arange(NY) - y)
        wanted = ky @ brightness @ kx / (ky.sum() * kx.sum())
        assert not hole[row, column]
        assert value[row, column] == pytest.approx(wanted, abs=1e-4)
        checked += 1
    assert checked > 100


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_one_in_sum_and_at_a_pixel_that_pixel(kernel):
    table = kernel_table(kernel)
    np.testing.assert_allclose(table[:-1].sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(table[0, :6], [0, 0, 1, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(table[-2, :6], [0, 0, 0, 1, 0, 0], atol=1e-7)


def test_weight_ends_with_the_chips_last_pixel(small_sky, make_chip):
    pixel_map = small_sky.pixel_map(rotation_deg=0.0, offset_px=(0.3, 0.4), distortion=0.0)
    found = InterpolatingResampler()(
        make_chip(np.ones((NY, NX), np.float32)), pixel_map, small_sky.grid
    )
    y, x = np.mgrid[found.box.y0 : found.box.y1, found.box.x0 : found.box.x1].astype(float)
    chip = pixel_map.to_chip(Points(x, y))
    on_it = (chip.x >= -0.5) & (chip.x < NX - 0.5) & (chip.y >= -0.5) & (chip.y < NY - 0.5)
    np.testing.assert_array_equal(found.weight > 0, on_it)
    np.testing.assert_allclose(found.mean().value[on_it], 1.0, rtol=1e-5)


def test_a_bad_pixel_leaves_a_hole_as_wide_as_it_is_trusted_little(small_sky, make_chip):
    pixel_map = small_sky.pixel_map(rotation_deg=0.0, offset_px=(0.5, 0.5), distortion=0.0)
    weight = np.ones((NY, NX), np.float32)
    weight[40, 50] = 0.0
    chip = make_chip(np.ones((NY, NX), np.float32), weight)
    sound = InterpolatingResampler()(
        make_chip(np.ones((NY, NX), np.float32)), pixel_map, small_sky.grid
    )
    holes = {}
    for most_bad in (0.0, 0.1, 1.0):
        found = InterpolatingResampler(most_bad=most_bad)(chip, pixel_map, small_sky.grid)
        hole = (sound.weight > 0) & (found.weight == 0)
        holes[most_bad] = np.count_nonzero(hole)
        near = pixel_map.to_grid(Points(np.array(50.0), np.array(40.0)))
        assert hole[round(float(near.y)) - found.box.y0, round(float(near.x)) - found.box.x0]
        np.testing.assert_allclose(found.mean().value[found.weight > 0], 1.0, rtol=1e-5)
    assert 1 <= holes[1.0] <= 2  # only who has it for its nearest
    assert holes[1.0] < holes[0.1] < holes[0.0] <= 49


def test_the_loop_is_given_drizzled_templates():
    assert InterpolatingResampler().for_templates() == DrizzleResampler().for_templates()


def test_a_chip_without_a_good_pixel_gives_nothing(small_sky, make_chip):
    nothing = np.zeros((NY, NX), np.float32)
    found = InterpolatingResampler()(
        make_chip(nothing, nothing), small_sky.pixel_map(), small_sky.grid
    )
    assert found.is_empty
    assert not found.numerator.any()
