"""Areas that outlines share are counted as whoever asks for each point would count them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.domain.geometry import Points
from alignsvc.numerics.sky.polygons import contains, shared_area

SQUARE = Points(np.array([0.0, 2.0, 2.0, 0.0]), np.array([0.0, 0.0, 2.0, 2.0]))


def star(seed: int, n: int = 11) -> Points:
    """Return a polygon that is not convex, with vertices in order about (1, 1)."""
    generator = np.random.default_rng(seed)
    turn, radius = np.sort(generator.uniform(0, 2 * np.pi, n)), generator.uniform(0.2, 1.5, n)
    return Points(1 + radius * np.cos(turn), 1 + radius * np.sin(turn))


def counted_one_by_one(first: Points, second: Points) -> float:
    """Return the shared area from 24 x 24 points, each asked for by itself."""
    x0, x1 = max(first.x.min(), second.x.min()), min(first.x.max(), second.x.max())
    y0, y1 = max(first.y.min(), second.y.min()), min(first.y.max(), second.y.max())
    along = (np.arange(24) + 0.5) / 24
    points = Points(*np.meshgrid(x0 + along * (x1 - x0), y0 + along * (y1 - y0)))
    share = (contains(first, points) & contains(second, points)).mean()
    return float(share) * float((x1 - x0) * (y1 - y0))


@given(st.integers(0, 10_000))
def test_rows_of_a_lattice_count_to_the_bit_as_its_points_do(seed: int) -> None:
    assert shared_area(star(seed), SQUARE) == counted_one_by_one(star(seed), SQUARE)


def test_the_shared_area_of_two_squares_is_right() -> None:
    moved = Points(SQUARE.x + 0.5, SQUARE.y - 1.0)
    assert abs(shared_area(SQUARE, moved) - 1.5) < 0.05


def test_a_vertex_that_has_no_place_makes_no_noise() -> None:
    x, y = SQUARE.x.copy(), SQUARE.y.copy()
    x[2] = y[2] = np.nan
    inside = contains(Points(x, y), Points(np.array([0.5, 5.0]), np.array([0.5, 5.0])))
    assert not inside[1]
