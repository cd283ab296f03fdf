"""Windows of pixels: what is masked never counts."""

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.scene.window import WindowStack, cut_windows, inverse_variance


def test_a_window_is_about_the_pixel_nearest_to_its_place() -> None:
    image = np.arange(600.0).reshape(20, 30)
    stack = cut_windows(image, np.ones((20, 30)), Points(np.array([12.4]), np.array([7.6])), 5)
    assert stack.corner.tolist() == [[10, 6]]
    assert np.array_equal(stack.pixels[0], image[6:11, 10:15])


@pytest.mark.parametrize("x", [-1.0, 28.9, 1e12])
def test_outside_the_image_a_window_has_no_weight(x: float) -> None:
    weight = np.full((20, 30), 2.0)
    stack = cut_windows(np.ones((20, 30)), weight, Points(np.array([x]), np.array([10.0])), 7)
    column = stack.corner[0, 0] + np.arange(7)
    inside = (column >= 0) & (column < 30)
    assert np.array_equal(stack.weight[0] > 0, np.broadcast_to(inside, (7, 7)))


def test_variance_that_is_none_is_masked() -> None:
    variance = np.array([4.0, 0.0, -1.0, np.nan, np.inf])
    assert inverse_variance(variance).tolist() == [0.25, 0, 0, 0, 0]
    assert inverse_variance(variance, np.array([True] * 5)).tolist() == [0] * 5


def test_a_masked_pixel_may_be_nan_another_not() -> None:
    pixels, weight = np.full((1, 3, 3), np.nan), np.zeros((1, 3, 3))
    corner = np.zeros((1, 2), int)
    assert np.array_equal(WindowStack(pixels, weight, corner).pixels, np.zeros((1, 3, 3)))
    with pytest.raises(ValueError, match="not finite has a weight"):
        WindowStack(pixels, weight + 1, corner)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="weights must be finite"):
        WindowStack(np.zeros((1, 3, 3)), np.full((1, 3, 3), bad), np.zeros((1, 2), int))


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        WindowStack(np.zeros((1, 3, 3)), np.zeros((1, 3, 5)), np.zeros((1, 2), int))
    with pytest.raises(ValueError, match="corners"):
        WindowStack(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="odd side"):
        cut_windows(np.zeros((9, 9)), np.ones((9, 9)), Points(np.ones(1), np.ones(1)), 4)
