"""The map between two lists of sources is found, or refused; never guessed."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from star_fields import MIDDLE, SIZE, Sky, turned

from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.pattern_match import (
    FieldSources,
    NoMatch,
    PatternMatch,
    PatternMatcher,
    Refusal,
)
from alignsvc.numerics.matching.similarity import Similarity, on_circle

MATCH = PatternMatcher()
SQUARE = (Points(SIZE * np.array([0.0, 1.0, 1.0, 0.0]), SIZE * np.array([0.0, 0.0, 1.0, 1.0])),)


def require_found(answer: PatternMatch | NoMatch, truth: Similarity) -> None:
    """Fail unless the map is the true one, to a pixel or two anywhere in the field."""
    assert isinstance(answer, PatternMatch)
    field = truth.inverse().moved(on_circle(MIDDLE, SIZE / 2))
    assert np.abs(answer.transform.moved(field) - truth.moved(field)).max() < 2.0
    assert answer.transform.is_mirrored == truth.is_mirrored


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.floats(-180.0, 180.0),
    st.floats(0.0, 150.0),
    st.floats(0.0, 2 * math.pi),
    st.booleans(),
)
def test_any_rotation_offset_and_parity_is_found(
    seed: int, angle_deg: float, length: float, direction: float, mirrored: bool
) -> None:
    truth = turned(angle_deg, cmath.rect(length, direction), mirrored=mirrored)
    require_found(MATCH(*Sky().seen_twice(seed, truth)), truth)


def test_what_a_map_meets_by_turning_a_little_is_no_proof_of_the_header() -> None:
    """Of 60 sources six lie within 1.5 px after a turn by half a degree, and all in the mirror."""
    truth = turned(0.0, 0j, mirrored=True)
    require_found(MATCH(*Sky().seen_twice(911, truth)), truth)


@pytest.mark.parametrize("density", [30.0, 300.0, 2000.0])
@pytest.mark.parametrize("offset", [0.0, 5.0 + 3.0j, 250.0 - 180.0j])
def test_an_offset_is_found_in_sparse_and_crowded_fields(density: float, offset: complex) -> None:
    truth = turned(0.0, offset)
    require_found(MATCH(*Sky(density, kept=0.9, false=0.2).seen_twice(1, truth)), truth)


def test_lists_of_other_depth_and_mostly_false_sources_match() -> None:
    truth = turned(40.0, 30.0 + 20.0j)
    first, second = Sky(200.0, kept=0.9, false=0.6).seen_twice(2, truth)
    require_found(MATCH(first.brightest(120), second), truth)


def test_swapping_the_lists_inverts_the_map() -> None:
    truth = turned(25.0, 60.0 + 10.0j)
    first, second = Sky().seen_twice(3, truth)
    require_found(MATCH(second, first), truth.inverse())


@pytest.mark.parametrize("density", [5.0, 30.0, 300.0])
def test_fields_of_different_skies_do_not_match(density: float) -> None:
    sky = Sky(density)
    for seed in range(12):
        first, _ = sky.seen_twice(seed, turned(0.0, 0j))
        _, second = sky.seen_twice(seed + 1000, turned(0.0, 0j))
        answer = MATCH(first, second)
        assert isinstance(answer, NoMatch)
        assert answer.was_expected == (density >= 30.0)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_up_to_three_sources_are_refused(count: int) -> None:
    """Even the same three: a crowd has three such points by chance."""
    first, _ = Sky().seen_twice(4, turned(0.0, 0j))
    answer = MATCH(first.brightest(count), first.brightest(count))
    assert isinstance(answer, NoMatch)
    assert answer.refusal is Refusal.TOO_FEW


def test_clusters_do_not_match_by_being_clusters() -> None:
    """Two knots of sources lie on each other somehow: many pairs, and none the same source."""
    generator = np.random.default_rng(5)
    knots = []
    for place in (150.0 + 150.0j, 350.0 + 300.0j):
        z = place + 6.0 * generator.normal(size=(60, 2)) @ [1.0, 1j]
        knots.append(FieldSources(Points(z.real, z.imag), SQUARE))
    assert isinstance(MATCH(*knots), NoMatch)


def test_a_lattice_is_ambiguous_unless_the_header_is_right() -> None:
    """Every step of the lattice fits nearly as well; only the header can tell, if it is near."""
    x, y = (
        axis.ravel()
        for axis in np.meshgrid(np.arange(20.0, 500.0, 40.0), np.arange(20.0, 500.0, 40.0))
    )
    lattice = FieldSources(Points(x, y), SQUARE)
    moved = FieldSources(Points(x + 18.0, y + 19.0), SQUARE)
    near = FieldSources(Points(x + 2.0, y - 1.0), SQUARE)
    answer = MATCH(lattice, moved)
    assert isinstance(answer, NoMatch)
    assert answer.refusal is Refusal.AMBIGUOUS
    require_found(MATCH(lattice, near), turned(0.0, 2.0 - 1.0j))


def test_a_scale_beyond_what_is_allowed_is_not_believed() -> None:
    first, second = Sky(100.0).seen_twice(6, turned(0.0, 0j))
    z = 1.1 * (first.points.x + 1j * first.points.y)
    assert isinstance(MATCH(FieldSources(Points(z.real, z.imag), SQUARE), second), NoMatch)
