"""The global solve: all corrections at once, with one unknown offset per source.

``r_is = B_is theta_i + c_s + noise_i``: the offset of source s in exposure i from the mosaic of
all is the correction that the exposure lacks, plus the offset of the mosaic itself. Stepping
towards the mean of the others is a Jacobi iteration of this system, which needs as many passes
as the mosaic is wide, or never ends; this solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.error_floor import ErrorFloor
from alignsvc.numerics.solve.gauge import FixedGauge, Footprint, Gauge, GaugeKind, MeanGauge
from alignsvc.numerics.solve.joint_problem import JointProblem, Solved
from alignsvc.numerics.solve.priors import CatalogOffsets, ShapePrior
from alignsvc.numerics.solve.selection import NotSolved, Selection, stack
from alignsvc.numerics.solve.sums import apply_each, sum_by


@dataclass(frozen=True, slots=True, eq=False)
class JointFit:
    """One step for every exposure.

    Parameters
    ----------
    steps : array, shape (n, 6)
        Changes of the six `PARAMETERS`, each in its exposure's own plane; 0 where not solved.
    covariances : array, shape (n, 6, 6)
        In the gauge of the fit; 0 for what was not fitted. As the factors' covariances have
        it: multiply by ``max(1, chi2 / dof)`` if they are not trusted.
    significance : array, shape (n,)
        How far the steps change an exposure's residuals, in units of their errors, root mean
        square over its free parameters: 1 is a step as large as noise alone makes. A motion
        that no source speaks against does not count. 0 where not solved.
    used : tuple of bool array
        Per exposure, a row each of its factors: True where it took part in the fit, wholly or
        in part.
    rmse_arcsec, mae_arcsec : array, shape (n,)
        Weighted rms and mean length of what is left, over the rows used; NaN where not solved.
    component : int64, shape (n,)
        Component of each exposure, by the sources really shared; -1 where not solved.
    gauges : tuple of GaugeKind
        What holds each component.
    n_used : int64, shape (n,)
        Rows used.
    chi2 : float
        Sum of squares of the normalised residuals of the rows used.
    dof : int
        Numbers measured minus numbers fitted.
    floor_arcsec : float
        Error per axis that the rows turned out to have on top of their formal one.
    not_solved : tuple of NotSolved
        Exposures that took no part, and why.
    covariance_is_simulated : bool
        True: the system was too large to invert; standard deviations are good to 3.5 %.
    """

    steps: FloatArray
    covariances: FloatArray
    significance: FloatArray
    used: tuple[BoolArray, ...]
    rmse_arcsec: FloatArray
    mae_arcsec: FloatArray
    component: IntArray
    gauges: tuple[GaugeKind, ...]
    n_used: IntArray
    chi2: float
    dof: int
    floor_arcsec: float
    not_solved: tuple[NotSolved, ...]
    covariance_is_simulated: bool


@dataclass(frozen=True, slots=True)
class JointFitter:
    """Solve for the corrections of all exposures of a component's plane at once.

    Parameters
    ----------
    geometry : Geometry
    clipping : Clipping
    gauge : MeanGauge or FixedGauge
    prior : ShapePrior
        On the total correction of every exposure.
    seed : int
        Of the noise that stands in for an inverse in very large systems.
    error_floor : ErrorFloor or None
        None: the factors' errors are taken at their word.
    """

    geometry: Geometry = Geometry.GENERAL
    clipping: Clipping = field(default_factory=Clipping)
    gauge: Gauge = field(default_factory=MeanGauge)
    prior: ShapePrior = field(default_factory=ShapePrior)
    seed: int = 0
    error_floor: ErrorFloor | None = field(default_factory=ErrorFloor)

    def __call__(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        catalog: CatalogOffsets | None = None,
    ) -> JointFit:
        """Return one step per exposure.

        Parameters
        ----------
        factors : sequence of Factors, length n
            From `FactorBuilder.to_mosaic`; one plane for all. Exposure i is ``factors[i]``.
        footprints : sequence of Footprint, length n
            With the total corrections so far: the gauge and the prior hold for the total.
        catalog : CatalogOffsets or None
            Acts as an exposure that cannot move: components that share enough sources with it
            need no gauge.

        Raises
        ------
        ValueError
            The two sequences differ in length, or are empty.
        """
        if len(factors) != len(footprints) or not factors:
            raise ValueError(
                f"joint fit: {len(factors)} factors and {len(footprints)} footprints; "
                "wanted: one each per exposure, at least one"
            )
        problem = self._problem(factors, footprints, catalog)
        excluded: tuple[NotSolved, ...] = ()
        while True:
            solved = problem.solve_clipped(excluded)
            covariance = solved.system.covariances(self.seed)
            loose = problem.too_loose(solved, covariance)
            if not loose:
                return _result(problem, solved, covariance, [len(f) for f in factors])
            excluded += loose

    def _problem(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        catalog: CatalogOffsets | None,
    ) -> JointProblem:
        everyone = list(factors)
        immovable = np.zeros(len(factors), bool)
        if isinstance(self.gauge, FixedGauge):
            immovable[list(self.gauge.exposures)] = True
        if catalog is not None:
            everyone.append(catalog.as_factors(len(factors)))
            immovable = np.append(immovable, True)
        usable = np.concatenate([f.use for f in everyone])
        return JointProblem(
            stacked=stack(everyone, self.geometry),
            usable=usable,
            footprints=tuple(footprints),
            immovable=immovable,
            prior=self.prior.information(self.geometry),
            clipping=self.clipping,
            error_floor=self.error_floor,
        )


def _result(
    problem: JointProblem, solved: Solved, covariance: FloatArray, lengths: Sequence[int]
) -> JointFit:
    """Return the public result; `lengths` are the numbers of factors per exposure."""
    n, stacked, basis = len(problem.footprints), problem.stacked, problem.stacked.geometry.basis
    to_parameters = basis @ solved.whitening
    steps = np.zeros((n, N_PARAMETERS))
    steps[solved.movers] = apply_each(to_parameters, solved.phi)
    covariances = np.zeros((n, N_PARAMETERS, N_PARAMETERS))
    covariances[solved.movers] = to_parameters @ covariance @ np.swapaxes(to_parameters, 1, 2)
    significance = np.zeros(n)
    significance[solved.movers] = np.sqrt(solved.gain() / stacked.geometry.n_parameters)
    used = np.zeros(len(problem.usable), bool)
    used[solved.index] = True
    rows = solved.rows
    left = rows.residual - rows.moves(solved.phi) - rows.offsets(solved.phi)[rows.key]
    chi2 = float(np.einsum("ni,nij,nj->", left, rows.information, left))
    exposure = stacked.exposure[solved.index]
    rmse, mae = _scatter(exposure, left, rows.information, stacked.n_exposures)
    fitted = 2 * rows.n_keys + solved.phi.size - solved.system.border.shape[0]
    return JointFit(
        steps=read_only(steps),
        covariances=read_only(covariances),
        significance=read_only(significance),
        used=tuple(np.split(read_only(used), np.cumsum(lengths))[:n]),
        rmse_arcsec=read_only(rmse[:n]),
        mae_arcsec=read_only(mae[:n]),
        component=read_only(solved.selection.label[:n]),
        gauges=_gauges(problem, solved.selection),
        n_used=read_only(np.bincount(exposure, minlength=stacked.n_exposures)[:n]),
        chi2=chi2,
        dof=2 * len(rows.key) - fitted,
        floor_arcsec=solved.floor,
        not_solved=solved.selection.not_solved,
        covariance_is_simulated=solved.system.covariance_is_simulated,
    )


def _gauges(problem: JointProblem, selection: Selection) -> tuple[GaugeKind, ...]:
    n = len(problem.footprints)
    # A catalogue that shares nothing is a component of its own, the last: not counted.
    n_components = int(selection.label[:n].max(initial=-1)) + 1
    kinds = [GaugeKind.MEAN] * n_components
    for i in np.flatnonzero(problem.immovable & (selection.label >= 0)):
        if selection.label[i] < n_components:
            kinds[selection.label[i]] = GaugeKind.FIXED if i < n else GaugeKind.CATALOG
    return tuple(kinds)


def _scatter(
    exposure: IntArray, left: FloatArray, information: FloatArray, n_exposures: int
) -> tuple[FloatArray, FloatArray]:
    """Weighted rms and mean length of residuals per exposure, NaN without rows."""
    weight = np.trace(information, axis1=1, axis2=2)
    squared = (left**2).sum(axis=1)
    total = sum_by(exposure, weight, n_exposures)
    with np.errstate(invalid="ignore"):
        rms = np.sqrt(sum_by(exposure, weight * squared, n_exposures) / total)
        mean = sum_by(exposure, weight * np.sqrt(squared), n_exposures) / total
    return rms, mean
