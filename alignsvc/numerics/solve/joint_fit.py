"""The global solve: all corrections at once, with one unknown offset per source.

``r_is = B_is theta_i + c_s + noise_i``: the offset of source s in exposure i from the mosaic of
all is the correction that the exposure lacks, plus the offset of the mosaic itself. Stepping
towards the mean of the others is a Jacobi iteration of this system, which needs as many passes
as the mosaic is wide, or never ends; this solves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.common_errors import common_covariances
from alignsvc.numerics.solve.error_floor import ErrorFloor
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import FixedGauge, Footprint, Gauge, GaugeKind, MeanGauge
from alignsvc.numerics.solve.inflation import inflation
from alignsvc.numerics.solve.joint_input import JointInput
from alignsvc.numerics.solve.joint_problem import JointProblem, Solved
from alignsvc.numerics.solve.priors import CatalogOffsets, ShapePrior
from alignsvc.numerics.solve.seen_as import WithOneMore
from alignsvc.numerics.solve.selection import NotSolved, Selection, shared_sources, stack
from alignsvc.numerics.solve.shared_prior import Departures, SharedPrior
from alignsvc.numerics.solve.sums import AnyIntArray, apply_each, parts_of, sum_by
from alignsvc.numerics.solve.unchecked import Unchecked

#: Priors tried on the way to the one that fits the set: three or four do, as a rule.
_MOST_PRIORS = 12
#: Residuals whose squares are summed at once.
_CHI2_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class JointFit:
    """One step for every exposure.

    Parameters
    ----------
    steps : array, shape (n, 6)
        Changes of the six `PARAMETERS`, each in its exposure's own plane; 0 where not solved.
    covariances : array, shape (n, 6, 6)
        In the gauge of the fit; 0 for what was not fitted. As the factors' covariances have it;
        see `stated_covariance`.
    common_covariances : array, shape (n, 6, 6)
        What errors that rows have in common add to them: see `common_errors`. No residual tells
        of these, so that chi2 is nothing to multiply them by.
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
    geometries : tuple of Geometry
        How free each exposure was.
    prior : ShapePrior
        The one used: given, and what was estimated from the set.
    solved : Solved
        The system behind it, for what is to be solved on top.
    """

    steps: FloatArray
    covariances: FloatArray
    common_covariances: FloatArray
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
    geometries: tuple[Geometry, ...]
    prior: ShapePrior
    solved: Solved

    @property
    def inflation(self) -> float:
        """By which variances are larger than the factors' errors have them; at least 1."""
        return inflation(self.chi2, self.dof)

    def stated_covariance(self, index: int) -> FloatArray:
        """Return the covariance of an exposure's correction, shape (6, 6)."""
        own = self.inflation * self.covariances[index]
        stated: FloatArray = own + self.common_covariances[index]
        return stated


