"""Which exposures hold together by the sources that they share."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, triu
from scipy.sparse.csgraph import connected_components

from alignsvc.domain.arrays import IntArray
from alignsvc.numerics.solve.sums import AnyIntArray


def rigid_components(
    exposure: AnyIntArray, source: AnyIntArray, n_exposures: int, min_shared: int
) -> IntArray:
    """Return the component of each exposure: groups within which nothing can slide.

    Two groups become one when they share at least `min_shared` sources, starting from single
    exposures: fewer shared sources than the geometry needs leave the two groups free to move
    against each other, so that to solve them as one would be a singular system.

    Parameters
    ----------
    exposure, source : int64, shape (n,)
        One row per measurement in use; source as an index from 0.
    n_exposures : int
    min_shared : int

    Returns
    -------
    int64, shape (n_exposures,)
        Components numbered by their first exposure. An exposure that holds to none is a
        component of its own.

    Notes
    -----
    Three groups that share too few sources pair by pair, yet enough all round, stay apart.
    """
    labels = np.arange(n_exposures)
    while len(exposure):
        group, seen = _incidence(labels[exposure], source)
        # A chain through each source's groups finds most links at a cost linear in the rows;
        # only when it finds no more are all pairs counted.
        merged = _merge(labels, _chain_links(group, seen), min_shared)
        if merged is None:
            merged = _merge(labels, _all_links(group, seen), min_shared)
        if merged is None:
            break
        labels = merged
    return labels


def _incidence(group: IntArray, source: AnyIntArray) -> tuple[IntArray, AnyIntArray]:
    """Distinct (group, source) pairs, sorted by source and then group."""
    order = np.lexsort((group, source))
    group, source = group[order], source[order]
    new = np.ones(len(group), bool)
    new[1:] = (group[1:] != group[:-1]) | (source[1:] != source[:-1])
    return group[new], source[new]


def _chain_links(group: IntArray, source: AnyIntArray) -> csr_matrix:
    """Sources shared by groups that are neighbours in some source's sorted list of groups."""
    same = source[1:] == source[:-1]
    n = int(group.max(initial=-1)) + 1
    ones = np.ones(int(same.sum()), np.int64)
    return csr_matrix((ones, (group[:-1][same], group[1:][same])), shape=(n, n))


def _all_links(group: IntArray, source: AnyIntArray) -> csr_matrix:
    """Sources shared by every pair of groups."""
    ones = np.ones(len(group), np.int64)
    seen = csr_matrix((ones, (group, source)))
    return triu(seen @ seen.T, k=1).tocsr()


def _merge(labels: IntArray, links: csr_matrix, min_shared: int) -> IntArray | None:
    """Labels after joining what is linked strongly enough; None if nothing is."""
    strong = links.tocoo()
    enough = strong.data >= min_shared
    if not enough.any():
        return None
    n = int(labels.max()) + 1
    graph = csr_matrix((strong.data[enough], (strong.row[enough], strong.col[enough])), (n, n))
    group_of = connected_components(graph, directed=False)[1]
    return _numbered_by_first(group_of[labels])


def _numbered_by_first(labels: IntArray) -> IntArray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse], np.int64)
