"""Which exposures are worth comparing: a few near ones each, and enough to hold all together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree

from alignsvc.domain.arrays import FloatArray, IntArray, read_only
from alignsvc.domain.geometry import middle_of, unit_vectors
from alignsvc.numerics.sky.footprints import Footprint

#: Comparisons an exposure begins with: one may fail for each that is needed, and more.
_FIRST_PARTNERS = 6
#: Neighbours that are looked at, at the most: in a deep stack they are all alike.
_MOST_PARTNERS = 24


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Pairs of exposures that may overlap, whatever their headers' errors.

    Parameters
    ----------
    first : tuple of (int, int)
        To compare in any case; the smaller index first, in order.
    more : tuple of (int, int)
        To compare where the first say nothing.
    group : int64 array, shape (n,)
        Number of the connected set that each exposure is in.
    """

    first: tuple[tuple[int, int], ...]
    more: tuple[tuple[int, int], ...]
    group: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", read_only(self.group))


def find_neighbours(footprints: Sequence[Footprint], radius_px: float) -> Neighbours:
    """Return the pairs to compare where headers may be off by `radius_px`.

    The nearest ones by the middles of the footprints, and a shortest tree of all. The number of
    pairs grows as the number of exposures, however deep the stack.
    """
    n = len(footprints)
    middles, reach = _circles(footprints)
    margin = np.array([radius_px * one.scale_arcsec for one in footprints])
    reach = reach + np.radians(margin / 3600.0) / 2.0
    distance, index = cKDTree(middles).query(middles, k=min(n, _MOST_PARTNERS + 1))
    distance, index = distance.reshape(n, -1), index.reshape(n, -1)
    near: dict[tuple[int, int], float] = {}
    first: set[tuple[int, int]] = set()
    for one in range(n):
        rank = 0
        for apart, other in zip(distance[one], index[one], strict=True):
            if other == one or apart > reach[one] + reach[other]:
                continue
            pair = (min(one, int(other)), max(one, int(other)))
            near[pair] = float(apart)
            if rank < _FIRST_PARTNERS:
                first.add(pair)
            rank += 1
    first |= _tree(n, near)
    ends = np.array(sorted(near), np.int64).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (n, n))
    _, group = connected_components(graph, directed=False)
    more = sorted(near.keys() - first, key=lambda pair: (near[pair], pair))
    return Neighbours(tuple(sorted(first)), tuple(more), group.astype(np.int64))


def _circles(footprints: Sequence[Footprint]) -> tuple[FloatArray, FloatArray]:
    """Return unit vectors of the middles, shape (n, 3), and radii, shape (n,), radians."""
    points = [one.points() for one in footprints]
    middles = np.array([unit_vectors(middle_of(sky)) for sky in points])
    chords = [
        float(np.linalg.norm(unit_vectors(sky) - middle, axis=1).max())
        for sky, middle in zip(points, middles, strict=True)
    ]
    return middles, np.array([2.0 * math.asin(min(1.0, chord / 2.0)) for chord in chords])


def _tree(n: int, near: dict[tuple[int, int], float]) -> set[tuple[int, int]]:
    """Return the pairs of a shortest tree of each connected set."""
    if not near:
        return set()
    ends = np.array(sorted(near))
    # A sparse matrix has no zeros: two exposures of one pointing are a little apart.
    length = np.array([near[(int(a), int(b))] for a, b in ends]) + 1e-12
    graph = sparse.coo_matrix((length, (ends[:, 0], ends[:, 1])), (n, n))
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    return {
        (min(a, b), max(a, b)) for a, b in zip(tree.row.tolist(), tree.col.tolist(), strict=True)
    }