@dataclass(frozen=True, slots=True)
class JointFitter:
    """Solve for the corrections of all exposures of a component's plane at once.

    Parameters
    ----------
    clipping : Clipping
    gauge : MeanGauge or FixedGauge
    prior : ShapePrior
        On the total correction of every exposure.
    shared : SharedPrior
        Which of the prior's deviations are estimated from the set instead.
    choice : GeometryChoice or None
        None: every exposure is as free as its footprint says. Otherwise each is given the
        geometry that its measurements ask for; all deviations must then be given or shared.
    stiffens : bool
        Whether an exposure whose sources do not carry its geometry is given a stiffer one,
        instead of being left out.
    seed : int
        Of what stands in for errors that rows have in common, where these are very many.
    error_floor : ErrorFloor or None
        None: the factors' errors are taken at their word.
    unchecked : Unchecked
        What is added to the covariances of exposures that hang on few sources.
    """

    clipping: Clipping = field(default_factory=Clipping)
    gauge: Gauge = field(default_factory=MeanGauge)
    prior: ShapePrior = field(default_factory=ShapePrior)
    shared: SharedPrior = field(default_factory=SharedPrior)
    choice: GeometryChoice | None = None
    stiffens: bool = False
    seed: int = 0
    error_floor: ErrorFloor | None = field(default_factory=ErrorFloor)
    unchecked: Unchecked = field(default_factory=Unchecked)

    def __post_init__(self) -> None:
        if self.choice is not None and not self.shared.start(self.prior).holds(Geometry.GENERAL):
            raise ValueError(
                "joint fit: a choice of geometries weighs freedom by its prior; give or share "
                "the deviations of rotation, scale and skew"
            )

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
        given = JointInput.of(factors, footprints, catalog)
        if self.choice is not None:
            given = given.restricted(self._chosen(self.choice, given))
        if self.stiffens:
            given = self._carried(given)
        prior = self.prior
        if self.shared.shapes:
            found = self._settled(given)
            prior = self.shared.widened(found.prior, found.departures)
        problem = self._problem(given, prior)
        excluded: tuple[NotSolved, ...] = ()
        while True:
            solved = problem.solve_clipped(excluded)
            covariance = solved.system.covariances()
            loose = problem.too_loose(solved, covariance)
            if not loose:
                covariances = solved.covariances(covariance) + self.unchecked(problem, solved)
                common = common_covariances(given.factors, solved, self.seed)
                return _result(problem, solved, (covariances, common), given)
            excluded += loose

    def problem(
        self,
        factors: Sequence[Factors],
        footprints: Sequence[Footprint],
        catalog: CatalogOffsets | None = None,
    ) -> JointProblem:
        """Return what a call solves, before any choice of geometries, with its widest prior."""
        given = JointInput.of(factors, footprints, catalog)
        return self._problem(given, self.shared.start(self.prior))

    def _problem(self, given: JointInput, prior: ShapePrior) -> JointProblem:
        everyone, geometries = given.factors, list(given.geometries)
        immovable = np.zeros(len(everyone), bool)
        if isinstance(self.gauge, FixedGauge):
            immovable[list(self.gauge.exposures)] = True
        if given.catalog is not None:
            everyone = WithOneMore(everyone, given.catalog.as_factors(len(everyone)))
            geometries.append(Geometry.SHIFT)
            immovable = np.append(immovable, True)
        # What few shared sources leave loose, a prior on the linear part holds.
        needed = [1 if prior.holds(one) else one.min_sources for one in given.geometries]
        stacked = stack(everyone, geometries, max(needed))
        return JointProblem(
            stacked=stacked,
            usable=stacked.use,
            footprints=given.footprints,
            immovable=immovable,
            prior=prior,
            clipping=self.clipping,
            error_floor=self.error_floor,
        )

    def _chosen(self, choice: GeometryChoice, given: JointInput) -> tuple[Geometry, ...]:
        """Return the geometry that each exposure's measurements ask for."""
        shared = shared_sources(given.factors)
        free = self._carried(given.restricted([choice.carried_by(n) for n in shared.tolist()]))
        found = self._settled(free)
        geometries = list(free.geometries)
        for i, one in zip(found.movers, choice(found.departures, found.prior), strict=True):
            geometries[i] = one
        if isinstance(self.gauge, FixedGauge):
            for i in self.gauge.exposures:
                geometries[i] = Geometry.SHIFT  # it does not move at all
        return tuple(geometries)

    def _carried(self, given: JointInput) -> JointInput:
        """Return the input with geometries that the exposures' sources carry."""
        free = given
        while True:
            solved = self._problem(free, self.shared.start(self.prior)).solve_clipped(())
            lacking = {end.exposure for end in solved.selection.not_solved}
            now = free.geometries
            stiffer = [one.stiffer if i in lacking else one for i, one in enumerate(now)]
            if stiffer == list(now):
                return free
            free = given.restricted(stiffer)

    def _settled(self, given: JointInput) -> _Settled:
        """Return the shared prior that fits the exposures' totals, and those."""
        widest = self.shared.start(self.prior)
        problem = self._problem(given, widest)
        solved = problem.solve_clipped(())
        for left in reversed(range(_MOST_PRIORS)):
            covariance = solved.system.covariances()
            found = problem.departures(solved, covariance, widest)
            refined = self.shared.refined(problem.prior, found)
            if left == 0 or self.shared.agrees(problem.prior, refined):
                break
            problem = replace(problem, prior=refined)
            solved = problem.solve_as(solved)
        return _Settled(problem.prior, solved.movers, found)


