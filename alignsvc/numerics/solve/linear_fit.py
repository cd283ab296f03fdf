"""The linear fit of one exposure by itself: weighted, clipped, with covariance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, read_only
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.errors import NothingToMeasure
from alignsvc.numerics.solve.clipping import Clipping, normalised_lengths
from alignsvc.numerics.solve.conditioning import degenerate, whitening
from alignsvc.numerics.solve.factors import step_jacobian
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
        Rows in the fit.
    residual : array, shape (n, 2)
        What is left of every row, used or not; arcsec, or the unit of the positions given.
    rmse, mae : float
        Weighted rms and mean length of the residuals used, in the unit of the residual.
    chi2 : float
    dof : int
        Numbers measured minus numbers fitted.
    """

    step: FloatArray
    covariance: FloatArray
    used: BoolArray
    residual: FloatArray
    rmse: float
    mae: float
    chi2: float
    dof: int

    @property
    def n_used(self) -> int:
        """Number of rows in the fit."""
        return int(self.used.sum())


@dataclass(frozen=True, slots=True)
class LinearFitter:
    """Fit a linear map to displacements by weighted least squares with clipping.

    Parameters
    ----------
    geometry : Geometry
    clipping : Clipping
        Each pass judges all rows anew, so that one that was rejected may come back.
    """

    geometry: Geometry = Geometry.GENERAL
    clipping: Clipping = field(default_factory=Clipping)

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
        used = np.array(factors.use)
        free, covariance = self._solve(factors, design, used)
        for iteration in range(self.clipping.iterations):
            kept = self._keep(factors, design, (free, covariance, used), iteration)
            if (kept == used).all() and iteration > 0:
                break
            used = kept
            free, covariance = self._solve(factors, design, used)
        return self._result(factors, design, (free, covariance, used))

    def between(self, image: Points, reference: Points, weights: FloatArray) -> LinearFit:
        """Return the fit of ``reference = M image + shift`` to plain positions.

        The rotation of `rshift` is fitted to first order: meant for small angles.

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
        return self(
            Factors(
                exposure=0,
                source=np.arange(n),
                residual=residual,
                jacobian=step_jacobian(image, plane, plane),
                information=np.asarray(weights, float)[:, None, None] * np.eye(2),
                weight_share=np.zeros(n),
                use=np.asarray(weights) > 0,
            )
        )

    def _solve(
        self, factors: Factors, design: FloatArray, used: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Free parameters and their covariance, from the rows used."""
        found = len(np.unique(factors.source[used]))
        if found < self.geometry.min_sources:
            raise NothingToMeasure(
                SkipReason.TOO_FEW_SOURCES, too_few_message(found, self.geometry)
            )
        columns, information = design[used], factors.information[used]
        weighted = np.swapaxes(columns, 1, 2) @ information
        normal = (weighted @ columns).sum(axis=0)
        if degenerate(normal[None], self.geometry)[0]:
            raise NothingToMeasure(SkipReason.DEGENERATE_FIT, degenerate_message(self.geometry))
        white = whitening(normal[None])[0]
        covariance = white @ white.T
        vector = apply_each(weighted, factors.residual[used]).sum(axis=0)
        return covariance @ vector, covariance

    def _keep(
        self,
        factors: Factors,
        design: FloatArray,
        solved: tuple[FloatArray, FloatArray, BoolArray],
        iteration: int,
    ) -> BoolArray:
        free, covariance, used = solved
        rows = np.flatnonzero(factors.use)
        left = factors.residual[rows] - design[rows] @ free
        # Of a row in the fit the fit has taken a part; of one outside it adds its own error.
        of_fit = design[rows] @ covariance @ np.swapaxes(design[rows], 1, 2)
        sign = np.where(used[rows], -1.0, 1.0)[:, None, None]
        of_residual = inverse_2x2(factors.information[rows]) + sign * of_fit
        kept = np.zeros_like(used)
        kept[rows] = self.clipping.keeps(normalised_lengths(left, of_residual), iteration)
        return kept

    def _result(
        self,
        factors: Factors,
        design: FloatArray,
        solved: tuple[FloatArray, FloatArray, BoolArray],
    ) -> LinearFit:
        free, covariance, used = solved
        basis = self.geometry.basis
        residual = factors.residual - design @ free
        left, information = residual[used], factors.information[used]
        weight = np.trace(information, axis1=1, axis2=2)
        length = np.hypot(*left.T)
        return LinearFit(
            step=read_only(basis @ free),
            covariance=read_only(basis @ covariance @ basis.T),
            used=read_only(used),
            residual=read_only(residual),
            rmse=float(np.sqrt((weight * length**2).sum() / weight.sum())),
            mae=float((weight * length).sum() / weight.sum()),
            chi2=float(np.einsum("ni,nij,nj->", left, information, left)),
            dof=2 * len(left) - self.geometry.n_parameters,
        )
