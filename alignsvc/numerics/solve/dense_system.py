"""The reduced system of a set that is small, or all of whose exposures see each other: dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.row_matrices import (
    RIDGE,
    Known,
    averaging_of,
    own_information_of,
    whitened_of,
)
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.sums import apply_each, cholesky_2x2

#: Seconds of one multiplication in sparse and in dense products, on one core: only the ratio
#: counts, and only for speed.
SPARSE_COST, DENSE_COST = 1e-8, 2e-10


@dataclass(frozen=True, slots=True, eq=False)
class DenseSystem:
    """S, its right-hand side and its border, as dense matrices.

    Parameters
    ----------
    matrix : array, shape (n p, n p)
        S.
    vector : array, shape (n p,)
    border : csr_matrix, shape (q, n p)
        C, the gauge's constraints.
    border_value : array, shape (q,)
        g.
    whitened : csr_matrix, shape (2 m, n p)
        A.
    averaging : csr_matrix, shape (2 n_keys, 2 m)
        T.
    block : int
        p, parameters of an exposure.
    """

    matrix: FloatArray
    vector: FloatArray
    border: csr_matrix
    border_value: FloatArray
    whitened: csr_matrix
    averaging: csr_matrix
    block: int

    def solve(self) -> FloatArray:
        """Return phi, shape ``(n, p)``."""
        right = np.concatenate([self.vector, self.border_value])
        solution = np.linalg.solve(self._bordered(), right)
        return np.asarray(solution[: len(self.vector)].reshape(-1, self.block), float)

    def response(self, pulls: FloatArray) -> FloatArray:
        """Return how phi changes when the right-hand side does by each column (n p, r)."""
        bordered = self._bordered()
        right = np.zeros((len(bordered), pulls.shape[1]))
        right[: len(self.vector)] = pulls
        return np.asarray(np.linalg.solve(bordered, right)[: len(self.vector)], float)

    def pull(self, white: FloatArray) -> FloatArray:
        """Return ``A^T (1 - T^T T) L^T r`` of whitened residuals ``L^T r`` (m, 2), (n p,)."""
        flat = white.ravel()
        return np.asarray(self.whitened.T @ (flat - self.averaging.T @ (self.averaging @ flat)))

    def covariances(self) -> FloatArray:
        """Return the covariance of each exposure's phi in this gauge, shape ``(n, p, p)``."""
        n = len(self.vector) // self.block
        inverse = np.linalg.inv(self._bordered())[: len(self.vector), : len(self.vector)]
        blocks = inverse.reshape(n, self.block, n, self.block)
        return np.asarray(blocks[np.arange(n), :, np.arange(n), :], float)

    def _bordered(self) -> FloatArray:
        border = self.border.toarray()
        zero = np.zeros((len(border), len(border)))
        return np.block([[self.matrix, border.T], [border, zero]])


def dense_system(rows: Rows, known: Known, border: tuple[csr_matrix, FloatArray]) -> DenseSystem:
    """Return the system that `reduce_rows` describes."""
    lower = cholesky_2x2(rows.information(slice(None)))
    whitened, averaging = whitened_of(rows), averaging_of(rows)
    white = apply_each(np.swapaxes(lower, 1, 2), rows.residual).ravel()
    white = white - averaging.T @ (averaging @ white)
    vector = whitened.T @ white + known.vector.ravel()
    diagonal = own_information_of(rows) + known.information + RIDGE * np.eye(known.block)
    matrix = _subtract_gram(_block_diagonal(diagonal), (averaging @ whitened).tocsr())
    return DenseSystem(matrix, vector, *border, whitened, averaging, known.block)


def _block_diagonal(blocks: FloatArray) -> csc_matrix:
    n, p, _ = blocks.shape
    columns = (np.arange(n)[:, None, None] * p + np.arange(p)) + np.zeros((1, p, 1), np.int64)
    starts = np.arange(n * p + 1) * p
    return csr_matrix((blocks.ravel(), columns.ravel(), starts), (n * p, n * p)).tocsc()


def _subtract_gram(diagonal: csc_matrix, factor: csr_matrix) -> FloatArray:
    """``diagonal - factor^T factor``, by the products that take less time."""
    n = diagonal.shape[0]
    filled = np.diff(factor.indptr).astype(float)
    sparse_seconds = SPARSE_COST * float((filled**2).sum())
    dense_seconds = DENSE_COST * factor.shape[0] * float(n) ** 2
    if sparse_seconds <= dense_seconds:
        return np.asarray((diagonal - factor.T @ factor).tocsc().toarray(), float)
    dense = diagonal.toarray()
    for start in range(0, factor.shape[0], 1024):
        part = factor[start : start + 1024].toarray()
        dense -= part.T @ part
    return np.asarray(dense, float)
