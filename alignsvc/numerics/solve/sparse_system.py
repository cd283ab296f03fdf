"""The reduced system of a wide set: blocks of exposures that share sources, and no others.

Its blocks are summed source by source, a few thousand rows at a time, so that no matrix with a row
for each measurement exists: with ``V = F^T P B W`` (see `reduced`) the block of exposures i and j
is the sum of ``-V_is^T V_js`` over the sources s that both see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, identity, triu

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.block_matrix import BlockMatrix, BorderedBlocks
from alignsvc.numerics.solve.row_loops import averaged, subtract_pairs
from alignsvc.numerics.solve.row_matrices import RIDGE, Known, own_information_of
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.sums import (
    SumBy,
    apply_each,
    cholesky_2x2,
    indices,
    inverse_2x2,
    parts_of,
    plain,
    sum_by,
)

#: Rows whose products are summed at once.
_ROWS_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class SparseSystem:
    """S, its right-hand side and its border, by blocks.

    Parameters
    ----------
    blocks : BorderedBlocks
        S and C.
    vector : array, shape (n p,)
    border_value : array, shape (q,)
        g.
    rows : Rows
    """

    blocks: BorderedBlocks
    vector: FloatArray
    border_value: FloatArray
    rows: Rows

    @property
    def block(self) -> int:
        """Parameters of an exposure."""
        return self.blocks.matrix.block

    @property
    def border(self) -> csr_matrix:
        """C, the gauge's constraints, shape (q, n p)."""
        return self.blocks.border

    def solve(self) -> FloatArray:
        """Return phi, shape ``(n, p)``."""
        solution = self.blocks.solve(self.vector[:, None], self.border_value[:, None])
        return solution.reshape(-1, self.block)

    def response(self, pulls: FloatArray) -> FloatArray:
        """Return how phi changes when the right-hand side does by each column (n p, r)."""
        return self.blocks.solve(pulls, np.zeros((self.border.shape[0], pulls.shape[1])))

    def pull(self, white: FloatArray) -> FloatArray:
        """Return ``A^T (1 - T^T T) L^T r`` of whitened residuals ``L^T r`` (m, 2), (n p,)."""
        weighted = np.empty_like(white)
        for some in parts_of(len(white)):
            lower = cholesky_2x2(self.rows.information(some))
            weighted[some] = apply_each(lower, white[some])
        return _pull(self.rows, weighted).ravel()

    def covariances(self) -> FloatArray:
        """Return the covariance of each exposure's phi in this gauge, shape ``(n, p, p)``."""
        blocks = self.blocks.diagonal_of_inverse()
        return 0.5 * (blocks + np.swapaxes(blocks, 1, 2))


def sparse_system(
    rows: Rows, known: Known, border: tuple[csr_matrix, FloatArray], places: FloatArray
) -> SparseSystem:
    """Return the system that `reduce_rows` describes."""
    vector = _pull(rows, _weighted(rows)) + known.vector
    diagonal = own_information_of(rows) + known.information + RIDGE * np.eye(known.block)
    matrix = _reduced(rows, diagonal)
    blocks = BorderedBlocks(matrix, border[0], places)
    return SparseSystem(blocks, vector.ravel(), border[1], rows)


def seen_together(rows: Rows) -> csr_matrix:
    """Return which exposures that move share sources: the upper half, the diagonal whole."""
    column = rows.column(slice(None))
    moving = column >= 0
    n = len(rows.to_parameters)
    ones = np.ones(int(moving.sum()), np.int32)
    seen = csr_matrix((ones, (column[moving], rows.key[moving])), (n, rows.n_keys))
    shared = triu(seen @ seen.T + identity(n, np.int32)).tocsr()
    shared.sort_indices()
    return shared


def _weighted(rows: Rows) -> FloatArray:
    """Return ``P r`` of each row."""
    weighted = rows.residual
    for some in parts_of(len(rows)):
        weighted[some] = apply_each(rows.information(some), weighted[some])
    return weighted


def _pull(rows: Rows, weighted: FloatArray) -> FloatArray:
    """Return the sums of ``W^T B^T (v - P c_s)``, c_s the mean of v's source; v is (m, 2)."""
    mean = apply_each(
        inverse_2x2(rows.total_information()), sum_by(rows.key, weighted, rows.n_keys)
    )
    n, _, p = rows.to_parameters.shape
    sums = SumBy(n, (p,))
    for some in parts_of(len(rows)):
        design, column = rows.design(some), rows.column(some)
        own = weighted[some] - apply_each(rows.information(some), mean[rows.key[some]])
        sums.add(column, apply_each(np.swapaxes(design, 1, 2), own))
    return sums.total


def _reduced(rows: Rows, diagonal: FloatArray) -> BlockMatrix:
    """Return S."""
    n, _, p = rows.to_parameters.shape
    shared = seen_together(rows)
    first = np.repeat(np.arange(n), np.diff(shared.indptr))
    second = shared.indices.astype(np.int64)
    values = np.zeros((len(first), p, p))
    values[first == second] = diagonal
    root = np.swapaxes(cholesky_2x2(inverse_2x2(rows.total_information())), 1, 2)
    root, links = plain(root), (indices(shared.indptr), second)
    for some in _by_sources(rows):
        column, key = rows.column(some), indices(rows.key[some])
        design = averaged(rows.design(some), root, rows.information(some), key)
        order = np.lexsort((column, key))
        order = order[column[order] >= 0]
        subtract_pairs(values, links, (key[order], column[order]), design[order])
    return BlockMatrix(first, second, values, n)


def _by_sources(rows: Rows) -> Iterator[IntArray]:
    """Yield rows, rising, some thousands at a time: all those of some sources.

    Sources come by the first exposure that sees them, so that few exposures are looked at at once.
    """
    first = np.full(rows.n_keys, len(rows), np.int64)
    np.minimum.at(first, rows.key, np.arange(len(rows)))
    order = np.argsort(first[rows.key], kind="stable")
    ends = np.append(np.flatnonzero(np.diff(rows.key[order])) + 1, len(order))
    begin = 0
    while begin < len(order):
        end = int(ends[np.searchsorted(ends, min(begin + _ROWS_AT_ONCE, len(order)))])
        yield np.sort(order[begin:end])
        begin = end
