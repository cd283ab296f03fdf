"""Corrections form a group, and their parts put together make the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.correction import Correction, Geometry, rotation_matrix
from alignsvc.domain.geometry import Points, TangentPlane

PLANE = TangentPlane(200.0, -45.0)
IDENTITY = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
PLACES = Points(np.array([0.0, 300.0, -1000.0, 5.0]), np.array([0.0, -40.0, 700.0, 900.0]))

few = settings(max_examples=60, deadline=None)
numbers = st.floats(-10.0, 10.0)


@st.composite
def corrections(draw: st.DrawFn) -> Correction:
    rotation = rotation_matrix(draw(st.floats(-179.0, 179.0)))
    sx, sy = draw(st.floats(0.5, 2.0)), draw(st.floats(0.5, 2.0))
    lean = math.tan(math.radians(draw(st.floats(-45.0, 45.0))))
    shape = np.array([[sx, sx * lean], [0.0, sy]])
    shift = np.array([draw(numbers), draw(numbers)])
    return Correction(PLANE, rotation @ shape, shift, Geometry.GENERAL, np.zeros((6, 6)))


def assert_same(one: Points, two: Points) -> None:
    np.testing.assert_allclose(np.stack(one), np.stack(two), rtol=1e-9, atol=1e-8)


@few
@given(corrections(), corrections())
def test_composing_is_applying_one_after_the_other(first: Correction, then: Correction) -> None:
    assert_same(then.after(first).apply(PLACES), then.apply(first.apply(PLACES)))


@few
@given(corrections(), corrections(), corrections())
def test_composition_is_associative(a: Correction, b: Correction, c: Correction) -> None:
    assert_same(c.after(b).after(a).apply(PLACES), c.after(b.after(a)).apply(PLACES))


@few
@given(corrections())
def test_the_inverse_undoes_from_either_side(correction: Correction) -> None:
    inverse = correction.inverse()
    assert_same(inverse.after(correction).apply(PLACES), PLACES)
    assert_same(correction.after(inverse).apply(PLACES), PLACES)


@few
@given(corrections())
def test_the_identity_changes_nothing(correction: Correction) -> None:
    identity = Correction.identity(PLANE, Geometry.GENERAL)
    assert identity.is_identity
    for same in (identity.after(correction), correction.after(identity)):
        assert (same.parameters == correction.parameters).all()


@few
@given(corrections())
def test_rotation_scales_and_skew_reproduce_the_matrix(correction: Correction) -> None:
    lean = math.tan(math.radians(correction.skew_deg))
    sx, sy = correction.scale_x, correction.scale_y
    again = rotation_matrix(correction.rotation_deg) @ np.array([[sx, sx * lean], [0.0, sy]])
    np.testing.assert_allclose(again, correction.matrix, atol=1e-12)


@few
@given(corrections())
def test_six_numbers_hold_a_correction(correction: Correction) -> None:
    again = Correction.from_parameters(PLANE, correction.parameters, Geometry.GENERAL)
    assert (again.matrix == correction.matrix).all()
    assert (again.shift == correction.shift).all()


@few
@given(st.floats(-170.0, 170.0))
def test_rotation_runs_from_north_through_east(angle: float) -> None:
    turned = Correction(
        PLANE, rotation_matrix(angle), np.zeros(2), Geometry.RSHIFT, np.zeros((6, 6))
    )
    north = turned.apply(Points(np.array(0.0), np.array(1.0)))
    assert math.degrees(math.atan2(float(north.x), float(north.y))) == pytest.approx(
        angle, abs=1e-9
    )
    assert turned.rotation_deg == pytest.approx(angle, abs=1e-9)
    assert turned.is_rigid


@few
@given(st.sampled_from(list(Geometry)), st.lists(numbers, min_size=6, max_size=6))
def test_small_free_steps_of_a_geometry_compose_within_it(
    geometry: Geometry, values: list[float]
) -> None:
    """To first order: what a geometry can express is closed."""
    basis = geometry.basis
    step = 1e-6 * basis @ np.array(values)[: geometry.n_parameters]
    one = Correction.from_parameters(PLANE, IDENTITY + step, geometry)
    change = one.after(one).parameters - IDENTITY
    within = basis @ np.linalg.lstsq(basis, change)[0]
    np.testing.assert_allclose(within, change, atol=1e-9)


def test_corrections_about_different_points_do_not_compose() -> None:
    other = Correction.identity(TangentPlane(0.0, 0.0), Geometry.SHIFT)
    with pytest.raises(ValueError, match="do not compose"):
        other.after(Correction.identity(PLANE, Geometry.SHIFT))


def test_a_mirror_is_no_correction() -> None:
    with pytest.raises(ValueError, match="mirrors or collapses"):
        Correction(PLANE, np.diag([1.0, -1.0]), np.zeros(2), Geometry.GENERAL, np.zeros((6, 6)))
