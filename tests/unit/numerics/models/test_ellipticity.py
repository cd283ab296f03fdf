"""Ellipses as reduced shears, and how they look in another frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.numerics.models.light.ellipticity import ellipses, mapped_shapes

laws = settings(max_examples=30, deadline=None)
component = st.floats(-0.6, 0.6)
element = st.floats(-0.4, 0.4)


@laws
@given(component, component)
def test_ellipses_have_unit_area_and_the_axis_ratio_of_their_shear(e1, e2):
    xx, xy, yy = ellipses(np.array([e1]), np.array([e2])).matrix[0]
    small, large = np.linalg.eigvalsh([[xx, xy], [xy, yy]])
    size = np.hypot(e1, e2)
    assert small * large == pytest.approx(1)
    assert np.sqrt(small / large) == pytest.approx((1 - size) / (1 + size))


@laws
@given(component, component)
def test_the_inverse_is_the_inverse_and_changes_as_it_should(e1, e2):
    found = ellipses(np.array([e1]), np.array([e2]))
    inverse = found.inverse()
    square = [[0, 1], [1, 2]]
    np.testing.assert_allclose(
        found.matrix[0][square] @ inverse.matrix[0][square], np.eye(2), atol=1e-9
    )
    step = 1e-6
    for k, analytic in enumerate((inverse.d_e1, inverse.d_e2)):
        d1, d2 = step * np.eye(2)[k]
        after, before = (
            ellipses(np.array([e1 + s * d1]), np.array([e2 + s * d2])).inverse().matrix
            for s in (1, -1)
        )
        np.testing.assert_allclose(analytic, (after - before) / (2 * step), rtol=1e-5, atol=1e-6)


def jacobian_of(elements) -> np.ndarray:
    return (np.eye(2) + np.reshape(elements, (2, 2)))[None]


@laws
@given(component, component, st.lists(element, min_size=4, max_size=4))
def test_a_mapped_covariance_is_that_of_the_mapped_shape(e1, e2, elements):
    jacobian = jacobian_of(elements)
    found = mapped_shapes(np.array([[0.3, e1, e2]]), jacobian).shape[0]
    square = [[0, 1], [1, 2]]
    before = np.exp(0.6) * ellipses(np.array([e1]), np.array([e2])).matrix[0][square]
    after = np.exp(2 * found[0]) * ellipses(found[[1]], found[[2]]).matrix[0][square]
    np.testing.assert_allclose(after, jacobian[0] @ before @ jacobian[0].T, rtol=1e-8, atol=1e-9)


@laws
@given(component, component, st.lists(element, min_size=4, max_size=4))
def test_derivatives_of_a_mapped_shape_are_those_of_its_values(e1, e2, elements):
    shape, jacobian, step = np.array([[0.3, e1, e2]]), jacobian_of(elements), 1e-6
    found = mapped_shapes(shape, jacobian)
    for k in range(3):
        unit = step * np.eye(3)[k]
        after, before = (mapped_shapes(shape + s * unit, jacobian).shape for s in (1, -1))
        np.testing.assert_allclose(
            found.by_shape[:, :, k], (after - before) / (2 * step), rtol=1e-5, atol=1e-6
        )
    for i, j in np.ndindex(2, 2):
        unit = np.zeros((2, 2))
        unit[i, j] = step
        after, before = (mapped_shapes(shape, jacobian + s * unit).shape for s in (1, -1))
        np.testing.assert_allclose(
            found.by_jacobian[:, :, i, j], (after - before) / (2 * step), rtol=1e-5, atol=1e-6
        )


def test_a_turned_frame_turns_the_ellipticity_twice():
    angle = np.pi / 32
    turn = np.array([[[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]])
    found = mapped_shapes(np.array([[1.0, 0.3, 0.1]]), turn).shape[0]
    turned = complex(0.3, 0.1) * np.exp(2j * angle)
    assert found == pytest.approx([1.0, turned.real, turned.imag])


def test_a_mirror_turns_one_component_over():
    found = mapped_shapes(np.array([[1.0, 0.3, 0.1]]), np.diag([1.0, -1.0])[None]).shape[0]
    assert found == pytest.approx([1.0, 0.3, -0.1])
