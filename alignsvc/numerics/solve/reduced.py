"""The joint least-squares problem with the sources eliminated.

Rows ``r = B theta_i + c_s + noise`` with information P. With whitened corrections
``theta_i = W_i phi_i``, ``P = L L^T`` and ``A`` the rows ``L^T B W``, the sources' offsets are
``c_s = H_s^-1 sum P (r - B theta)``, ``H_s = sum P``. With ``H^-1 = F F^T`` and T the rows
``F^T L`` summed by source, eliminating the c_s leaves

    S phi = A^T (1 - T^T T) L^T r,      S = A^T A - (T A)^T (T A).

S is singular along the motions that all exposures of a component share. Constraints
``C phi = g`` (the gauge) border it: [[S, C^T], [C, 0]]. The upper left block of the bordered
matrix's inverse is the covariance of phi in that gauge.
(Bjoerck 1996, Numerical Methods for Least Squares Problems, 5.1 and 6.3; Triggs et al. 2000,
Bundle Adjustment, for the elimination and the inner constraints.)
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy.sparse import csr_matrix

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.dense_system import DENSE_COST, SPARSE_COST, dense_system
from alignsvc.numerics.solve.row_matrices import Known
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.sparse_system import seen_together, sparse_system

#: Up to so many unknowns S is handled as a dense matrix: 8 MB.
_DENSE_UNKNOWNS = 1000
#: Up to so many, when more than a fifth of S is filled: the sparse factors would be no smaller.
_FILLED_UNKNOWNS = 12000


class ReducedSystem(Protocol):
    """S, its right-hand side and its border; made by `reduce_rows`."""

    @property
    def block(self) -> int:
        """p, parameters of an exposure."""
        ...

    @property
    def border(self) -> csr_matrix:
        """C, the gauge's constraints, shape (q, n p)."""
        ...

    def solve(self) -> FloatArray:
        """Return phi, shape ``(n, p)``."""
        ...

    def response(self, pulls: FloatArray) -> FloatArray:
        """Return how phi changes when the right-hand side does by each column (n p, r)."""
        ...

    def pull(self, white: FloatArray) -> FloatArray:
        """Return ``A^T (1 - T^T T) L^T r`` of whitened residuals ``L^T r`` (m, 2), (n p,)."""
        ...

    def covariances(self) -> FloatArray:
        """Return the covariance of each exposure's phi in this gauge, shape ``(n, p, p)``."""
        ...


def reduce_rows(
    rows: Rows, known: Known, border: tuple[csr_matrix, FloatArray], places: FloatArray
) -> ReducedSystem:
    """Eliminate the source offsets and return the system for the corrections.

    Parameters
    ----------
    rows : Rows
    known : Known
        Of the whitened parameters, from elsewhere.
    border : tuple of csr_matrix, shape (q, n p), and array, shape (q,)
        Constraints ``C phi = g``.
    places : array, shape (n, 2)
        Where the exposures are, in any unit: who is near shares sources, as a rule.

    Notes
    -----
    Which way depends on the sizes alone.
    """
    if _is_small_or_filled(rows):
        return dense_system(rows, known, border)
    return sparse_system(rows, known, border, places)


def _is_small_or_filled(rows: Rows) -> bool:
    n, _, p = rows.to_parameters.shape
    unknowns = n * p
    if unknowns <= _DENSE_UNKNOWNS or unknowns > _FILLED_UNKNOWNS:
        return bool(unknowns <= _DENSE_UNKNOWNS)
    column = rows.column(slice(None))
    seen_by = np.bincount(rows.key[column >= 0], minlength=rows.n_keys)
    sparse_seconds = SPARSE_COST * 2.0 * float((p * seen_by.astype(float)) @ (p * seen_by))
    dense_seconds = DENSE_COST * 2.0 * rows.n_keys * float(unknowns) ** 2
    n_blocks = 2 * seen_together(rows).nnz - n
    return bool(dense_seconds < sparse_seconds or n_blocks > 0.2 * n * n)
