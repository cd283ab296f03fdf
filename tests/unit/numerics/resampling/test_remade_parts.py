"""Where few pixels of a chip changed, what they touch is made again, and it is the whole's bits."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS, Sip
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import PixelBox, Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge_chips, replaced
from alignsvc.numerics.resampling.resamplers import RESAMPLERS, RemakesParts
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler
from alignsvc.numerics.resampling.windows import ChipWindows, boxes_around
from alignsvc.numerics.sky.pixel_map import PixelMap, build_pixel_map

SHAPE = NY, NX = 230, 260
GRID = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.2, 150.0, 140.0, (290, 280), (64, 64))


@st.composite
def maps(draw: st.DrawFn) -> PixelMap:
    """A chip with SIP on the grid, turned, scaled, and perhaps half beyond it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    wcs.wcs.crval = [GRID.plane.ra_deg, GRID.plane.dec_deg]
    wcs.wcs.crpix = [NX / 2 + draw(st.floats(-60, 60)), NY / 2 + draw(st.floats(-60, 60))]
    angle = np.radians(draw(st.sampled_from([0.0, 1.0, 20.0, 90.0, 183.0])))
    cos, sin = np.cos(angle), np.sin(angle)
    scale = draw(st.sampled_from([0.2, 0.2, 0.13, 0.31]))
    wcs.wcs.cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[1, 1] = (draw(st.sampled_from([0.0, 3e-5])) * sign for sign in (1, -1))
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return build_pixel_map(CelestialWcs(wcs, SHAPE), GRID)


