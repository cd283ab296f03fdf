"""The joint problem itself: choose measurements, solve, trust or reject them, solve again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, vstack

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.numerics.solve.clipping import (
    FEW_OUTLIERS,
    N_REWEIGHTED,
    Clipping,
    lengths_from_mean,
    lengths_from_median,
)
from alignsvc.numerics.solve.conditioning import whitening
from alignsvc.numerics.solve.constraints import Component
from alignsvc.numerics.solve.error_floor import N_FLOORS, ErrorFloor, FitRows
from alignsvc.numerics.solve.gauge import Footprint
from alignsvc.numerics.solve.priors import ShapePrior
from alignsvc.numerics.solve.reduced import ReducedSystem, reduce_rows
from alignsvc.numerics.solve.row_matrices import Known
from alignsvc.numerics.solve.rows import Rows
from alignsvc.numerics.solve.selection import (
    NotSolved,
    Selection,
    Stack,
    degenerate_message,
    own_information,
    select,
    shared_by,
)
from alignsvc.numerics.solve.shared_prior import Departures
from alignsvc.numerics.solve.steps import departure_after
from alignsvc.numerics.solve.sums import (
    AnyIntArray,
    Computed,
    SumBy,
    apply_each,
    numbered,
    parts_of,
)
from alignsvc.reasons import SkipReason

#: Largest variance of a correction, in units of what its exposure's sources would give against
#: a perfect mosaic. A chain of a hundred thin overlaps reaches 1e4; rounding starts at 1e12.
_LOOSEST = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """A solution for one choice of measurements.

    Parameters
    ----------
    selection : Selection
    rows : Rows
        In the fit.
    trust : array
        Of every row of the stack, 0 to 1.
    movers : int64, shape (n,)
        Exposures that move, in order.
    whitening : array, shape (n, p, p)
        From phi to the free parameters.
    to_parameters : array, shape (n, 6, p)
        From phi to the six `PARAMETERS`; 0 where an exposure is not free.
    system : ReducedSystem
    phi : array, shape (n, p)
        The solution.
    floor : float
        Error in every row on top of its formal one, per axis, unit of the residuals.
    """

    selection: Selection
    rows: Rows
    trust: FloatArray
    movers: IntArray
    whitening: FloatArray
    to_parameters: FloatArray
    system: ReducedSystem
    phi: FloatArray
    floor: float

    @property
    def index(self) -> AnyIntArray:
        """Rows of the stack that are in the fit, shape (m,)."""
        return self.rows.index

    def covariances(self, of_phi: FloatArray) -> FloatArray:
        """Return covariances of phi as those of the six `PARAMETERS`, shape (n, 6, 6)."""
        back = np.swapaxes(self.to_parameters, 1, 2)
        return np.asarray(self.to_parameters @ of_phi @ back, float)

    def gain(self) -> FloatArray:
        """Return by how much the steps change each mover's residuals, sum of squares, shape (n,).

        In units of the errors. The sum over all is the decrease of chi2 that the solution
        promises.
        """
        moves, rows = self.rows.moves(self.phi), self.rows
        offsets = rows.offsets_of(0.0 - moves)
        sums = SumBy(len(self.phi), ())
        for some in parts_of(len(rows)):
            change = moves[some] + offsets[rows.key[some]]
            squared = np.einsum("ni,nij,nj->n", change, rows.information(some), change)
            sums.add(rows.column(some), squared)
        return sums.total


@dataclass(frozen=True, slots=True, eq=False)
class JointProblem:
    """All that stays the same while measurements and exposures are taken out.

    Parameters
    ----------
    stacked : Stack
        All factors. A catalogue, if any, is the last exposure; it has no footprint.
    usable : bool, shape (m,)
        Measurements that may be used.
    footprints : tuple of Footprint
    immovable : bool, shape (n,)
        Exposures (and catalogue) whose correction stays as it is.
    prior : ShapePrior
        On the total correction of each exposure.
    clipping : Clipping
    error_floor : ErrorFloor or None
        None: the formal errors are taken at their word.
    """

    stacked: Stack
    usable: BoolArray
    footprints: tuple[Footprint, ...]
    immovable: BoolArray
    prior: ShapePrior
    clipping: Clipping
    error_floor: ErrorFloor | None = None

    def solve_clipped(self, excluded: Sequence[NotSolved]) -> Solved:
        """Solve, estimate the error floor, solve again; then reject, solve again."""
        problem = self
        solved = self._solve_trusting(excluded)
        for _ in range(N_FLOORS):
            floor = self._floor_of(solved)
            if floor == problem.stacked.floor:
                break
            problem = replace(self, stacked=replace(self.stacked, floor=floor))
            left_out = solved.selection.not_solved
            del solved  # takes as much memory as the next one
            solved = problem._solve_trusting(left_out)
        for iteration in range(self.clipping.iterations):
            trust = problem.trust_within(solved, iteration)
            if (trust == solved.trust).all():
                break
            # Whoever is out stays out: its rejected sources would come back with it.
            left_out = solved.selection.not_solved
            del solved
            solved = problem.solve(trust, left_out)
        return solved

    def solve_as(self, solved: Solved) -> Solved:
        """Solve with the trust and the floor of a solution, whatever else has changed."""
        problem = replace(self, stacked=replace(self.stacked, floor=solved.floor))
        return problem.solve(solved.trust, solved.selection.not_solved)

    def _solve_trusting(self, excluded: Sequence[NotSolved]) -> Solved:
        """Solve, trust the outliers less, solve again.

        Plain least squares bends so far towards many outliers (cosmic rays in a fifth of the
        cutouts) that nothing stands out any more: rejection then starts in the wrong place.
        """
        solved = self.solve(self.usable.astype(float), excluded)
        for _ in range(N_REWEIGHTED if self._is_bent(solved) else 0):
            trust, left_out = self.trust_by_length(solved), solved.selection.not_solved
            del solved
            solved = self.solve(trust, left_out)
        return solved

    def _floor_of(self, solved: Solved) -> float:
        if self.error_floor is None:
            return 0.0
        pair, index = self._shared(solved)
        exposure = self.stacked.exposure[index]
        moves = ~self.immovable[exposure]
        rows = FitRows(
            source=pair,
            exposure=numbered(exposure).astype(np.int32),
            residual=self._left(solved, index),
            design=Computed(
                lambda some: self.stacked.design(index[some]) * moves[some, None, None], len(index)
            ),
            information=self._informations(index),
        )
        return self.error_floor(rows)

    def prior_information(self, prior: ShapePrior) -> FloatArray:
        """Return the information of a prior on the six `PARAMETERS`, shape ``(n, 6, 6)``."""
        each = {geometry: prior.information(geometry) for geometry in Geometry}
        return np.array([each[geometry] for geometry in self.stacked.geometries])

    def departures(self, solved: Solved, covariance: FloatArray, widest: ShapePrior) -> Departures:
        """Return the totals of a solution's movers.

        Parameters
        ----------
        solved : Solved
        covariance : array, shape (n, p, p)
            Of its phi.
        widest : ShapePrior
            Stands in for the others in the exposures' own covariances.
        """
        movers, stacked = solved.movers, self.stacked
        steps = apply_each(solved.to_parameters, solved.phi)
        before = [self.footprints[i].departure for i in movers]
        value = [departure_after(was, step) for was, step in zip(before, steps, strict=True)]
        basis = stacked.basis
        wide = np.swapaxes(basis, 1, 2) @ self.prior_information(widest) @ basis + stacked.pinned
        own = own_information(stacked, solved.trust > 0) + wide
        alone = basis[movers] @ whitening(own[movers])
        return Departures(
            value=np.array(value).reshape(-1, N_PARAMETERS),
            covariance=solved.covariances(covariance),
            common=self._common(solved),
            own_covariance=alone @ np.swapaxes(alone, 1, 2),
            geometries=tuple(stacked.geometries[i] for i in movers),
            floor_share=self._floor_share(solved),
        )

    def _floor_share(self, solved: Solved) -> float:
        """Return which part of the variance is the floor's, each row counting as in the fit."""
        formal = np.trace(self.stacked.information(solved.index), axis1=1, axis2=2)
        whole = np.trace(solved.rows.information(slice(None)), axis1=1, axis2=2)
        trust = solved.trust[solved.index]
        return 1.0 - float((whole**2 / (trust * formal)).sum() / whole.sum()) if len(whole) else 0.0

    def _common(self, solved: Solved) -> FloatArray:
        """Return what the prior says of the motion common to each mover's component."""
        common = np.zeros((len(solved.movers), N_PARAMETERS, N_PARAMETERS))
        for members in self._held_by_mean(solved.selection, solved.movers):
            common[members] = self._component(solved.movers[members]).of_prior()
        return common

    def solve(self, trust: FloatArray, excluded: Sequence[NotSolved]) -> Solved:
        """Solve with each measurement's information times its trust; 0 leaves it out."""
        basis, pinned = self.stacked.basis, self.stacked.pinned
        stacked = replace(self.stacked, trust=trust)
        prior = self.prior_information(self.prior)
        known = np.swapaxes(basis, 1, 2) @ prior @ basis + pinned
        selection = select(stacked, trust > 0, known, self.immovable, excluded)
        movers = np.flatnonzero((selection.label >= 0) & ~self.immovable)
        white = whitening((selection.own + known)[movers])
        departures = np.array([self.footprints[i].departure for i in movers])
        pull = -apply_each(prior[movers], departures.reshape(-1, N_PARAMETERS))
        to_parameters, back = basis[movers] @ white, np.swapaxes(white, 1, 2)
        rows = _rows_of(stacked, selection, movers, to_parameters)
        vector = apply_each(np.swapaxes(to_parameters, 1, 2), pull)
        border = self._border(selection, movers, to_parameters)
        places = np.array([self.footprints[i].position.mean(axis=0) for i in movers])
        system = reduce_rows(
            rows, Known(back @ known[movers] @ white, vector), border, places.reshape(-1, 2)
        )
        return Solved(
            selection=selection,
            rows=rows,
            trust=trust,
            movers=movers,
            whitening=white,
            to_parameters=to_parameters,
            system=system,
            phi=system.solve(),
            floor=self.stacked.floor,
        )

    def _border(
        self, selection: Selection, movers: IntArray, to_parameters: FloatArray
    ) -> tuple[csr_matrix, FloatArray]:
        """Constraints: each component that nothing else holds is held by its mean."""
        p = to_parameters.shape[2]
        blocks = [csr_matrix((0, len(movers) * p))]
        values = [np.zeros(0)]
        for members in self._held_by_mean(selection, movers):
            held = self._component(movers[members]).constraints(to_parameters[members])
            n_rows = len(held.rows)
            columns = np.tile((members[:, None] * p + np.arange(p)).ravel(), n_rows)
            starts = np.arange(n_rows + 1) * len(members) * p
            shape = (n_rows, len(movers) * p)
            blocks.append(csr_matrix((held.rows.ravel(), columns, starts), shape))
            values.append(held.value)
        return vstack(blocks, format="csr"), np.concatenate(values)

    def _component(self, exposures: IntArray) -> Component:
        return Component([self.footprints[i] for i in exposures], self.prior)

    def _held_by_mean(self, selection: Selection, movers: IntArray) -> list[IntArray]:
        """Indices into `movers` of each component that nothing else holds."""
        label = selection.label[movers]
        held = set(selection.label[self.immovable & (selection.label >= 0)].tolist())
        free = [c for c in np.unique(label).tolist() if c not in held]
        return [np.flatnonzero(label == c) for c in free]

    def trust_within(self, solved: Solved, iteration: int) -> FloatArray:
        """Return how far to trust each measurement, 0 outside the threshold; judged anew.

        First against the weighted median of each source, which one bad exposure cannot move,
        then against the weighted mean of those left. Of two that disagree neither is known to
        be right: both have the same normalised length, and both go.
        """
        pair, index = self._shared(solved)
        near = self.clipping.trust_within(self._lengths(solved, pair, index), 0)
        left, information = self._left(solved, index), self._informations(index)
        lengths = lengths_from_mean(pair, left, information, near)
        trust = self._unsolved(solved).astype(float)
        trust[index] = near * self.clipping.trust_within(lengths, iteration)
        return trust

    def trust_by_length(self, solved: Solved) -> FloatArray:
        """Return how far to trust each measurement, from 1 down to nearly 0 far out."""
        pair, index = self._shared(solved)
        trust = self._unsolved(solved).astype(float)
        trust[index] = self.clipping.trust_by_length(self._lengths(solved, pair, index))
        return trust

    def _is_bent(self, solved: Solved) -> bool:
        """Whether there is more to reject than the tails of a good fit: saves four solutions."""
        if not self.clipping.iterations:
            return False
        lengths = self._lengths(solved, *self._shared(solved))
        return self.clipping.fraction_outside(lengths) > FEW_OUTLIERS

    def _lengths(self, solved: Solved, pair: AnyIntArray, index: AnyIntArray) -> FloatArray:
        return lengths_from_median(pair, self._left(solved, index), self._informations(index))

    def _informations(self, index: AnyIntArray) -> Computed:
        return Computed(lambda some: self.stacked.information(index[some]), len(index))

    def _unsolved(self, solved: Solved) -> BoolArray:
        """Usable rows of exposures that are not solved."""
        return self.usable & (solved.selection.label < 0)[self.stacked.exposure]

    def _shared(self, solved: Solved) -> tuple[AnyIntArray, AnyIntArray]:
        """Index of the source, and of the row, of usable rows whose source others see."""
        stacked, label = self.stacked, solved.selection.label
        pair, index = stacked.pairs(label, self.usable & (label >= 0)[stacked.exposure])
        several = shared_by(stacked, pair, index)[pair] > 1
        return numbered(pair[several]).astype(np.int32), index[several].astype(np.int32)

    def _left(self, solved: Solved, index: AnyIntArray) -> FloatArray:
        """What the corrections leave of rows `index`."""
        steps = np.zeros((self.stacked.n_exposures, N_PARAMETERS))
        steps[solved.movers] = apply_each(solved.to_parameters, solved.phi)
        left = self.stacked.residual[index]
        for part in parts_of(len(index)):
            some = index[part]
            own = self.stacked.exposure[some]
            left[part] -= apply_each(self.stacked.jacobian(some), steps[own])
        return left

    def too_loose(self, solved: Solved, covariance: FloatArray) -> tuple[NotSolved, ...]:
        """Return the exposures that the measurements do not tie down."""
        if not len(covariance):
            return ()
        loosest = np.trace(covariance, axis1=1, axis2=2)
        return tuple(
            NotSolved(
                int(i),
                SkipReason.DEGENERATE_FIT,
                degenerate_message(self.stacked.geometries[i]),
            )
            for i in solved.movers[~(loosest < _LOOSEST)]
        )


def _rows_of(
    stacked: Stack, selection: Selection, movers: IntArray, to_parameters: FloatArray
) -> Rows:
    """Rows of the elimination."""
    key, index = stacked.pairs(selection.label, selection.rows)
    column_of = np.full(stacked.n_exposures, -1, np.int64)
    column_of[movers] = np.arange(len(movers))
    return Rows(stacked, index.astype(np.int32), key.astype(np.int32), column_of, to_parameters)
