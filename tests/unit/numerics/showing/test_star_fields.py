"""Where a mosaic is worth a closer look."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.showing.star_fields import StarFieldSearch


def tile(stars: list[tuple[int, int]], hole: PixelBox | None = None) -> Contribution:
    """Return a tile that begins at (1000, 500), with stars at x, y of it."""
    random = np.random.default_rng(2)
    value = random.normal(0.0, 1.0, (96, 128))
    for x, y in stars:
        value[y, x] = 200.0
    weight = np.ones(value.shape)
    if hole is not None:
        weight[hole.y0 : hole.y1, hole.x0 : hole.x1] = 0.0
    return Contribution(PixelBox(1000, 500, 1128, 596), value * weight, weight)


def test_the_square_with_most_stars_is_found() -> None:
    found = StarFieldSearch(32)(tile([(5, 5), (70, 40), (75, 44), (80, 41)]))
    assert found.box.shape == (32, 32)
    assert found.box.x0 <= 1070 and found.box.x1 > 1080
    assert found.box.y0 <= 540 and found.box.y1 > 544
    assert found.worth > StarFieldSearch(32)(tile([(70, 40)])).worth > 0


def test_noise_in_the_halo_of_a_bright_star_is_no_star() -> None:
    one = tile([(100, 80), (110, 85)])
    y, x = np.mgrid[:96, :128]
    halo = 1e4 * np.exp(-0.5 * ((x - 30) ** 2 + (y - 30) ** 2) / 8.0**2)
    noisy = one.numerator + halo + np.sqrt(halo) * np.random.default_rng(3).normal(size=halo.shape)
    found = StarFieldSearch(32)(Contribution(one.box, noisy, one.weight))
    assert found.box.x0 > 1064


def test_a_field_that_is_half_covered_is_worth_less() -> None:
    stars = [(10, 10), (20, 20), (100, 80)]
    found = StarFieldSearch(32)(tile(stars, PixelBox(0, 0, 40, 9)))
    half = StarFieldSearch(32)(tile(stars[:2], PixelBox(0, 0, 40, 9)))
    assert half.worth < StarFieldSearch(32)(tile(stars[:2])).worth
    assert found.box.y0 < 540


def test_a_tile_without_stars_or_pixels_has_a_square_that_is_worth_nothing() -> None:
    for one in (tile([]), Contribution.empty(PixelBox(0, 0, 20, 10))):
        found = StarFieldSearch(32)(one)
        assert found.worth == 0.0
        assert not found.box.intersect(one.box).is_empty
