"""Measurements in a joint fit, ready for the elimination of their sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.solve.row_loops import times_matrix
from alignsvc.numerics.solve.selection import Stack
from alignsvc.numerics.solve.sums import Some, SumBy, apply_each, inverse_2x2, parts_of


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Measurements in the fit, in the order of the stack.

    Parameters
    ----------
    stacked : Stack
    index : int32, shape (m,)
        Which rows of it; rising.
    key : int32, shape (m,)
        Index of the row's source (one key per component that sees it).
    column_of : int64, shape (n_exposures,)
        Index of each exposure among those that can move; -1 for a fixed one.
    to_parameters : array, shape (n, 6, p)
        From the whitened parameters of those that can move to the six `PARAMETERS`.
    """

    stacked: Stack
    index: NDArray[np.int32]
    key: NDArray[np.int32]
    column_of: IntArray
    to_parameters: FloatArray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def n_keys(self) -> int:
        """Number of source offsets."""
        return int(self.key.max(initial=-1)) + 1

    @property
    def residual(self) -> FloatArray:
        """Residuals, shape (m, 2)."""
        return self.stacked.residual[self.index]

    def column(self, some: Some) -> IntArray:
        """Return the index of some rows' exposures among those that can move; -1: fixed."""
        return self.column_of[self.stacked.exposure[self.index[some]]]

    def information(self, some: Some) -> FloatArray:
        """Return the information of some rows, shape ``(k, 2, 2)``, positive definite."""
        return self.stacked.information(self.index[some])

    def design(self, some: Some) -> FloatArray:
        """Return ``B W`` of some rows, rising, shape ``(k, 2, p)``; 0 for fixed exposures."""
        jacobian = self.stacked.jacobian(self.index[some])
        return times_matrix(jacobian, self.to_parameters, self.column(some))

    def total_information(self) -> FloatArray:
        """Return the sum of each source's information, shape ``(n_keys, 2, 2)``."""
        sums = SumBy(self.n_keys, (2, 2))
        for some in parts_of(len(self)):
            sums.add(self.key[some], self.information(some))
        return sums.total

    def offsets(self, phi: FloatArray) -> FloatArray:
        """Return the source offsets c, shape ``(n_keys, 2)``, at corrections `phi` (n, p)."""
        return self.offsets_of(self.residual - self.moves(phi))

    def offsets_of(self, left: FloatArray) -> FloatArray:
        """Return the weighted mean of each source's rows of `left` (m, 2)."""
        pulls = SumBy(self.n_keys, (2,))
        for some in parts_of(len(self)):
            pulls.add(self.key[some], apply_each(self.information(some), left[some]))
        return apply_each(inverse_2x2(self.total_information()), pulls.total)

    def moves(self, phi: FloatArray) -> FloatArray:
        """Return ``B theta`` of each row, shape ``(m, 2)``."""
        moves = np.zeros((len(self), 2))
        if not len(phi):
            return moves
        steps = apply_each(self.to_parameters, phi)
        for some in parts_of(len(self)):
            column = self.column(some)
            moves[some] = apply_each(self.stacked.jacobian(self.index[some]), steps[column])
            moves[some][column < 0] = 0.0
        return moves
