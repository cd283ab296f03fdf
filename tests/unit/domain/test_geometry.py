"""Boxes and tangent planes."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import (
    PixelBox,
    Points,
    SkyPoints,
    TangentPlane,
    from_unit_vectors,
    middle_of,
    unit_vectors,
)

declinations = st.floats(-90, 90)
right_ascensions = st.floats(0, 360, exclude_max=True)
offsets = st.floats(-3600, 3600)


@settings(deadline=None, max_examples=60)
@given(right_ascensions, declinations, offsets, offsets)
def test_the_plane_and_the_sky_are_inverse_everywhere(
    ra: float, dec: float, x: float, y: float
) -> None:
    plane = TangentPlane(ra, dec)
    back = plane.from_sky(plane.to_sky(Points(np.array([x]), np.array([y]))))
    np.testing.assert_allclose([back.x[0], back.y[0]], [x, y], atol=1e-7)


def test_the_plane_agrees_with_astropy_offsets() -> None:
    plane = TangentPlane(10.0, 40.0)
    centre = SkyCoord(10.0 * units.deg, 40.0 * units.deg)
    star = SkyCoord(10.3 * units.deg, 40.2 * units.deg)
    found = plane.from_sky(SkyPoints(np.array(10.3), np.array(40.2)))
    distance = np.tan(centre.separation(star).rad) * np.degrees(1) * 3600
    angle = centre.position_angle(star).rad
    assert found.x == pytest.approx(distance * np.sin(angle), abs=1e-8)
    assert found.y == pytest.approx(distance * np.cos(angle), abs=1e-8)


def test_the_far_side_of_the_sky_has_no_place_in_the_plane() -> None:
    found = TangentPlane(0.0, 0.0).from_sky(SkyPoints(np.array([180.0, 90.0]), np.zeros(2)))
    assert np.isnan(found.x).all()


def test_the_middle_of_points_across_ra_zero_is_near_zero() -> None:
    middle = middle_of(SkyPoints(np.array([359.5, 0.5]), np.zeros(2)))
    assert min(middle.ra, 360 - middle.ra) == pytest.approx(0, abs=1e-9)


def test_unit_vectors_come_back() -> None:
    sky = SkyPoints(np.array([0.0, 123.4, 359.9]), np.array([-90.0, 12.3, 89.9]))
    back = from_unit_vectors(unit_vectors(sky))
    np.testing.assert_allclose(back.dec, sky.dec, atol=1e-9)
    np.testing.assert_allclose(back.ra[1:], sky.ra[1:], atol=1e-9)


def test_a_box_around_points_holds_their_pixels() -> None:
    box = PixelBox.around(Points(np.array([0.4, 2.6, np.nan]), np.array([-0.6, 0.0, 1.0])))
    assert box == PixelBox(0, -1, 4, 1)
    assert box.shape == (2, 4)


def test_boxes_that_do_not_meet_have_an_empty_intersection() -> None:
    assert PixelBox(0, 0, 2, 2).intersect(PixelBox(2, 0, 4, 2)).is_empty
    assert PixelBox.around(Points(np.array([np.nan]), np.array([np.nan]))).is_empty


def test_slices_cut_a_box_out_of_its_frame() -> None:
    frame = PixelBox(10, 20, 14, 25)
    image = np.arange(20).reshape(frame.shape)
    assert image[PixelBox(11, 21, 13, 22).slices_in(frame)].tolist() == [[5, 6]]
