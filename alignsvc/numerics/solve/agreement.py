"""How far corrections by two ways of measuring the same pixels are apart, and how sure that is.

Both ways read the same exposures, and share their noise: the difference of two corrections is known
far better than the root of the sum of their squared errors says, which would call everything
agreed. So the *differences* of the displacements, source by source, are solved as displacements
are, in the same gauge: that is the difference of the corrections, and what it leaves of each source
is what the two ways disagree by. Errors come from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import fdtrc, ndtri

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.correction import N_PARAMETERS
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.clipping import (
    MEDIAN_LENGTH,
    Clipping,
    lengths_from_mean,
    lengths_from_median,
    weighted_median_by,
)
from alignsvc.numerics.solve.error_floor import ErrorFloor, FitRows, leverage, with_floor
from alignsvc.numerics.solve.gauge import Footprint, Gauge, MeanGauge
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter
from alignsvc.numerics.solve.priors import ShapePrior
from alignsvc.numerics.solve.selection import NotSolved
from alignsvc.numerics.solve.sums import apply_each, inverse_2x2, sum_by

#: Fits, after each of which the errors of differences are known better.
_N_FITS = 4
#: Differences are taken to scatter by this part of the stated errors at least.
_LEAST_SCALE = 1e-2
#: What the set says of the scatter of an exposure's differences counts as so many of its sources.
_AS_MANY = 10
#: Rows farther out than this, in units of the scale, do not tell of it.
_WIDEST = 6.0 * np.sqrt(2.0)
#: Variances below this part of the largest are of what is not free.
_LEAST_VARIANCE = 1e-9
#: Smallest probability that a number can hold: 37 standard deviations.
_LEAST_PROBABILITY = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class MethodDifference:
    """The correction that a second way of measuring gives to an exposure, minus the first's.

    Parameters
    ----------
    step : array, shape (6,)
        In the `PARAMETERS` of the exposure's own plane.
    centre_arcsec : array, shape (2,)
        (east, north): how far it moves the middle of the footprint.
    largest_arcsec, error_arcsec : float
        How far it moves that point of the footprint which it moves farthest; and the standard
        deviation of that number.
    response : array, shape (6,)
        By how much `largest_arcsec` grows per unit of each parameter: with it any covariance of
        the exposure's correction gives the error of that at the same point, in that direction.
    significance : float
        How unlikely it is that the two ways agree, all parameters together, in standard deviations
        of a normal variable: so many leave the same probability outside. At most 37.
    n_sources : int
        Sources that both ways measured, and another exposure too.
    n_apart : int
        Of these, those that the two ways place farther apart than the others let expect.
    scatter_arcsec : float
        Of the sources' differences, per axis, by their median length.
    """

    step: FloatArray
    centre_arcsec: FloatArray
    largest_arcsec: float
    error_arcsec: float
    response: FloatArray
    significance: float
    n_sources: int
    n_apart: int
    scatter_arcsec: float


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """Solve for the differences between corrections by two ways of measuring.

    Parameters
    ----------
    clipping : Clipping
    gauge : MeanGauge or FixedGauge
        As of the solve of either way: what all exposures have in common is no difference.
    prior : ShapePrior
        On rotation, scale and skew of the differences.
    seed : int
        See `JointFitter`.
    apart_sigma : float
        A source is *apart* if its difference is farther from those of its source in the other
        exposures than this, in units of the errors that differences turn out to have.

    Notes
    -----
    The two ways' covariances are added and scaled, for each exposure, until its differences scatter
    as they say, by their median (seeing makes the two ways differ more in one exposure than in
    another). What all say of the scale counts as ten sources more, as an exposure of three has no
    scatter of its own. What bright sources differ by besides is the `ErrorFloor` of the fit, and a
    ratio of chi2 over the degrees of freedom above 1 widens errors as anywhere.
    """

    clipping: Clipping = field(default_factory=Clipping)
    gauge: Gauge = field(default_factory=MeanGauge)
    prior: ShapePrior = field(default_factory=ShapePrior)
    seed: int = 0
    apart_sigma: float = 5.0

    def __call__(
        self,
        first: Sequence[Factors],
        second: Sequence[Factors],
        footprints: Sequence[Footprint],
    ) -> tuple[MethodDifference | NotSolved, ...]:
        """Return the difference of each exposure's corrections, second minus first.

        Parameters
        ----------
        first, second : sequence of Factors, length n
            Of the same exposures in the same state; held-out rows of both count too.
        footprints : sequence of Footprint, length n

        Returns
        -------
        tuple of MethodDifference or NotSolved
            An immovable exposure has a difference of zero.
        """
        factors = [difference_of(*both) for both in zip(first, second, strict=True)]
        still = [replace(one.unmoved(), departure=np.zeros(N_PARAMETERS)) for one in footprints]
        # A floor that is not needed costs little; errors that are too small are what is not wanted.
        fitter = JointFitter(
            self.clipping, self.gauge, self.prior, seed=self.seed, error_floor=ErrorFloor(doubt=0.0)
        )
        stated, scales = factors, np.ones(len(factors))
        fit = fitter(factors, still)
        for _ in range(_N_FITS - 1):
            scales = _scales(_Left.of(factors, fit), scales, fit.floor_arcsec)
            factors = [
                replace(one, information=one.information / scale**2)
                for one, scale in zip(stated, scales.tolist(), strict=True)
            ]
            fit = fitter(factors, still)
        failed = {end.exposure: end for end in fit.not_solved}
        left = _Left.of(factors, fit)
        lengths, beside = left.from_source_mean()
        apart = lengths > self.apart_sigma
        return tuple(
            failed.get(i) or _difference(fit, still[i], i, left.of_exposure(i, beside, apart))
            for i in range(len(factors))
        )


def difference_of(first: Factors, second: Factors) -> Factors:
    """Return second minus first, of the sources that both measured soundly.

    Parameters
    ----------
    first, second : Factors
        Of one exposure, by two ways of measuring the same catalogue; rows are told by source and
        chip.

    Returns
    -------
    Factors
        Residuals are differences. The information is that of the sum of both covariances: an
        upper bound, as noise that both share is in neither's favour. Errors that rows have in
        common are the second's: the first, a correlation, has none.
    """
    first, second = (one.with_held_out() for one in (first, second))
    one, other = _rows_of_both(first, second)
    covariance = inverse_2x2(first.information[one]) + inverse_2x2(second.information[other])
    return Factors(
        exposure=first.exposure,
        source=first.source[one],
        residual=read_only(second.residual[other] - first.residual[one]),
        jacobian=first.jacobian[one],
        information=read_only(inverse_2x2(covariance)),
        weight_share=first.weight_share[one],
        use=read_only(np.ones(len(one), bool)),
        held_out=read_only(np.zeros(len(one), bool)),
        chip=first.chip[one],
        profile_error=second.profile_error[other],
        convention_error=second.convention_error[other],
    )


def _rows_of_both(first: Factors, second: Factors) -> tuple[IntArray, IntArray]:
    """Return the indices of the rows that both have in use, in order of chip and source."""
    keys = [np.stack([one.chip, one.source], axis=1)[one.use] for one in (first, second)]
    known = np.unique(np.concatenate(keys), axis=0, return_inverse=True)[1].ravel()
    own, theirs = known[: len(keys[0])], known[len(keys[0]) :]
    _, at_own, at_theirs = np.intersect1d(own, theirs, return_indices=True)
    return np.flatnonzero(first.use)[at_own], np.flatnonzero(second.use)[at_theirs]


@dataclass(frozen=True, slots=True, eq=False)
class _Left:
    """What a fit leaves of sources that several exposures see; trust is that of the fit."""

    rows: FitRows
    trust: FloatArray

    @classmethod
    def of(cls, factors: Sequence[Factors], fit: JointFit) -> _Left:
        sizes = [len(one) for one in factors]
        exposure = np.repeat(np.arange(len(factors)), sizes)
        source = np.concatenate([one.source for one in factors])
        design = np.concatenate([one.jacobian for one in factors])
        residual = np.concatenate([one.residual for one in factors])
        information = np.concatenate([one.information for one in factors])
        label = fit.component[exposure]
        # A source that two components see is two.
        pair = np.unique(np.stack([label, source], axis=1), axis=0, return_inverse=True)[1].ravel()
        kept = np.flatnonzero((label >= 0) & (np.bincount(pair)[pair] > 1))
        free = np.zeros((len(factors), N_PARAMETERS, N_PARAMETERS))
        for i, geometry in enumerate(fit.geometries):
            if fit.covariances[i].any():
                free[i] = geometry.basis @ np.linalg.pinv(geometry.basis)
        exposure = exposure[kept]
        rows = FitRows(
            source=np.unique(pair[kept], return_inverse=True)[1],
            exposure=exposure,
            residual=residual[kept] - apply_each(design[kept], fit.steps[exposure]),
            design=design[kept] @ free[exposure],
            information=with_floor(information[kept], fit.floor_arcsec),
        )
        return cls(rows, fit.solved.trust[kept])

    @property
    def judged(self) -> FloatArray:
        """The information on what the exposures' own fits leave of each row."""
        information = self.rows.information[:]
        taken = leverage(self.rows, information)
        return np.asarray(information / (1.0 - taken)[:, None, None], float)

    def from_source_mean(self) -> tuple[FloatArray, FloatArray]:
        """Return how far rows are from those of their sources, in errors, and in arcsec."""
        rows = self.rows
        lengths = lengths_from_mean(rows.source, rows.residual, self.judged, self.trust)
        n = int(rows.source.max(initial=-1)) + 1
        weight = self.trust[:, None, None] * rows.information[:]
        total = sum_by(rows.source, weight, n)
        known = np.linalg.det(total) > 0
        mean = np.zeros((n, 2))
        weighted = sum_by(rows.source, apply_each(weight, rows.residual), n)
        mean[known] = apply_each(inverse_2x2(total[known]), weighted[known])
        beside = np.hypot(*(rows.residual - mean[rows.source]).T)
        return lengths, np.where(known[rows.source], beside, np.nan)

    def of_exposure(self, index: int, beside: FloatArray, apart: BoolArray) -> _Sources:
        own = self.rows.exposure == index
        near = beside[own & ~apart]
        near = near[np.isfinite(near)]
        scatter = float(np.median(near)) / MEDIAN_LENGTH if len(near) else float("nan")
        return _Sources(int(own.sum()), int((own & apart).sum()), scatter)


