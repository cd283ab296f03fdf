"""The diagonal of the inverse of a sparse matrix of which nothing is known but its elements."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, triu
from scipy.sparse.csgraph import connected_components, dijkstra

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.block_matrix import BlockMatrix, BorderedBlocks


def diagonal_of_inverse(matrix: csc_matrix) -> FloatArray:
    """Return the diagonal of the inverse of a symmetric positive definite matrix, shape (n,).

    The inverse itself is never made: that of ten thousand unknowns would take 800 MB.

    Parameters
    ----------
    matrix : csc_matrix, shape (n, n)
        Every element of the diagonal stored.
    """
    upper = triu(matrix).tocsr()
    upper.sort_indices()
    n = upper.shape[0]
    first = np.repeat(np.arange(n), np.diff(upper.indptr))
    second = upper.indices.astype(np.int64)
    blocks = BlockMatrix(first, second, upper.data.reshape(-1, 1, 1), n)
    none = csr_matrix((0, n))
    return BorderedBlocks(blocks, none, _places(abs(matrix))).diagonal_of_inverse()[:, 0, 0]


def _places(links: csc_matrix) -> FloatArray:
    """Return where unknowns are, by how many links they are away from two ends, shape (n, 2).

    What is linked lies near, which is all that a dissection asks of places.
    """
    label = connected_components(links, directed=False)[1]
    one_end = _steps_from(links, np.unique(label, return_index=True)[1])
    other_end = _steps_from(links, _farthest(label, one_end))
    third = _steps_from(links, _farthest(label, np.minimum(one_end, other_end)))
    return np.stack([other_end, third], axis=1)


def _steps_from(links: csc_matrix, roots: IntArray) -> FloatArray:
    steps = dijkstra(links, directed=False, indices=roots, unweighted=True, min_only=True)
    return np.asarray(steps, float)


def _farthest(label: IntArray, steps: FloatArray) -> IntArray:
    """Return the farthest unknown of each component; the first of those that are as far."""
    order = np.lexsort((-steps, label))
    return order[np.unique(label[order], return_index=True)[1]]
