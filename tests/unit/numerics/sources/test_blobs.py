"""Blobs found among the pixels above a threshold are those of labelling the whole image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from alignsvc.numerics.sources.blobs import Blobs

EIGHT = np.ones((3, 3), bool)
SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))


def planes_of(image: np.ndarray) -> tuple[Blobs, np.ndarray]:
    """Blobs above a half, and a plane of their numbers from 1."""
    blobs = Blobs.above(image, 0.5)
    plane = np.zeros(image.shape, np.int64)
    plane.ravel()[blobs.at] = blobs.number + 1
    return blobs, plane


@given(arrays.arrays(np.float32, SHAPES, elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])))
@settings(max_examples=300, deadline=None)
def test_pixels_that_touch_are_one_blob(image):
    blobs, plane = planes_of(image)
    wanted, n = ndimage.label(image > 0.5, EIGHT)
    assert len(blobs) == n
    np.testing.assert_array_equal(plane, wanted)
    assert [blobs.window(k) for k in range(n)] == ndimage.find_objects(wanted)
    np.testing.assert_array_equal(blobs.area, np.bincount(wanted.ravel(), minlength=n + 1)[1:])


def test_a_spiral_is_one_blob_however_late_its_arms_meet():
    y, x = np.indices((101, 101)) - 50
    turns = np.hypot(x, y) / 8.0 - np.arctan2(y, x) / (2 * np.pi)
    image = (np.abs(turns - np.rint(turns)) < 0.2).astype(np.float32)
    blobs, plane = planes_of(image)
    np.testing.assert_array_equal(plane, ndimage.label(image > 0.5, EIGHT)[0])
    assert blobs.area.max() > 0.5 * image.sum()


@pytest.mark.parametrize("seed", range(3))
def test_a_blob_has_the_maxima_and_the_marked_pixels_that_lie_in_it(seed):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(size=(60, 70)), 1.5).astype(np.float32)
    image = np.round(image / image.std(), 1)
    blobs, plane = planes_of(image)
    where = rng.random(image.shape) < 0.02
    marked = np.isin(np.arange(1, len(blobs) + 1), plane[where])
    np.testing.assert_array_equal(blobs.touching(where), marked)
    highest = image >= ndimage.maximum_filter(image, 3)
    counts = np.bincount(plane[highest], minlength=len(blobs) + 1)[1:]
    np.testing.assert_array_equal(blobs.maxima(image), counts)


def test_a_dark_image_has_no_blobs():
    blobs, _ = planes_of(np.zeros((5, 4), np.float32))
    assert len(blobs) == 0
    assert blobs.area.shape == blobs.touching(np.ones((5, 4), bool)).shape == (0,)
