"""The noise of templates by the phases of the pixel: measured, and passed on by splines."""

import numpy as np
import pytest
from displacement_scenes import AffineMap, reference_through
from scipy import ndimage

from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.blots import blot
from alignsvc.numerics.displacement.windows.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.windows.noise import MosaicNoise
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel


def drizzled_at(phase, shape, rng):
    """White noise as one exposure at a phase (x, y) of the grid leaves it, of unit density."""
    noise = rng.normal(size=shape)
    for axis, p in ((1, phase[0]), (0, phase[1])):
        noise = (1 - p) * noise + p * np.roll(noise, 1, axis)
    return noise


def everywhere(shape, depth=1.0):
    return np.full(shape, depth), np.zeros(shape, np.int32)


def maps_at(centre, offset=(0.0, 0.0), matrix=None):
    """Return local maps of windows about whole pixels."""
    matrix = np.eye(2) if matrix is None else matrix
    return LocalMap.expand(AffineMap(matrix, offset), centre, 15.0)


@pytest.mark.parametrize("phase", [(0.0, 0.5), (0.2, 0.9), (0.04, 0.0)])
def test_neighbours_share_what_the_phase_says(phase):
    depth, rng = 9.0, np.random.default_rng(1)
    noise = drizzled_at(phase, (384, 384), rng) / np.sqrt(depth)
    weight, label = everywhere(noise.shape, depth)
    found = MosaicNoise.measured(noise, weight, label).neighbours
    wanted = [p * (1 - p) for p in phase]
    # A covariance of 0 is found 0.015 too high: none is negative, and what is assumed counts.
    np.testing.assert_allclose(found.mean(axis=(0, 1)), wanted, atol=0.02)
    np.testing.assert_allclose(found - wanted, 0.0, atol=0.04)


def test_sources_and_holes_tell_nothing_of_the_noise():
    rng = np.random.default_rng(2)
    noise = drizzled_at((0.2, 0.5), (256, 256), rng)
    weight, label = everywhere(noise.shape)
    clean = MosaicNoise.measured(noise, weight, label)
    label[:60], weight[60:90] = 7, 0.0
    noise[:90] *= 1e3
    struck = MosaicNoise.measured(noise, weight, label)
    np.testing.assert_allclose(struck.neighbours, clean.neighbours, atol=0.05)


def test_without_sky_phases_are_taken_for_random():
    weight, label = everywhere((30, 40))
    found = MosaicNoise.measured(np.zeros((30, 40)), weight, label + 1)
    np.testing.assert_allclose(found.neighbours, 1 / 6)


@pytest.mark.parametrize("phase", [0.0, 0.5])
@pytest.mark.parametrize("of_others", [0.0, 0.5])
@pytest.mark.parametrize("shift_px", [0.0, 0.5])
def test_slopes_are_as_noisy_as_the_phases_make_them(phase, of_others, shift_px):
    rng = np.random.default_rng(3)
    noise = drizzled_at((of_others, of_others), (300, 300), rng)
    measured = MosaicNoise.measured(noise, *everywhere(noise.shape))
    centre = Points(np.round(rng.uniform(40, 260, 300)), np.round(rng.uniform(40, 260, 300)))
    local = maps_at(centre, (phase, phase))
    corner = [np.rint(at).astype(int) - 16 for at in (centre.x, centre.y)]
    spline = ndimage.spline_filter(noise, order=5, output=np.float32)
    blots = blot(reference_through(spline), local, np.arange(300), Windows(*corner, 32))
    templates = TemplateSpline.through(blots.values)
    shift = Points(np.full(300, shift_px), np.full(300, -shift_px))
    sigma = np.full(300, 0.5)
    one, other = (each.shifted(shift, 20) for each in (templates, templates.smoothed(sigma)))
    factors = measured.texture(local).factors(sigma, MatchingKernel(), shift)
    slopes = [
        np.mean(a * b) for a, b in ((one.along_x, other.along_x), (one.along_y, other.along_y))
    ]
    np.testing.assert_allclose(factors.slope.mean(axis=0), slopes, rtol=0.06)
    assert np.mean(one.value * other.value) == pytest.approx(factors.value.mean(), rel=0.06)


def test_a_chip_on_its_side_has_the_noise_of_the_grids_other_axis():
    rng = np.random.default_rng(4)
    noise = drizzled_at((0.5, 0.0), (256, 256), rng)
    measured = MosaicNoise.measured(noise, *everywhere(noise.shape))
    centre = Points(np.array([100.0]), np.array([-90.0]))
    on_its_side = maps_at(centre, (0.0, 0.0), np.array([[0.0, -1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(measured.texture(on_its_side).neighbours, [[0.0, 0.25]], atol=0.015)


def test_where_scales_differ_a_template_sees_all_phases():
    measured = MosaicNoise.measured(np.zeros((64, 64)), *everywhere((64, 64)))
    centre = Points(np.array([30.0]), np.array([30.0]))
    same, finer = (maps_at(centre, matrix=np.eye(2) * scale) for scale in (1.0, 1.5))
    assert measured.texture(same).wave == pytest.approx(np.ones((1, 2)))
    assert np.abs(measured.texture(finer).wave).max() < 0.1
