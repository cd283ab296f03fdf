"""Exposures together find their place among the stars of a catalogue, or are told of none."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.joint_field import (
    CatalogMatcher,
    PlacedField,
    joint_field,
    stars_about,
)
from alignsvc.numerics.matching.pattern_match import (
    FieldSources,
    NoMatch,
    PatternMatch,
    PatternMatcher,
)
from alignsvc.numerics.matching.similarity import UNMOVED, Similarity, on_circle

MATCH = CatalogMatcher(PatternMatcher())
SIDE, SKY = 400.0, 1600.0
SQUARE = (Points(SIDE * np.array([0.0, 1.0, 1.0, 0.0]), SIDE * np.array([0.0, 0.0, 1.0, 1.0])),)


def on_sky(seed: int, count: int) -> Points:
    """Stars all around, the brightest first."""
    x, y = np.random.default_rng(seed).uniform(-600.0, SKY - 600.0, (2, count))
    return Points(x, y)


def field_of(stars: Points, truth: Similarity) -> FieldSources:
    """What a field sees of them whose header is wrong by the inverse of `truth`."""
    seen = truth.inverse()(stars)
    rng = np.random.default_rng(5)
    inside = (np.minimum(seen.x, seen.y) > 0) & (np.maximum(seen.x, seen.y) < SIDE)
    # The brightest alone are in its list, and things that are no stars.
    rows = np.flatnonzero(inside)[:40]
    junk = rng.uniform(0.0, SIDE, (2, 15))
    noise = rng.normal(0.0, 0.2, (2, len(rows)))
    x = np.concatenate([seen.x[rows] + noise[0], junk[0]])
    y = np.concatenate([seen.y[rows] + noise[1], junk[1]])
    return FieldSources(Points(x, y), SQUARE)


@pytest.mark.parametrize(
    ("turn_deg", "shift"),
    [(0.0, 0j), (0.0, 5.0 + 4.0j), (0.0, 180.0 - 90.0j), (0.2, 300.0j), (40.0, 20.0 + 30.0j)],
)
def test_a_whole_set_is_found_on_a_deep_catalogue(turn_deg: float, shift: complex) -> None:
    middle = complex(SIDE / 2, SIDE / 2)
    factor = np.exp(1j * np.radians(turn_deg))
    truth = Similarity(complex(factor), middle + shift - complex(factor) * middle)
    stars = on_sky(1, 900)
    found = MATCH(field_of(stars, truth), stars)
    assert isinstance(found, PatternMatch)
    z = on_circle(middle, SIDE / 2)
    assert np.abs(found.transform.moved(z) - truth.moved(z)).max() < 2.0


def test_without_magnitudes_an_offset_is_found_all_the_same() -> None:
    truth, stars = Similarity(1.0 + 0j, 120.0 - 80.0j), on_sky(2, 900)
    field, order = field_of(stars, truth), np.random.default_rng(3).permutation(900)
    found = MATCH(field, Points(stars.x[order], stars.y[order]))
    assert isinstance(found, PatternMatch)
    assert abs(found.transform.shift - truth.shift) < 1.0


@pytest.mark.parametrize("seed", range(2))
def test_a_catalogue_of_another_field_is_refused_as_one_that_should_have_matched(seed: int) -> None:
    found = MATCH(field_of(on_sky(10 + seed, 900), UNMOVED), on_sky(20 + seed, 900))
    assert isinstance(found, NoMatch)
    assert found.was_expected


def test_a_handful_of_stars_says_nothing() -> None:
    found = MATCH(field_of(on_sky(1, 900), UNMOVED), on_sky(20, 60))
    assert isinstance(found, NoMatch)
    assert not found.was_expected


def test_sources_that_several_exposures_see_count_once() -> None:
    points = Points(np.array([10.0, 50.0, 90.0]), np.array([20.0, 60.0, 90.0]))
    first = PlacedField(FieldSources(points, SQUARE), np.array([3.0, 2.0, 1.0]), UNMOVED)
    moved = Similarity(1.0 + 0j, 40.0 + 40.0j)  # its first source is the other's second
    second = PlacedField(FieldSources(points, SQUARE), np.array([9.0, 0.5, 7.0]), moved)
    together = joint_field([first, second], 1.5)
    assert together.points.x.tolist() == [130.0, 10.0, 50.0, 90.0, 90.0]  # by flux
    assert together.points.y.tolist() == [130.0, 20.0, 60.0, 90.0, 100.0]
    assert together.outlines[1].x.tolist() == [40.0, 440.0, 440.0, 40.0]


def test_stars_beyond_reach_have_no_part() -> None:
    field = FieldSources(Points(np.zeros(0), np.zeros(0)), SQUARE)
    far = Points(np.array([200.0, 200.0, 5000.0]), np.array([200.0, 700.0, 0.0]))
    assert stars_about(far, field, 100.0).points.x.tolist() == [200.0]
    assert not len(stars_about(far, field, -1000.0))