@st.composite
def chips(draw: st.DrawFn) -> tuple[CalibratedChip, CalibratedChip, Points]:
    """A chip, the same with other pixels bad or filled, and which these are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    pixels = rng.normal(0, 5, SHAPE).astype(np.float32)
    weight = rng.uniform(0.5, 2, SHAPE).astype(np.float32)
    mask = rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.01]))
    pixels[mask], weight[mask] = 0, 0
    none = np.zeros(SHAPE, bool)
    chip = CalibratedChip("", pixels.copy(), weight.copy(), mask.copy(), none)
    spot = st.tuples(st.integers(0, NY - 1), st.integers(0, NX - 1), st.booleans())
    for y, x, is_filled in draw(st.lists(spot, max_size=4)):
        part = np.s_[y : y + 2, x : x + 3]
        mask[part] = not is_filled
        pixels[part], weight[part] = (100, 1) if is_filled else (0, 0)
    other = CalibratedChip("", pixels, weight, mask, none)
    y, x = np.nonzero((chip.pixels != pixels) | (chip.weight != weight))
    return chip, other, Points(x.astype(float), y.astype(float))


def same_bits(one: Contribution, other: Contribution) -> bool:
    planes = ((one.numerator, other.numerator), (one.weight, other.weight))
    return one.box == other.box and all(a.tobytes() == b.tobytes() for a, b in planes)


@given(maps(), chips(), st.booleans(), st.sampled_from([0.3, 1.0]))
@settings(max_examples=60, deadline=None)
def test_a_whole_with_its_touched_parts_made_again_is_that_of_the_changed_chip(
    pixel_map: PixelMap,
    both: tuple[CalibratedChip, CalibratedChip, Points],
    is_template: bool,
    pixfrac: float,
) -> None:
    before, after, changed = both
    resampler = DrizzleResampler(pixfrac=pixfrac)
    if is_template:
        resampler = resampler.for_templates()
    boxes = resampler.touched(pixel_map, changed)
    assert boxes is not None
    parts = resampler.within(after, pixel_map, GRID, boxes)
    whole = resampler(after, pixel_map, GRID)
    assert same_bits(replaced(resampler(before, pixel_map, GRID), parts), whole)


@given(maps(), chips())
@settings(max_examples=10, deadline=None)
def test_of_several_chips_the_parts_sum_as_the_wholes_do(
    pixel_map: PixelMap, both: tuple[CalibratedChip, CalibratedChip, Points]
) -> None:
    before, after, changed = both
    resampler = DrizzleResampler().for_templates()
    base = merge_chips(resampler(chip, pixel_map, GRID) for chip in (before, before))
    boxes = resampler.touched(pixel_map, changed)
    assert boxes is not None
    of_chips = [resampler.within(chip, pixel_map, GRID, boxes) for chip in (before, after)]
    parts = [merge_chips(some) for some in zip(*of_chips, strict=True)]
    whole = merge_chips(resampler(chip, pixel_map, GRID) for chip in (before, after))
    assert same_bits(replaced(base, parts), whole)


def plain_map() -> PixelMap:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [130.0, 115.0]
    wcs.wcs.cd = 0.2 / 3600 * np.array([[-1.0, 0.0], [0.0, 1.0]])
    return build_pixel_map(CelestialWcs(wcs, SHAPE), GRID)


def test_one_pixel_touches_a_small_part_of_the_grid() -> None:
    """Or nothing would be gained."""
    changed = Points(np.array([40.0, 43.0]), np.array([50.0, 52.0]))
    boxes = DrizzleResampler().for_templates().touched(plain_map(), changed)
    assert boxes is not None
    assert 0 < sum(np.prod(box.shape) for box in boxes) <= 64 * 64


def test_nothing_changed_touches_nothing_and_nowhere_is_nothing() -> None:
    resampler, none = DrizzleResampler(), np.zeros(0)
    assert resampler.touched(plain_map(), Points(none, none)) == []
    ones = np.ones(SHAPE, np.float32)
    chip = CalibratedChip("", ones, ones, ones == 0, ones == 0)
    (part,) = resampler.within(chip, plain_map(), GRID, [PixelBox(-500, -500, -400, -400)])
    assert part.is_empty
    whole = resampler(chip, plain_map(), GRID)
    assert same_bits(replaced(whole, [part]), whole)


@pytest.mark.parametrize("name", RESAMPLERS.names())
@pytest.mark.parametrize("kernel", ["turbo", "square"])
def test_a_resampler_says_whether_it_can_make_parts(name: str, kernel: str) -> None:
    is_drizzle = name == "drizzle"
    resampler = RESAMPLERS.build(name, {"kernel": kernel} if is_drizzle else {})
    can = isinstance(resampler, RemakesParts)
    assert can == is_drizzle
    if can:
        one = Points(np.array([40.0]), np.array([50.0]))
        assert (resampler.touched(plain_map(), one) is not None) == (kernel == "turbo")


@given(maps(), st.integers(-20, 280), st.integers(-20, 280), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_window_holds_all_pixels_that_reach_a_box(
    pixel_map: PixelMap, x0: int, y0: int, reach: int
) -> None:
    box = PixelBox(x0, y0, x0 + 7, y0 + 9)
    window = ChipWindows.of(pixel_map, reach).feeding(box)
    y, x = np.mgrid[:NY, :NX].astype(float)
    place = pixel_map.to_grid(Points(x, y))
    near_x = (place.x > box.x0 - reach) & (place.x < box.x1 - 1 + reach)
    near = near_x & (place.y > box.y0 - reach) & (place.y < box.y1 - 1 + reach)
    near[window.slices_in(PixelBox(0, 0, NX, NY))] = False
    assert not near.any()


@given(maps(), st.integers(0, NX - 1), st.integers(0, NY - 1), st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_boxes_hold_all_that_a_pixel_and_those_around_it_reach(
    pixel_map: PixelMap, x: int, y: int, spread: int
) -> None:
    reach = 2
    boxes = boxes_around(
        pixel_map, Points(np.array([float(x)]), np.array([float(y)])), spread, reach
    )
    sides = np.arange(-spread, spread + 1.0)
    place = pixel_map.to_grid(Points(x + sides[None, :], y + sides[:, None]))
    (box,) = boxes
    assert box.x0 <= place.x.min() - reach
    assert place.x.max() + reach <= box.x1 - 1
    assert box.y0 <= place.y.min() - reach
    assert place.y.max() + reach <= box.y1 - 1