@dataclass(frozen=True, slots=True)
class _Sources:
    """What an exposure's sources say of the two ways; see `MethodDifference`."""

    n_sources: int
    n_apart: int
    scatter_arcsec: float


def _scales(left: _Left, scales: FloatArray, floor_arcsec: float) -> FloatArray:
    """Return by what the stated errors of each exposure's differences are to be multiplied.

    The fainter half of the sources tells, since the floor hardly counts there.

    Parameters
    ----------
    left : _Left
        With errors multiplied by `scales`, and the floor.
    scales : array, shape (n,)
    floor_arcsec : float
    """
    rows, judged = left.rows, left.judged
    variance = 0.5 * np.trace(inverse_2x2(rows.information[:]), axis1=1, axis2=2)
    if not len(variance):
        return scales
    rough = lengths_from_median(rows.source, rows.residual, judged)
    near = rough <= _WIDEST * max(float(np.median(rough)) / MEDIAN_LENGTH, _LEAST_SCALE)
    near &= np.bincount(rows.source[near], minlength=len(near))[rows.source] > 1
    sure = np.ones(int(near.sum()))
    lengths = lengths_from_mean(rows.source[near], rows.residual[near], judged[near], sure)
    faint = variance[near] >= np.median(variance[near])
    exposure, lengths, variance = rows.exposure[near][faint], lengths[faint], variance[near][faint]
    # Of variances V = k^2 C + f^2, to be found m^2 times as large, only k^2 C is to grow.
    excess = (lengths / MEDIAN_LENGTH) ** 2 * variance - floor_arcsec**2
    grown = excess / (variance - floor_arcsec**2)
    n_rows = np.bincount(exposure, minlength=len(scales))
    sure = np.ones(len(lengths))
    squared = scales**2 * weighted_median_by(exposure, grown, sure, len(scales))
    squared = np.where(n_rows > 0, np.maximum(squared, _LEAST_SCALE**2), 1.0)
    common = np.exp(float(n_rows @ np.log(squared)) / max(int(n_rows.sum()), 1))
    return np.asarray(np.sqrt((_AS_MANY * common + n_rows * squared) / (_AS_MANY + n_rows)), float)


