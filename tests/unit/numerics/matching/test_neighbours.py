"""A few near exposures each, and enough that all hang together."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.geometry import SkyPoints
from alignsvc.numerics.matching.neighbours import Neighbours, find_neighbours
from alignsvc.numerics.sky.footprints import Footprint

SCALE_ARCSEC = 0.2
HALF_DEG = 256 * SCALE_ARCSEC / 3600.0


def square(x_px: float, y_px: float) -> Footprint:
    """Return the footprint of an exposure of 512 x 512 px near the equator."""
    ra, dec = 150.0 + x_px * SCALE_ARCSEC / 3600.0, y_px * SCALE_ARCSEC / 3600.0
    corners = np.array([-1.0, 1.0, 1.0, -1.0]), np.array([-1.0, -1.0, 1.0, 1.0])
    outline = SkyPoints(ra + HALF_DEG * corners[0], dec + HALF_DEG * corners[1])
    return Footprint((outline,), SCALE_ARCSEC)


def groups(n: int, pairs: tuple[tuple[int, int], ...]) -> int:
    ends = np.array(pairs).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (n, n))
    return int(connected_components(graph, directed=False)[0])


def require_sound(found: Neighbours, n: int) -> None:
    assert all(0 <= a < b < n for a, b in (*found.first, *found.more))
    assert not set(found.first) & set(found.more)


def test_a_deep_stack_costs_a_few_pairs_each() -> None:
    generator = np.random.default_rng(1)
    n = 200
    found = find_neighbours([square(*generator.normal(0, 20, 2)) for _ in range(n)], 500.0)
    require_sound(found, n)
    assert len(found.first) < 7 * n
    assert groups(n, found.first) == 1
    assert (found.group == 0).all()


def test_exposures_of_one_pointing_are_compared() -> None:
    found = find_neighbours([square(0.0, 0.0)] * 3, 500.0)
    assert found.first == ((0, 1), (0, 2), (1, 2))


def test_two_clusters_are_held_together_by_their_nearest_ends() -> None:
    places = [square(10.0 * k, 0.0) for k in range(8)] + [
        square(900 + 10.0 * k, 0) for k in range(8)
    ]
    found = find_neighbours(places, 500.0)
    require_sound(found, 16)
    assert groups(16, found.first) == 1


def test_what_can_never_overlap_is_not_compared() -> None:
    found = find_neighbours([square(0, 0), square(100, 0), square(4000, 0)], 500.0)
    assert found.first == ((0, 1),)
    assert found.group.tolist() == [0, 0, 1]
