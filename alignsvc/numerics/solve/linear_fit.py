"""The linear fit of one exposure by itself: weighted, clipped, with covariance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, read_only
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.errors import NothingToMeasure
from alignsvc.numerics.solve.clipping import (
    FEW_OUTLIERS,
    N_REWEIGHTED,
    Clipping,
    normalised_lengths,
)
from alignsvc.numerics.solve.conditioning import degenerate, whitening
from alignsvc.numerics.solve.error_floor import N_FLOORS, ErrorFloor, FitRows, with_floor
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.inflation import inflation
from alignsvc.numerics.solve.selection import degenerate_message, too_few_message
from alignsvc.numerics.solve.sums import apply_each, inverse_2x2
from alignsvc.reasons import SkipReason


@dataclass(frozen=True, slots=True, eq=False)
class LinearFit:
    """A step of one exposure.

    Parameters
    ----------
    step : array, shape (6,)
        Changes of the six `PARAMETERS`: add them to the identity's for a correction.
    covariance : array, shape (6, 6)
        As the information of the rows has it; 0 for what was not fitted. Where the weights are
        only relative, multiply by ``chi2 / dof``.
    used : bool array, shape (n,)
        Rows in the fit, trusted wholly or in part.
    residual : array, shape (n, 2)
        What is left of every row, used or not; arcsec, or the unit of the positions given.
    rmse, mae : float
        Weighted rms and mean length of the residuals used, in the unit of the residual.
    chi2 : float
    dof : int
        Numbers measured minus numbers fitted.
    floor : float
        Error per axis that the rows turned out to have on top of their formal one.
    """

    step: FloatArray
    covariance: FloatArray
    used: BoolArray
    residual: FloatArray
    rmse: float
    mae: float
    chi2: float
    dof: int
    floor: float

    @property
    def n_used(self) -> int:
        """Number of rows in the fit."""
        return int(self.used.sum())

    @property
    def inflation(self) -> float:
        """By which variances are larger than the factors' errors have them; at least 1."""
        return inflation(self.chi2, self.dof)