def _difference(
    fit: JointFit, footprint: Footprint, index: int, sources: _Sources
) -> MethodDifference:
    step = fit.steps[index]
    covariance = fit.stated_covariance(index)
    moved = footprint.jacobian @ step
    lengths = np.hypot(*moved.T)
    farthest = int(np.argmax(lengths))
    along = moved[farthest] / max(float(lengths[farthest]), 1e-300)
    response = along @ footprint.jacobian[farthest]
    return MethodDifference(
        step=step,
        centre_arcsec=read_only(moved.mean(axis=0)),
        largest_arcsec=float(lengths[farthest]),
        error_arcsec=float(np.sqrt(response @ covariance @ response)),
        response=read_only(response),
        significance=_significance(step, covariance, footprint, fit.dof),
        n_sources=sources.n_sources,
        n_apart=sources.n_apart,
        scatter_arcsec=sources.scatter_arcsec,
    )


def _significance(
    step: FloatArray, covariance: FloatArray, footprint: Footprint, dof: int
) -> float:
    """Return how unlikely a step is by chance, as standard deviations of a normal variable.

    The errors' scale was found from `dof` numbers: the ratio follows Fisher's distribution.
    """
    # Arcsec and radians side by side: to units in which each moves the footprint as far.
    size = np.sqrt((footprint.jacobian**2).sum(axis=1).mean(axis=0))
    values, vectors = np.linalg.eigh(covariance * size[:, None] * size)
    kept = values > _LEAST_VARIANCE * max(float(values.max()), 1e-300)
    if not kept.any() or dof <= 0:
        return 0.0
    chi2 = float((((step * size) @ vectors[:, kept]) ** 2 / values[kept]).sum())
    n_free = int(kept.sum())
    probability = max(float(fdtrc(n_free, dof, chi2 / n_free)), _LEAST_PROBABILITY)
    return -float(ndtri(0.5 * probability))
