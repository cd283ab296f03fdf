"""Templates: the spline through them, the map that places them, the mosaic behind them."""

import numpy as np
import pytest
from displacement_scenes import (
    AffineMap,
    drizzled_noise,
    random_phases,
    reference_of,
    reference_through,
    segmented,
    stars,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.displacement.splines.spline import REACH, TemplateSpline
from alignsvc.numerics.displacement.windows.blots import Reference, blot
from alignsvc.numerics.displacement.windows.cutouts import pieces
from alignsvc.numerics.displacement.windows.local_map import LocalMap, Windows
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel
from alignsvc.numerics.displacement.windows.sizes import Sides, SizeClasses
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.numerics.resampling.others import GUARD_PX, Others

SIDES = Sides(24, 3)


class DistortedMap:
    """A cubic radial distortion of 2 % at the corner of a 4k chip, like a wide-field TPV."""

    def to_grid(self, chip: Points) -> Points:
        u, v = (chip.x - 2048) / 2048, (chip.y - 2048) / 2048
        stretch = 1 + 0.01 * (u**2 + v**2) + 0.003 * u - 0.002 * v
        return Points(2100 + 2048 * u * stretch, 2090 + 2048 * v * stretch)


def windows_about(centre: Points, side: int) -> Windows:
    middle = 0.5 * (side - 1)
    return Windows(
        np.rint(centre.x - middle).astype(np.int64),
        np.rint(centre.y - middle).astype(np.int64),
        side,
    )


def seen_at(local, windows):
    """Grid (y, x) of the pixels of windows, by the polynomials, shape (2, n, side, side)."""
    j, i = np.mgrid[: windows.side, : windows.side].astype(float)
    powers = np.stack([np.ones_like(i), i, j, i**2, i * j, j**2])
    return np.einsum("nap,pji->anji", local.within(windows), powers)[::-1]


@settings(max_examples=20, deadline=None)
@given(x=st.floats(-4, 4), y=st.floats(-4, 4))
def test_a_shifted_template_is_the_quintic_spline_there(x, y):
    values = np.random.default_rng(1).normal(size=(1, 40, 40)).astype(np.float32)
    surface = TemplateSpline.through(values).shifted(Points(np.array([x]), np.array([y])), 24)
    grid = np.mgrid[8:32, 8:32].astype(float)

    def exact(dx, dy):
        at = grid + np.array([dy, dx])[:, None, None]
        return ndimage.map_coordinates(values[0].astype(float), at, order=5, mode="mirror")

    step = 1e-4
    np.testing.assert_allclose(surface.value[0], exact(x, y), atol=2e-5)
    slope_x = (exact(x + step, y) - exact(x - step, y)) / (2 * step)
    slope_y = (exact(x, y + step) - exact(x, y - step)) / (2 * step)
    np.testing.assert_allclose(surface.along_x[0], slope_x, atol=5e-5)
    np.testing.assert_allclose(surface.along_y[0], slope_y, atol=5e-5)


def test_half_pixel_blots_are_shifts_by_half_a_pixel():
    values = np.random.default_rng(2).normal(size=(3, 36, 36)).astype(np.float32)
    spline = TemplateSpline.through(values)
    half = np.full(3, 0.5)
    blots = spline.half_pixel(24)
    np.testing.assert_allclose(blots[:, 0], values[:, 6:-6, 6:-6], atol=1e-5)
    np.testing.assert_allclose(
        blots[:, 1], spline.shifted(Points(half, 0 * half), 24).value, atol=1e-5
    )
    np.testing.assert_allclose(blots[:, 3], spline.shifted(Points(half, half), 24).value, atol=1e-5)


def test_a_shift_beyond_the_margin_is_refused():
    spline = TemplateSpline.through(np.zeros((1, 40, 40), np.float32))
    assert spline.largest_shift(24) == (40 - 24) // 2 - REACH + 1
    with pytest.raises(ValueError, match="wider margin"):
        spline.shifted(Points(np.array([6.5]), np.array([0.0])), 24)


def test_the_local_map_is_right_to_a_thousandth_of_a_pixel():
    """Even in the largest cutout, at the corner of a chip with a strong distortion."""
    centre = Points(np.array([60.0, 2000.3, 4040.7]), np.array([4030.2, 2100.0, 55.5]))
    side = SizeClasses().windows(5).template
    windows = windows_about(centre, side)
    local = seen_at(LocalMap.expand(DistortedMap(), centre, 0.5 * side), windows)
    step = np.arange(side)
    x = np.broadcast_to((windows.corner_x[:, None] + step)[:, None, :], local.shape[1:])
    y = np.broadcast_to((windows.corner_y[:, None] + step)[:, :, None], local.shape[1:])
    exact = DistortedMap().to_grid(Points(x.astype(float), y.astype(float)))
    assert np.abs(local[0] - exact.y).max() < 1e-3
    assert np.abs(local[1] - exact.x).max() < 1e-3


def turned(degrees, scale=1.0, mirror=1.0):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * rotation @ np.diag([mirror, 1.0])


TURNS = [turned(0), turned(0.05), turned(0.5), turned(90), turned(31, 2.0), turned(180, 0.5, -1)]


@pytest.mark.parametrize("matrix", TURNS)
def test_a_blot_is_the_quintic_spline_at_its_pixels_however_the_chip_is_turned(matrix):
    rng = np.random.default_rng(4)
    coefficients = rng.normal(size=(190, 200)).astype(np.float32)
    pixel_map = AffineMap(matrix, (90.2, 75.4))
    centre = pixel_map.to_chip(Points(np.array([120.3, 131.8]), np.array([110.9, 120.2])))
    local, windows = LocalMap.expand(pixel_map, centre, 20.0), windows_about(centre, 71)
    reference = reference_through(coefficients, corner=(30, 20))
    found = blot(reference, local, np.array([1, 2]), windows)
    at = seen_at(local.moved(30, 20), windows)
    exact = ndimage.map_coordinates(
        coefficients.astype(float), at, order=5, mode="nearest", prefilter=False
    )
    area = abs(np.linalg.det(matrix))
    np.testing.assert_allclose(found.values, area * exact * found.good, atol=2e-6 * area)


def test_a_blot_beyond_the_box_of_its_reference_is_nothing_and_at_the_edge_continues_it():
    rng = np.random.default_rng(5)
    coefficients = rng.normal(size=(50, 40)).astype(np.float32)
    centre = Points(np.array([30.2, 69.0]), np.array([21.3, 68.8]))
    pixel_map = AffineMap(turned(2))
    local = LocalMap.expand(pixel_map, pixel_map.to_chip(centre), 12.0)
    windows = windows_about(local.centre, 24)
    reference = reference_through(coefficients, corner=(30, 20))
    found = blot(reference, local, np.array([1, 2]), windows)
    at = seen_at(local.moved(30, 20), windows)
    exact = ndimage.map_coordinates(
        coefficients.astype(float), at, order=5, mode="nearest", prefilter=False
    )
    last = np.array([49, 39])[:, None, None, None]
    inside = ((np.rint(at) >= 0) & (np.rint(at) <= last)).all(axis=0)
    np.testing.assert_array_equal(found.good, inside)
    assert 0 < inside.mean() < 1
    np.testing.assert_allclose(found.values, np.where(inside, exact, 0), atol=2e-6)
    for plane in (found.values, found.variance, found.share, found.others):
        assert not plane[~inside].any()


@pytest.mark.parametrize("far", [-1e4, 300.0, 1e7])
def test_a_window_that_sees_nothing_of_its_reference_disturbs_no_other(far):
    coefficients = np.random.default_rng(8).normal(size=(60, 70)).astype(np.float32)
    reference, centre = reference_through(coefficients), np.array([30.2, far])
    together = blots_of(reference, Points(centre, centre[:1].repeat(2)), AffineMap(np.eye(2)))
    alone = blots_of(reference, Points(centre[:1], centre[:1]), AffineMap(np.eye(2)))
    assert together.values[:1].tobytes() == alone.values.tobytes()
    for plane in (together.values, together.good, together.variance, together.share):
        assert not plane[1].any()


@pytest.mark.parametrize("matrix", [turned(0), turned(0.5), turned(31, 0.7)])
def test_weight_share_and_source_are_those_of_the_nearest_pixel(matrix):
    rng = np.random.default_rng(6)
    shape = (90, 80)
    weight = np.where(rng.random(shape) < 0.1, 0, rng.uniform(1, 9, shape)).astype(np.float32)
    label = rng.integers(0, 4, shape)
    reference = reference_through(np.zeros(shape, np.float32), weight, segmented(label), (30, 20))
    pixel_map = AffineMap(matrix, (70.2, 60.4))
    centre, source = Points(np.array([0.3, 3.1]), np.array([1.2, 4.9])), np.array([1, 2])
    local, windows = LocalMap.expand(pixel_map, centre, 12.0), windows_about(centre, 24)
    found = blot(reference, local, source, windows)
    y, x = np.rint(seen_at(local.moved(30, 20), windows)).astype(int)
    area = np.abs(np.linalg.det(matrix))
    np.testing.assert_array_equal(found.good, weight[y, x] > 0)
    variance = np.divide(area**2, weight, out=np.zeros(shape), where=weight > 0)
    np.testing.assert_allclose(found.variance, variance[y, x], rtol=1e-6)
    np.testing.assert_array_equal(found.share, reference.share[y, x])
    other = (label[y, x] != 0) & (label[y, x] != source[:, None, None])
    np.testing.assert_array_equal(found.others, other)


def test_a_blot_does_not_depend_on_which_others_are_made_with_it():
    rng = np.random.default_rng(7)
    weight = rng.uniform(0, 9, (200, 210)).astype(np.float32)
    label = rng.integers(0, 9, (200, 210))
    coefficients = rng.normal(size=(200, 210)).astype(np.float32)
    reference = reference_through(coefficients, weight, segmented(label), (30, 20))
    centre = Points(rng.uniform(20, 180, 9), rng.uniform(20, 180, 9))
    together = blots_of(reference, centre, AffineMap(turned(1), (25.0, 15.0)))
    for k in range(9):
        one = Points(centre.x[k : k + 1], centre.y[k : k + 1])
        alone = blots_of(
            reference, one, AffineMap(turned(1), (25.0, 15.0)), np.array([k + 1], np.int64)
        )
        for name in ("values", "good", "variance", "share", "others"):
            assert getattr(alone, name)[0].tobytes() == getattr(together, name)[k].tobytes()


def blots_of(reference, at, pixel_map, source=None):
    windows = windows_about(at, SIDES.template)
    local = LocalMap.expand(pixel_map, at, 0.5 * SIDES.template)
    ids = np.arange(1, len(at.x) + 1) if source is None else source
    return blot(reference, local, ids, windows)


def test_a_blot_conserves_flux_whatever_the_scale_of_the_mosaic():
    grid_at = Points(np.array([80.2]), np.array([81.3]))
    reference = reference_of(stars((160, 160), grid_at, 1000.0, 5.0))
    pixel_map = AffineMap(np.array([[1.5, 0.0], [0.0, 1.4]]))
    blots = blots_of(reference, pixel_map.to_chip(grid_at), pixel_map)
    assert blots.values.sum() == pytest.approx(1000, rel=2e-3)
    assert blots.variance.mean() == pytest.approx((1.5 * 1.4) ** 2 / 8, rel=1e-5)


def test_holes_and_their_neighbours_are_masked_and_so_is_the_world_beyond_the_box():
    weight = np.full((90, 90), 8.0)
    weight[40, 44] = 0
    reference = reference_of(np.zeros((90, 90)), weight)
    at = Points(np.array([44.0, 84.0]), np.array([40.0, 40.0]))
    blots = blots_of(reference, at, AffineMap(np.eye(2)))
    middle = SIDES.margin + 11
    hole = ~blots.good[0, middle - 6 : middle + 8, middle - 6 : middle + 8]
    assert hole.sum() == (2 * GUARD_PX + 1) ** 2
    assert not blots.good[1, :, -1].any()
    assert (blots.values[~blots.good] == 0).all()


def test_share_is_the_exposures_part_of_the_whole_mosaic():
    reference = reference_of(np.zeros((90, 90)), depth=3.0, own=1.0)
    blots = blots_of(reference, Points(np.array([45.0]), np.array([45.0])), AffineMap(np.eye(2)))
    np.testing.assert_allclose(blots.share, 0.25)


@pytest.mark.parametrize("shape", [(90, 70), (3, 50_000), (1, 1)])
@pytest.mark.parametrize("part_hole", [0.0, 0.01, 1.0])
def test_weight_and_share_are_those_of_whole_planes_bit_for_bit(shape, part_hole):
    rng, box = np.random.default_rng(2), PixelBox(5, 7, 5 + shape[1], 7 + shape[0])
    weight = np.where(rng.random(shape) < part_hole, 0, rng.uniform(1, 9, shape)).astype(np.float32)
    own = np.where(rng.random(shape) < 0.1, 0, rng.uniform(1, 9, shape)).astype(np.float32)
    of_own, of_others = (Contribution(box, np.zeros_like(one), one) for one in (own, weight))
    reference = Reference.build(Others.of([merge([of_own, of_others], box)], [of_own], box))
    whole, share = weight + own, np.zeros(shape, np.float32)
    np.divide(own, whole, out=share, where=whole > 0)
    near = ndimage.maximum_filter(~(weight > 0), size=2 * GUARD_PX + 1, mode="nearest")
    guarded = np.where(near, np.float32(0), weight)
    assert reference.share.tobytes() == share.tobytes()
    assert reference.weight.tobytes() == guarded.tobytes()


@pytest.mark.parametrize("own_box", [PixelBox(0, 0, 9, 9), PixelBox(0, 0, 200, 50)])
def test_the_spline_goes_through_the_mean_of_the_others_and_through_0_in_holes(own_box):
    rng, box = np.random.default_rng(5), PixelBox(5, 7, 75, 97)
    weight = np.where(rng.random(box.shape) < 0.1, 0, rng.uniform(1, 9, box.shape))
    others = Contribution(box, weight * rng.normal(size=box.shape), weight)
    own = Contribution(own_box, *rng.uniform(1, 9, (2, *own_box.shape)).astype(np.float32))
    wanted = ndimage.spline_filter(others.mean().value, order=5)
    found = Reference.build(Others.of([merge([others, own], box)], [own.cut(box)], box))
    atol = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(found.coefficients, wanted, rtol=0, atol=atol)


def test_pixels_of_other_sources_are_named_and_own_ones_are_not():
    segmentation = np.zeros((90, 90), np.int64)
    segmentation[40:44, 40:44], segmentation[47:50, 47:50] = 7, 8
    reference = reference_of(np.zeros((90, 90)), segmentation=segmented(segmentation))
    at = Points(np.array([44.0]), np.array([44.0]))
    blots = blots_of(reference, at, AffineMap(np.eye(2)), np.array([7]))
    assert blots.others.sum() == 9


@pytest.mark.parametrize("smoothing_px", [0.0, 0.8])
def test_the_noise_of_a_blot_is_what_the_factors_say(smoothing_px):
    rng = np.random.default_rng(3)
    noise = ndimage.spline_filter(drizzled_noise((300, 300), rng), order=5, output=np.float32)
    centre = Points(rng.uniform(40, 260, 300), rng.uniform(40, 260, 300))
    local = LocalMap.expand(AffineMap(np.eye(2), (0.0, 0.0)), centre, 15.0)
    moved = LocalMap(local.centre, local.reach_px, local.terms)
    # Whole-pixel windows at whole-pixel maps interpolate nothing: move each to its own phase.
    moved.terms[:, :, 0] += rng.uniform(-0.5, 0.5, (300, 2))
    windows = windows_about(centre, 32)
    values = blot(reference_through(noise), moved, np.arange(300), windows).values
    spline = TemplateSpline.through(values)
    smoothed = spline.smoothed(np.full(300, smoothing_px))
    shift = Points(rng.uniform(-0.5, 0.5, 300), rng.uniform(-0.5, 0.5, 300))
    one, other = spline.shifted(shift, 20), smoothed.shifted(shift, 20)
    texture = random_phases(300)
    factors = texture.factors(np.full(300, smoothing_px), MatchingKernel(), shift)
    assert np.mean(one.value * other.value) == pytest.approx(factors.value.mean(), rel=0.05)
    slope = 0.5 * np.mean(one.along_x * other.along_x + one.along_y * other.along_y)
    assert slope == pytest.approx(factors.slope.mean(), rel=0.05)


def test_a_source_gets_the_smallest_cutout_that_holds_it():
    classes = SizeClasses(sides=(16, 32, 64))
    chosen = classes.of(np.array([2.0, 4.0, 4.0, 30.0]), np.array([3.0, 5.0, 20.0, 9.0]))
    assert chosen.tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("side", [24, 31])
@pytest.mark.parametrize("radius_px", [0.5, 4.0, 7.3, 40.0])
def test_what_is_compared_holds_the_apertures_and_never_more_than_the_cutout(side, radius_px):
    box = Sides(side, 3).holding(radius_px).box
    assert (side - box) % 2 == 0
    # The middle of an aperture is within half a pixel of the box's.
    assert box == side or 0.5 * (box - 1) >= radius_px + 0.5 - 1e-9


def test_pieces_beyond_a_plane_continue_its_outermost_values():
    plane = np.arange(30.0, dtype=np.float32).reshape(5, 6)
    row, column = np.array([1, -2, 3]), np.array([2, 4, -1])
    found = pieces(plane, row, column, 3)
    step = np.arange(3)
    for piece, y, x in zip(found, row, column, strict=True):
        wanted = plane[np.clip(y + step, 0, 4)][:, np.clip(x + step, 0, 5)]
        np.testing.assert_array_equal(piece, wanted)
