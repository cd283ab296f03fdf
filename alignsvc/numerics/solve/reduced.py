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

from dataclasses import dataclass

import numpy as np
from scipy.sparse import bmat, csc_matrix, csr_matrix
from scipy.sparse.linalg import SuperLU, splu

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.sums import apply_each, cholesky_2x2, inverse_2x2, sum_by

#: Added to the diagonal of S, whose elements are of order one: a prior of ten million times
#: the exposure's own error, so that a mode without data gives a huge error, not a crash.
_RIDGE = 1e-15
#: Up to so many unknowns S is handled as a dense matrix: seconds, 72 MB.
_DENSE_UNKNOWNS = 3000
#: Up to so many, when more than a fifth of S is filled: the sparse factors would be no smaller.
_FILLED_UNKNOWNS = 12000
#: Up to so many unknowns the covariance comes from solving for every one of them.
_EXACT_UNKNOWNS = 12000
#: Beyond, from so many simulated noises: 3.5 % error of each standard deviation.
_N_SIMULATIONS = 400
#: Seconds of one multiplication in sparse and in dense products, on one core: only the ratio
#: counts, and only for speed.
_SPARSE_COST, _DENSE_COST = 1e-8, 2e-10


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Measurements in the fit, ready for elimination.

    Parameters
    ----------
    column : int64, shape (m,)
        Index of the row's exposure among those that can move; -1 for a fixed one.
    key : int64, shape (m,)
        Index of the row's source (one key per component that sees it).
    residual : array, shape (m, 2)
    design : array, shape (m, 2, p)
        ``B W``: per unit of the whitened parameters; 0 for fixed exposures.
    information : array, shape (m, 2, 2)
        Positive definite.
    """

    column: IntArray
    key: IntArray
    residual: FloatArray
    design: FloatArray
    information: FloatArray

    @property
    def n_keys(self) -> int:
        """Number of source offsets."""
        return int(self.key.max(initial=-1)) + 1

    def offsets(self, phi: FloatArray) -> FloatArray:
        """Return the source offsets c, shape ``(n_keys, 2)``, at corrections `phi` (n, p)."""
        left = self.residual - self.moves(phi)
        total = sum_by(self.key, self.information, self.n_keys)
        pull = sum_by(self.key, apply_each(self.information, left), self.n_keys)
        return apply_each(inverse_2x2(total), pull)

    def moves(self, phi: FloatArray) -> FloatArray:
        """Return ``B theta`` of each row, shape ``(m, 2)``."""
        if not len(phi):
            return np.zeros_like(self.residual)
        return apply_each(self.design, phi[np.maximum(self.column, 0)])


@dataclass(frozen=True, slots=True, eq=False)
class ReducedSystem:
    """S, its right-hand side and its border; made by `reduce_rows`.

    Parameters
    ----------
    matrix : array or csc_matrix, shape (n p, n p)
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

    matrix: FloatArray | csc_matrix
    vector: FloatArray
    border: csr_matrix
    border_value: FloatArray
    whitened: csr_matrix
    averaging: csr_matrix
    block: int

    def solve(self) -> FloatArray:
        """Return phi, shape ``(n, p)``."""
        right = np.concatenate([self.vector, self.border_value])
        bordered = self._bordered()
        if isinstance(bordered, np.ndarray):
            solution = np.linalg.solve(bordered, right)
        else:
            solution = _factorised(bordered).solve(right)
        return np.asarray(solution[: len(self.vector)].reshape(-1, self.block), float)

    def pulls(self, white: FloatArray) -> FloatArray:
        """Return how `vector` changes when the whitened residuals do, by each column (2 m, r)."""
        left = white - self.averaging.T @ (self.averaging @ white)
        return np.asarray(self.whitened.T @ left, float)

    def response(self, pulls: FloatArray) -> FloatArray:
        """Return how phi changes when `vector` changes by each column of `pulls` (n p, r)."""
        bordered = self._bordered()
        right = np.zeros((bordered.shape[0], pulls.shape[1]))
        right[: len(self.vector)] = pulls
        if isinstance(bordered, np.ndarray):
            return np.asarray(np.linalg.solve(bordered, right)[: len(self.vector)], float)
        return np.asarray(_factorised(bordered).solve(right)[: len(self.vector)], float)

    @property
    def covariance_is_simulated(self) -> bool:
        """Whether `covariances` draws noise instead of inverting (too many unknowns)."""
        too_many = len(self.vector) > _EXACT_UNKNOWNS
        return too_many and not isinstance(self.matrix, np.ndarray)

    def covariances(self, seed: int) -> FloatArray:
        """Return the covariance of each exposure's phi in this gauge, shape ``(n, p, p)``.

        Parameters
        ----------
        seed : int
            Of the simulated noise, where the system is too large to invert.
        """
        bordered = self._bordered()
        if isinstance(bordered, np.ndarray):
            n = len(self.vector) // self.block
            inverse = np.linalg.inv(bordered)[: len(self.vector), : len(self.vector)]
            blocks = inverse.reshape(n, self.block, n, self.block)
            return np.asarray(blocks[np.arange(n), :, np.arange(n), :], float)
        factors = _factorised(bordered)
        if self.covariance_is_simulated:
            return self._simulated(factors, np.random.default_rng(seed))
        return self._inverted(factors)

    def _bordered(self) -> FloatArray | csc_matrix:
        if isinstance(self.matrix, np.ndarray):
            border = self.border.toarray()
            zero = np.zeros((len(border), len(border)))
            return np.block([[self.matrix, border.T], [border, zero]])
        if not self.border.shape[0]:
            return self.matrix
        return bmat([[self.matrix, self.border.T], [self.border, None]], format="csc")

    def _inverted(self, factors: SuperLU) -> FloatArray:
        """Diagonal blocks by solving for unit vectors, some exposures at a time."""
        p, n = self.block, len(self.vector) // self.block
        blocks = np.empty((n, p, p))
        for start in range(0, n, 16):
            stop = min(start + 16, n)
            units = np.zeros((factors.shape[0], (stop - start) * p))
            units[np.arange(start * p, stop * p), np.arange((stop - start) * p)] = 1.0
            columns = factors.solve(units)[start * p : stop * p]
            part = columns.reshape(stop - start, p, stop - start, p)
            blocks[start:stop] = part[np.arange(stop - start), :, np.arange(stop - start), :]
        return 0.5 * (blocks + np.swapaxes(blocks, 1, 2))

    def _simulated(self, factors: SuperLU, generator: np.random.Generator) -> FloatArray:
        """Sample covariance of solutions for unit noise on the rows, whose mean is zero.

        ``A^T (1 - T^T T) z`` with unit normal z has covariance S: what noise does to the fit.
        """
        p, n = self.block, len(self.vector) // self.block
        total = np.zeros((n, p, p))
        for _ in range(_N_SIMULATIONS // 16):
            noise = generator.standard_normal((self.whitened.shape[0], 16))
            noise -= self.averaging.T @ (self.averaging @ noise)
            right = np.zeros((factors.shape[0], 16))
            right[: n * p] = self.whitened.T @ noise
            errors = factors.solve(right)[: n * p].reshape(n, p, 16)
            total += errors @ np.swapaxes(errors, 1, 2)
        return total / (_N_SIMULATIONS // 16 * 16)


def reduce_rows(
    rows: Rows, prior: tuple[FloatArray, FloatArray], border: tuple[csr_matrix, FloatArray]
) -> ReducedSystem:
    """Eliminate the source offsets and return the system for the corrections.

    Parameters
    ----------
    rows : Rows
    prior : tuple of array, shapes (n, p, p) and (n, p)
        Information on the whitened parameters from elsewhere, and it times their values.
    border : tuple of csr_matrix, shape (q, n p), and array, shape (q,)
        Constraints ``C phi = g``.
    """
    prior_information, prior_vector = prior
    n, p = prior_vector.shape
    lower = cholesky_2x2(rows.information)
    whitened = _whitened(rows, lower, (n, p))
    averaging = _averaging(rows, lower)
    white = apply_each(np.swapaxes(lower, 1, 2), rows.residual).ravel()
    white = white - averaging.T @ (averaging @ white)
    vector = whitened.T @ white + prior_vector.ravel()

    own = np.swapaxes(rows.design, 1, 2) @ rows.information @ rows.design
    moving = rows.column >= 0
    diagonal = sum_by(rows.column[moving], own[moving], n) + prior_information
    diagonal += _RIDGE * np.eye(p)
    matrix = _subtract_gram(_block_diagonal(diagonal), (averaging @ whitened).tocsr())
    return ReducedSystem(matrix, vector, *border, whitened, averaging, p)


def _whitened(rows: Rows, lower: FloatArray, shape: tuple[int, int]) -> csr_matrix:
    n, p = shape
    moving = rows.column >= 0
    values = (np.swapaxes(lower, 1, 2) @ rows.design)[moving]
    columns = rows.column[moving, None, None] * p + np.arange(p)
    columns = np.broadcast_to(columns, values.shape)
    lengths = np.repeat(np.where(moving, p, 0), 2)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return csr_matrix((values.ravel(), columns.ravel(), starts), shape=(len(lengths), n * p))


def _averaging(rows: Rows, lower: FloatArray) -> csr_matrix:
    total = sum_by(rows.key, rows.information, rows.n_keys)
    root = cholesky_2x2(inverse_2x2(total))
    values = np.swapaxes(root, 1, 2)[rows.key] @ lower
    # By columns: measurement (row, axis) feeds the two components of its key.
    by_column = np.swapaxes(values, 1, 2).ravel()
    into = np.repeat(rows.key * 2, 4) + np.tile([0, 1, 0, 1], len(rows.key))
    starts = np.arange(2 * len(rows.key) + 1) * 2
    shape = (2 * rows.n_keys, 2 * len(rows.key))
    return csc_matrix((by_column, into, starts), shape=shape).tocsr()


def _block_diagonal(blocks: FloatArray) -> csc_matrix:
    n, p, _ = blocks.shape
    columns = (np.arange(n)[:, None, None] * p + np.arange(p)) + np.zeros((1, p, 1), np.int64)
    starts = np.arange(n * p + 1) * p
    return csr_matrix((blocks.ravel(), columns.ravel(), starts), (n * p, n * p)).tocsc()


def _subtract_gram(diagonal: csc_matrix, factor: csr_matrix) -> FloatArray | csc_matrix:
    """``diagonal - factor^T factor``, dense or sparse, whichever the sizes suggest."""
    n = diagonal.shape[0]
    filled = np.diff(factor.indptr).astype(float)
    sparse_seconds = _SPARSE_COST * float((filled**2).sum())
    dense_seconds = _DENSE_COST * factor.shape[0] * float(n) ** 2
    if n <= _FILLED_UNKNOWNS and dense_seconds < sparse_seconds:
        dense = diagonal.toarray()
        for start in range(0, factor.shape[0], 1024):
            part = factor[start : start + 1024].toarray()
            dense -= part.T @ part
        return np.asarray(dense, float)
    matrix = (diagonal - factor.T @ factor).tocsc()
    is_full = n <= _FILLED_UNKNOWNS and matrix.nnz > 0.2 * n * n
    return np.asarray(matrix.toarray(), float) if n <= _DENSE_UNKNOWNS or is_full else matrix


def _factorised(matrix: csc_matrix) -> SuperLU:
    """LU of a symmetric matrix; pivots stay on the diagonal unless they are tiny."""
    return splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=1e-3,
        options={"SymmetricMode": True},
    )
