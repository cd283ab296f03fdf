"""What errors that measurements have in common add to the errors of corrections.

The solve takes the errors of its rows ``r = B theta_i + c_s + noise`` to be independent. Some are
not: where the profile of a chip is lopsided by a little too much, all of its places are off, each
by as much as its own pixels make of that; and what a place *is*, is a convention that all exposures
have in common. Such an error is ``r -> r + G z``, with a few numbers z of unit variance and columns
G that the rows bring along (`Factors.profile_error`, `Factors.convention_error`). No number of
sources averages it out, and an exposure's own residuals do not show it: its correction takes it up
as if it were true, so that weights that know of it would hardly find other corrections. They are
left as they are ("consider" parameters, Schmidt 1966, Advances in Control Systems 3), and the
covariance of what they give is

    C + K G G^T K^T,

with K the response of the solution to its rows (`ReducedSystem`): exact, whatever the weights are.
A convention is one number for all exposures: what it does to all alike goes into the sources'
offsets and the gauge, and adds nothing, which K knows. What chips' own offsets would take up, where
they are solved for, is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix, hstack

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.correction import N_PARAMETERS
from alignsvc.domain.made_when_asked import column_of
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.joint_problem import Solved
from alignsvc.numerics.solve.sums import cholesky_2x2

#: Up to so many numbers z each is looked at; of more, so many random combinations, which give
#: standard deviations to 3.5 %.
_MOST_NUMBERS = 400


def common_covariances(factors: Sequence[Factors], solved: Solved, seed: int) -> FloatArray:
    """Return what to add to the covariances of the movers' six `PARAMETERS`, (n, 6, 6).

    Parameters
    ----------
    factors : sequence of Factors
        All that the solution is from, in order; a catalogue that comes after them has no such
        errors.
    solved : Solved
    seed : int
        Of the random combinations, where there are too many numbers.
    """
    n = len(solved.movers)
    errors = _white_errors(factors, solved)
    if not errors.shape[1] or not n:
        return np.zeros((n, N_PARAMETERS, N_PARAMETERS))
    if errors.shape[1] > _MOST_NUMBERS:
        shape = (errors.shape[1], _MOST_NUMBERS)
        draws = np.random.default_rng(seed).standard_normal(shape) / np.sqrt(_MOST_NUMBERS)
    else:
        draws = np.eye(errors.shape[1])
    # One at a time: a column has a number for each measurement.
    pulls = [solved.system.pull((errors @ one).reshape(-1, 2)) for one in draws.T]
    response = solved.system.response(np.stack(pulls, axis=1)).reshape(n, -1, len(pulls))
    moved = solved.to_parameters @ response
    return np.asarray(moved @ np.swapaxes(moved, 1, 2), float)


def _white_errors(factors: Sequence[Factors], solved: Solved) -> csr_matrix:
    """Return ``L^T G`` of the rows in the fit, a column for each number; (2 m, q).

    The columns of conventions come last.
    """
    own, common = _Columns(), _Columns()
    starts = solved.rows.stacked.start
    # One search for all, in the type of what is searched: else it is copied each time.
    within = np.searchsorted(solved.index, starts.astype(solved.index.dtype)).tolist()
    for i, start in enumerate(starts[: len(factors)].tolist()):
        names = ("profile_error", "convention_error")
        if any(column_of(factors, i, name).shape[2] for name in names):
            one, at = factors[i], np.arange(within[i], within[i + 1])
            lower = np.swapaxes(cholesky_2x2(solved.rows.information(at)), 1, 2)
            rows = solved.index[at] - start
            for chip in np.unique(one.chip[rows]):
                some = one.chip[rows] == chip
                own.add(lower[some] @ one.profile_error[rows[some]], at[some], own.n)
            common.add(lower @ one.convention_error[rows], at, 0)
    n_rows = 2 * len(solved.index)
    return hstack([own.matrix(n_rows), common.matrix(n_rows)], format="csr")


class _Columns:
    """Columns of a sparse matrix, gathered some rows at a time."""

    def __init__(self) -> None:
        self.n = 0
        self._parts: list[tuple[FloatArray, IntArray, IntArray]] = []

    def add(self, values: FloatArray, at: IntArray, first: int) -> None:
        """Add values (k, 2, q) of the measurements `at`, in columns from `first` on."""
        if not values.any():
            return
        row = np.repeat((2 * at[:, None] + np.arange(2)).ravel(), values.shape[2])
        column = np.tile(first + np.arange(values.shape[2]), 2 * len(at))
        self._parts.append((values.ravel(), row, column))
        self.n = max(self.n, first + values.shape[2])

    def matrix(self, n_rows: int) -> csr_matrix:
        """Return them; no columns if there is none."""
        if not self._parts:
            return csr_matrix((n_rows, 0))
        values, row, column = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        return csr_matrix((values, (row, column)), (n_rows, self.n))
