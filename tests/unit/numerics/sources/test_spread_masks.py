"""Masks made wider are what general morphology makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from alignsvc.numerics.sources.spread_masks import any_about, dilated, squares_about

#: Some no longer than the reach.
SHAPES = [(1, 1), (3, 2), (40, 90), (64, 30), (200, 70), (1, 50)]


@pytest.mark.parametrize("reach", [0, 1, 2, 3, 4, 9])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("part", [0.0, 0.003, 0.2, 1.0])
def test_a_square_dilates_as_in_the_library(shape, reach, part):
    mask = np.random.default_rng(3).random(shape) < part
    kept, square = mask.copy(), np.ones((2 * reach + 1,) * 2, bool)
    np.testing.assert_array_equal(dilated(mask, reach), ndimage.binary_dilation(mask, square))
    np.testing.assert_array_equal(mask, kept)


def test_pixels_are_marked_in_whatever_order_they_come():
    rng = np.random.default_rng(6)
    mask = rng.random((40, 90)) < 0.1
    at = rng.permutation(np.flatnonzero(mask))
    np.testing.assert_array_equal(squares_about(at, 2, mask.shape), dilated(mask, 2))


def test_reaches_add_up():
    mask = np.random.default_rng(4).random((150, 60)) < 0.01
    np.testing.assert_array_equal(dilated(mask, 4), dilated(dilated(mask, 1), 3))


def test_what_has_another_order_in_memory_gives_the_same():
    mask = np.asfortranarray(np.random.default_rng(4).random((150, 60)) < 0.01)
    np.testing.assert_array_equal(dilated(mask, 2), dilated(np.ascontiguousarray(mask), 2))


@pytest.mark.parametrize("shape", SHAPES)
def test_some_pixels_have_about_them_what_the_dilated_mask_has(shape):
    rng = np.random.default_rng(5)
    mask, at = rng.random(shape) < 0.1, np.flatnonzero(rng.random(shape) < 0.5)
    np.testing.assert_array_equal(any_about(mask, at), dilated(mask, 1).ravel()[at])
