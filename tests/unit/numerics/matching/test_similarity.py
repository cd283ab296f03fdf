"""Similarities form a group, and least squares finds them again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.domain.correction import rotation_matrix
from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.similarity import Similarity, fit_similarity, simplest_alike

ANYWHERE = np.array([0.0, 300.0 + 20.0j, -150.0 + 400.0j, 77.0 - 33.0j])


@st.composite
def similarities(draw: st.DrawFn) -> Similarity:
    angle = draw(st.floats(-math.pi, math.pi))
    scale = draw(st.floats(0.5, 2.0))
    shift = complex(draw(st.floats(-500, 500)), draw(st.floats(-500, 500)))
    return Similarity(scale * complex(math.cos(angle), math.sin(angle)), shift, draw(st.booleans()))


@given(similarities())
def test_the_inverse_undoes_a_similarity(one: Similarity) -> None:
    np.testing.assert_allclose(one.inverse().moved(one.moved(ANYWHERE)), ANYWHERE, atol=1e-9)
    np.testing.assert_allclose(one.moved(one.inverse().moved(ANYWHERE)), ANYWHERE, atol=1e-9)


@given(similarities(), similarities())
def test_one_after_the_other_is_one(first: Similarity, second: Similarity) -> None:
    both = second.after(first)
    np.testing.assert_allclose(both.moved(ANYWHERE), second.moved(first.moved(ANYWHERE)), atol=1e-8)
    assert both.is_mirrored == (first.is_mirrored != second.is_mirrored)


@given(similarities())
def test_a_fit_to_what_a_similarity_did_finds_it(one: Similarity) -> None:
    found = fit_similarity(ANYWHERE, one.moved(ANYWHERE), mirrored=one.is_mirrored)
    np.testing.assert_allclose(found.moved(ANYWHERE), one.moved(ANYWHERE), atol=1e-8)


def test_a_rotation_is_counted_from_north_through_east() -> None:
    """The same rotation as a matrix on (east, north), and as a factor of ``x + i y``."""
    turned = rotation_matrix(30.0) @ np.array([2.0, 5.0])
    factor = complex(math.cos(math.radians(30.0)), -math.sin(math.radians(30.0)))
    found = Similarity(factor, 0j)
    moved = found(Points(np.array([2.0]), np.array([5.0])))
    assert (moved.x[0], moved.y[0]) == pytest.approx(tuple(turned))
    assert found.rotation_deg == pytest.approx(30.0)


def test_a_cluster_in_a_corner_does_not_turn_the_field() -> None:
    """Errors of 0.3 px over 20 px would turn it by half a degree: by 3 px at the other end."""
    generator = np.random.default_rng(2)
    first = 2000.0 + 20.0 * generator.normal(size=(6, 2)) @ [1.0, 1j]
    second = first + 40.0 + 0.3 * generator.normal(size=(6, 2)) @ [1.0, 1j]
    fitted = fit_similarity(first, second, mirrored=False)
    assert abs(fitted.moved(np.zeros(1, complex))[0] - 40.0) > 3.0
    simple = simplest_alike(first, second, fitted, 1.5)
    assert simple.factor == 1.0
    assert abs(simple.shift - 40.0) < 0.5


@given(similarities())
def test_what_sources_all_over_ask_for_is_kept(one: Similarity) -> None:
    simple = simplest_alike(ANYWHERE, one.moved(ANYWHERE), one, 1.5)
    assert np.abs(simple.moved(ANYWHERE) - one.moved(ANYWHERE)).max() <= 1.5
