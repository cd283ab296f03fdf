"""Saturated pixels of exposures, on the grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.resampling.saturation import as_mask, saturated_grid_pixels


def test_a_saturated_pixel_marks_where_it_lies_on_the_grid_and_the_rim_around(
    small_sky, make_chip
) -> None:
    pixel_map = small_sky.pixel_map()
    saturated = np.zeros(pixel_map.shape, bool)
    saturated[40, 70] = True
    chip = replace(make_chip(np.zeros(pixel_map.shape, np.float32)), saturated=saturated)
    place = pixel_map.to_grid(Points(np.array([70.0]), np.array([40.0])))
    pixels = saturated_grid_pixels(chip, pixel_map)
    assert len(pixels) == 9
    assert np.abs(pixels - [place.x[0], place.y[0]]).max() <= 1.5
    mask = as_mask([pixels], small_sky.grid.box)
    assert mask.sum() == 9
    assert mask[round(place.y[0]), round(place.x[0])]


def test_a_chip_without_saturated_pixels_marks_nothing(small_sky, make_chip) -> None:
    pixel_map = small_sky.pixel_map()
    chip = make_chip(np.zeros(pixel_map.shape, np.float32))
    assert saturated_grid_pixels(chip, pixel_map).shape == (0, 2)
    assert not as_mask([], small_sky.grid.box).any()


def test_a_box_takes_its_own_pixels_of_a_list_and_no_others() -> None:
    pixels = np.array([[3, 4], [4, 4], [5, 4], [-1, 0], [4, 9]])
    mask = as_mask([pixels[:2], pixels[2:]], PixelBox(4, 3, 8, 6))
    assert np.argwhere(mask).tolist() == [[1, 0], [1, 1]]
