"""The matrices of the joint problem, as `reduced.py` names them, from its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.sums import SumBy, cholesky_2x2, inverse_2x2, parts_of

#: Added to the diagonal of S, whose elements are of order one: a prior of ten million times
#: the exposure's own error, so that a mode without data gives a huge error, not a crash.
RIDGE = 1e-15


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of the whitened parameters from elsewhere.

    Parameters
    ----------
    information : array, shape (n, p, p)
    vector : array, shape (n, p)
        It times their values.
    """

    information: FloatArray
    vector: FloatArray

    @property
    def block(self) -> int:
        """Parameters of an exposure."""
        return int(self.vector.shape[1])


def own_information_of(rows: Rows) -> FloatArray:
    """Return ``A^T A``'s diagonal blocks, shape ``(n, p, p)``; the others are 0."""
    n, _, p = rows.to_parameters.shape
    sums = SumBy(n, (p, p))
    for some in parts_of(len(rows)):
        sums.add_normals(rows.column(some), rows.design(some), rows.information(some))
    return sums.total


def whitened_of(rows: Rows) -> csr_matrix:
    """Return A, shape ``(2 m, n p)``: 200 bytes a row."""
    n, _, p = rows.to_parameters.shape
    column = rows.column(slice(None))
    moving = column >= 0
    lower = cholesky_2x2(rows.information(slice(None)))
    values = (np.swapaxes(lower, 1, 2) @ rows.design(slice(None)))[moving]
    columns = column[moving, None, None] * p + np.arange(p)
    columns = np.broadcast_to(columns, values.shape)
    lengths = np.repeat(np.where(moving, p, 0), 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((values.ravel(), columns.ravel(), starts), shape=(len(lengths), n * p))


def averaging_of(rows: Rows) -> csr_matrix:
    """Return T, shape ``(2 n_keys, 2 m)``."""
    lower = cholesky_2x2(rows.information(slice(None)))
    root = cholesky_2x2(inverse_2x2(rows.total_information()))
    values = np.swapaxes(root, 1, 2)[rows.key] @ lower
    # By columns: measurement (row, axis) feeds the two components of its key.
    by_column = np.swapaxes(values, 1, 2).ravel()
    into = np.repeat(rows.key.astype(np.int64) * 2, 4) + np.tile([0, 1, 0, 1], len(rows))
    starts = np.arange(2 * len(rows) + 1) * 2
    shape = (2 * rows.n_keys, 2 * len(rows))
    return csc_matrix((by_column, into, starts), shape=shape).tocsr()