@dataclass(frozen=True, slots=True)
class LinearFitter:
    """Fit a linear map to displacements by weighted least squares with clipping.

    Parameters
    ----------
    geometry : Geometry
    clipping : Clipping
        Each iteration judges all rows anew, so that one that was rejected may come back.
    error_floor : ErrorFloor or None
        None: the factors' errors are taken at their word.
    """

    geometry: Geometry = Geometry.GENERAL
    clipping: Clipping = field(default_factory=Clipping)
    error_floor: ErrorFloor | None = field(default_factory=ErrorFloor)

    def __call__(self, factors: Factors) -> LinearFit:
        """Return the step that takes up the residuals of one exposure.

        Parameters
        ----------
        factors : Factors
            From `FactorBuilder.to_others`: ``residual = jacobian @ step + noise``.

        Raises
        ------
        NothingToMeasure
            TOO_FEW_SOURCES or DEGENERATE_FIT; put the exposure's name before the message.
        """
        design = factors.jacobian @ self.geometry.basis
        solved = self._solve_trusting(factors, design)
        formal, floor = factors, 0.0
        for _ in range(N_FLOORS):
            found = self._floor_of(formal, design, solved)
            if found == floor:
                break
            floor = found
            factors = replace(formal, information=with_floor(formal.information, floor))
            solved = self._solve_trusting(factors, design)
        for iteration in range(self.clipping.iterations):
            lengths = self._lengths(factors, design, solved)
            trust = _of_rows(factors, self.clipping.trust_within(lengths, iteration))
            if (trust == solved.trust).all():
                break
            solved = self._solve(factors, design, trust)
        return self._result(factors, design, solved, floor)

    def between(self, image: Points, reference: Points, weights: FloatArray) -> LinearFit:
        """Return the fit of ``reference = M image + shift`` to plain positions.

        The rotation of `rshift` is fitted to first order: meant for small angles. Weights are
        taken at their word, since they may be no errors: a floor would level them.

        Parameters
        ----------
        image, reference : Points, shape (n,)
            Any unit, the same for both; finite.
        weights : array, shape (n,)
            Inverse variances per axis; 0 leaves a row out. Ones if nothing is known.

        Raises
        ------
        NothingToMeasure
            TOO_FEW_SOURCES or DEGENERATE_FIT.
        """
        n = len(weights)
        plane = TangentPlane(0.0, 0.0)  # any: with one plane the columns are the positions
        residual = np.stack([reference.x - image.x, reference.y - image.y], axis=1)
        return replace(self, error_floor=None)(
            Factors(
                exposure=0,
                source=np.arange(n),
                residual=residual,
                jacobian=step_jacobian(image, plane, plane),
                information=np.asarray(weights, float)[:, None, None] * np.eye(2),
                weight_share=np.zeros(n),
                use=np.asarray(weights) > 0,
                held_out=np.zeros(n, bool),
            )
        )

    def _solve_trusting(self, factors: Factors, design: FloatArray) -> _Solved:
        """Solve, trust the outliers less, solve again, if there are many of them."""
        solved = self._solve(factors, design, factors.use.astype(float))
        outside = self.clipping.fraction_outside(self._lengths(factors, design, solved))
        if not self.clipping.iterations or outside <= FEW_OUTLIERS:
            return solved
        for _ in range(N_REWEIGHTED):
            lengths = self._lengths(factors, design, solved)
            trust = _of_rows(factors, self.clipping.trust_by_length(lengths))
            solved = self._solve(factors, design, trust)
        return solved

    def _floor_of(self, factors: Factors, design: FloatArray, solved: _Solved) -> float:
        if self.error_floor is None:
            return 0.0
        used = factors.use
        rows = FitRows(
            source=factors.source[used],
            exposure=np.zeros(int(used.sum()), np.int64),
            residual=factors.residual[used] - design[used] @ solved.free,
            design=design[used],
            information=factors.information[used],
        )
        return self.error_floor.of_one_exposure(rows)

    def _solve(self, factors: Factors, design: FloatArray, trust: FloatArray) -> _Solved:
        used = trust > 0
        found = len(np.unique(factors.source[used]))
        if found < self.geometry.min_sources:
            raise NothingToMeasure(
                SkipReason.TOO_FEW_SOURCES, too_few_message(found, self.geometry)
            )
        columns = design[used]
        weighted = np.swapaxes(columns, 1, 2) @ (trust[:, None, None] * factors.information)[used]
        normal = (weighted @ columns).sum(axis=0)
        if degenerate(normal[None], self.geometry)[0]:
            raise NothingToMeasure(SkipReason.DEGENERATE_FIT, degenerate_message(self.geometry))
        white = whitening(normal[None])[0]
        covariance = white @ white.T
        vector = apply_each(weighted, factors.residual[used]).sum(axis=0)
        return _Solved(covariance @ vector, covariance, trust)

    def _lengths(self, factors: Factors, design: FloatArray, solved: _Solved) -> FloatArray:
        """Return the normalised lengths of what the fit leaves of the rows that may be used."""
        rows = factors.use
        left = factors.residual[rows] - design[rows] @ solved.free
        # A row that counts t in the fit shares t times the fit's variance with it: the variance
        # of what is left is own + fit - 2 t fit.
        of_fit = design[rows] @ solved.covariance @ np.swapaxes(design[rows], 1, 2)
        shared = (1.0 - 2.0 * solved.trust[rows])[:, None, None]
        return normalised_lengths(left, inverse_2x2(factors.information[rows]) + shared * of_fit)

    def _result(
        self, factors: Factors, design: FloatArray, solved: _Solved, floor: float
    ) -> LinearFit:
        basis, used = self.geometry.basis, solved.trust > 0
        residual = factors.residual - design @ solved.free
        left = residual[used]
        information = (solved.trust[:, None, None] * factors.information)[used]
        weight = np.trace(information, axis1=1, axis2=2)
        length = np.hypot(*left.T)
        return LinearFit(
            step=read_only(basis @ solved.free),
            covariance=read_only(basis @ solved.covariance @ basis.T),
            used=read_only(used),
            residual=read_only(residual),
            rmse=float(np.sqrt((weight * length**2).sum() / weight.sum())),
            mae=float((weight * length).sum() / weight.sum()),
            chi2=float(np.einsum("ni,nij,nj->", left, information, left)),
            dof=2 * len(left) - self.geometry.n_parameters,
            floor=floor,
        )


def _of_rows(factors: Factors, trust: FloatArray) -> FloatArray:
    """Return the trust of all rows: 0 for those that may not be used."""
    of_all = np.zeros(len(factors))
    of_all[factors.use] = trust
    return of_all


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """Free parameters, their covariance, and how far each row was trusted."""

    free: FloatArray
    covariance: FloatArray
    trust: FloatArray