@dataclass(frozen=True, slots=True, eq=False)
class _Settled:
    """A prior, and the totals of the exposures that move in the solution with it."""

    prior: ShapePrior
    movers: IntArray
    departures: Departures


def _result(
    problem: JointProblem,
    solved: Solved,
    of_movers: tuple[FloatArray, FloatArray],
    given: JointInput,
) -> JointFit:
    """Return the public result, given the movers' covariances, own and common."""
    n, stacked, to_parameters = len(problem.footprints), problem.stacked, solved.to_parameters
    n_free = np.array([geometry.n_parameters for geometry in stacked.geometries])
    steps = np.zeros((n, N_PARAMETERS))
    steps[solved.movers] = given.undone[solved.movers] + apply_each(to_parameters, solved.phi)
    covariances, common = np.zeros((2, n, N_PARAMETERS, N_PARAMETERS))
    covariances[solved.movers], common[solved.movers] = of_movers
    significance = np.zeros(n)
    significance[solved.movers] = np.sqrt(solved.gain() / n_free[solved.movers])
    used = np.zeros(len(problem.usable), bool)
    used[solved.index] = True
    rows, left = solved.rows, _left_over(solved)
    exposure = stacked.exposure[rows.index]
    rmse, mae = _scatter(exposure, left.residual, left.weight, stacked.n_exposures)
    fitted = 2 * rows.n_keys + int(n_free[solved.movers].sum()) - solved.system.border.shape[0]
    return JointFit(
        steps=read_only(steps),
        covariances=read_only(covariances),
        common_covariances=read_only(common),
        significance=read_only(significance),
        used=tuple(np.split(read_only(used), stacked.start[1:])[:n]),
        rmse_arcsec=read_only(rmse[:n]),
        mae_arcsec=read_only(mae[:n]),
        component=read_only(solved.selection.label[:n]),
        gauges=_gauges(problem, solved.selection),
        n_used=read_only(np.bincount(exposure, minlength=stacked.n_exposures)[:n]),
        chi2=left.chi2,
        dof=2 * len(rows) - fitted,
        floor_arcsec=solved.floor,
        not_solved=solved.selection.not_solved,
        geometries=given.geometries,
        prior=problem.prior,
        solved=solved,
    )


class _Left(NamedTuple):
    """What a solution leaves of each row, (n, 2); the row's weight, (n,); and chi2 of all."""

    residual: FloatArray
    weight: FloatArray
    chi2: float


def _left_over(solved: Solved) -> _Left:
    rows = solved.rows
    left = rows.residual - rows.moves(solved.phi)
    left -= rows.offsets_of(left)[rows.key]
    chi2, weight = 0.0, np.empty(len(rows))
    for some in parts_of(len(rows), _CHI2_ROWS):
        information = rows.information(some)
        chi2 += float(np.einsum("ni,nij,nj->", left[some], information, left[some]))
        weight[some] = np.trace(information, axis1=1, axis2=2)
    return _Left(left, weight, chi2)


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
    exposure: AnyIntArray, left: FloatArray, weight: FloatArray, n_exposures: int
) -> tuple[FloatArray, FloatArray]:
    """Weighted rms and mean length of residuals per exposure, NaN without rows."""
    squared = (left**2).sum(axis=1)
    total = sum_by(exposure, weight, n_exposures)
    with np.errstate(invalid="ignore"):
        rms = np.sqrt(sum_by(exposure, weight * squared, n_exposures) / total)
        mean = sum_by(exposure, weight * np.sqrt(squared), n_exposures) / total
    return rms, mean
