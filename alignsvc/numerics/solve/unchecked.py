"""What measurements that nothing else checks add to the errors of a correction.

Now and then a source lies off by several of its errors, in the wings of a bright neighbour, say.
Among many it stands out and is rejected. Where an exposure hangs on few, it bends the fit and
leaves no residual: geodesists call that reliability (Baarda 1968, Publications on Geodesy 2/5), and
the part of what is known at a source's place that is its own, its leverage h, tells of it, as it
leaves but 1 - h of its error in the residuals. How many sources lie off, those tell that others
check. (Two random scenes in 200 had an exposure of three or four such stars; with a free linear
map, h = 0.8, 0.75, 0.7 and 0.3, one was 0.3 px wrong, at six of its errors.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.correction import N_PARAMETERS
from alignsvc.numerics.solve.joint_problem import JointProblem, Solved
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.sums import SumBy, inverse_2x2, parts_of

#: Measurements trusted less are taken to be wrong.
_REJECTED = 0.5


@dataclass(frozen=True, slots=True)
class Unchecked:
    """By how much a measurement's variance grows in the errors of what hangs on it.

    Parameters
    ----------
    from_leverage, to_leverage : float
        What is off by seven of its errors leaves ``7 sqrt(1 - h)`` in the residuals, in units of
        their own errors: more than 5 up to h = 0.5, less than 3 from 0.8. In between it is found
        now and then.
    size : float
        Of what is taken to be wrong, in units of its errors.
    expected : tuple of float
        Wrong ones, and measurements among which they are, of other sets: what is counted in the
        set's own, those that others check, is added to it.
    """

    from_leverage: float = 0.5
    to_leverage: float = 0.8
    size: float = 7.0
    expected: tuple[float, float] = (1.0, 15.0)

    def __call__(self, problem: JointProblem, solved: Solved) -> FloatArray:
        """Return what to add to the covariances of the movers' six `PARAMETERS`, (n, 6, 6).

        Each row is compared with what the other exposures say of its source.
        """
        rows = _Rows.of(problem, solved)
        n, width = len(solved.movers), problem.stacked.basis.shape[2]
        basis = problem.stacked.basis[solved.movers]
        prior = problem.prior_information(problem.prior)[solved.movers]
        known = np.swapaxes(basis, 1, 2) @ prior @ basis + problem.stacked.pinned[solved.movers]
        normal, suspect = SumBy(n, (width, width)), SumBy(n, (width, width))
        for column, telling in rows.telling():
            normal.add(column, telling)
        whole = known + normal.total
        whole += 1e-12 * np.trace(whole, axis1=1, axis2=2)[:, None, None] * np.eye(width)
        inverse = np.linalg.inv(whole)
        rejected = _n_rejected(problem, solved)
        wrong = (rejected + self.expected[0]) / (len(rows.kept) + rejected + self.expected[1])
        for column, telling in rows.telling():
            leverage = 0.5 * np.einsum("npq,nqp->n", inverse[column], telling)
            way = (leverage - self.from_leverage) / (self.to_leverage - self.from_leverage)
            part = wrong * self.size**2 * np.clip(way, 0.0, 1.0)
            suspect.add(column, part[:, None, None] * telling)
        added = basis @ inverse @ suspect.total
        added = added @ inverse @ np.swapaxes(basis, 1, 2)
        return np.asarray(added.reshape(n, N_PARAMETERS, N_PARAMETERS), float)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Rows in the fit, against what the others say of their sources.

    Parameters
    ----------
    problem : JointProblem
    rows : Rows
    total : array, shape (n_keys, 2, 2)
        Information on each source.
    kept : int64, shape (n,)
        Rows of exposures that move, of sources that others see.
    """

    problem: JointProblem
    rows: Rows
    total: FloatArray
    kept: IntArray

    @classmethod
    def of(cls, problem: JointProblem, solved: Solved) -> _Rows:
        rows, total = solved.rows, solved.rows.total_information()
        kept = np.zeros(len(rows), bool)
        for some in parts_of(len(rows)):
            own = rows.information(some)
            # Rounding leaves 1e-16 of the whole where nobody else sees the source.
            others = np.linalg.det(total[rows.key[some]] - own)
            kept[some] = (others > 1e-12 * np.linalg.det(own)) & (rows.column(some) >= 0)
        return cls(problem, rows, total, np.flatnonzero(kept))

    def telling(self) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield the movers of some rows, and what each row says of its mover's parameters.

        With the inverse covariance of the row less its source's offset as the weight.
        """
        rows = self.rows
        for part in parts_of(len(self.kept)):
            some = self.kept[part]
            own = rows.information(some)
            others = self.total[rows.key[some]] - own
            weight = inverse_2x2(inverse_2x2(own) + inverse_2x2(others))
            design = self.problem.stacked.design(rows.index[some])
            yield rows.column(some), np.swapaxes(design, 1, 2) @ weight @ design


def _n_rejected(problem: JointProblem, solved: Solved) -> int:
    """Return how many measurements that others check were found wrong."""
    stacked, label = problem.stacked, solved.selection.label
    source, index = stacked.pairs(label, problem.usable & (label >= 0)[stacked.exposure])
    trust = solved.trust[index]
    others = np.bincount(source, trust)[source] - trust if len(source) else trust
    return int(np.count_nonzero((trust < _REJECTED) & (others > 0)))
