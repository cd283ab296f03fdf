"""Stars that move between exposures: their motion taken off, or they themselves left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, read_only
from alignsvc.domain.geometry import SkyPoints, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.domain.reference_catalog import moved
from alignsvc.numerics.solve.error_floor import with_floor
from alignsvc.numerics.solve.seen_as import SeenAs
from alignsvc.numerics.solve.sums import sum_by

_MAS_PER_ARCSEC = 1e3
#: Error of a displacement, as a part of the path that is taken off. The mosaic shows a moving
#: star smeared, by some tenths of a pixel rms, and the displacement from a wider profile is wrong
#: by about the ratio of the two variances.
SMEARED = 0.05
#: Exposures within less time than this (30 days) are not looked at for motion: in a night
#: nothing but asteroids moves, which are outliers in each exposure, and slow changes of the air
#: look like drift.
LEAST_YEARS = 0.08


@dataclass(frozen=True, slots=True, eq=False)
class SourceMotions:
    """Proper motions of sources that a catalogue knows.

    With the position ``p_s(t) = p_s(T) + mu_s (t - T)`` of source s, exposure i sees it at
    ``q_is = p_s(t_i) - B_i theta_i``, and its offset from the mosaic is
    ``r_is = M_s - q_is = B_i theta_i + (M_s - p_s(T)) - mu_s (t_i - T)``. So
    ``r_is + mu_s (t_i - T) = B_i theta_i + c_s`` has the form that the solve knows, with the
    latent offset ``c_s`` about the position at T, whatever times the mosaic is made of.

    Parameters
    ----------
    source : int64, shape (n,)
        Ids, rising.
    sky : SkyPoints, shape (n,)
        Where the catalogue has the sources at `year`.
    motion_mas : array, shape (n, 2)
        East and north, mas per year.
    covariance : array, shape (n, 2, 2)
        Of the motions, (mas per year)^2.
    year : float
        T, Julian years.
    plane : TangentPlane
        In which residuals are.
    """

    source: IntArray
    sky: SkyPoints
    motion_mas: FloatArray
    covariance: FloatArray
    year: float
    plane: TangentPlane

    def taken_off(self, factors: Factors, year: float) -> Factors:
        """Return an exposure's factors as if its sources stood where they are at `self.year`.

        The error of a motion, times the years between, is added to the row's. (It is common to
        all exposures of one night: between these the rows are better than they then say.) So is
        `SMEARED` of the path itself, for what the smeared template does to the measurement.
        """
        rows, which = self._known(factors)
        if not len(rows):
            return factors
        years = year - self.year
        start = self.plane.from_sky(self.sky)
        end = self.plane.from_sky(moved(self.sky, self.motion_mas, years))
        path = np.stack([end.x - start.x, end.y - start.y], axis=1)
        residual, information = np.array(factors.residual), np.array(factors.information)
        residual[rows] += path[which]
        turn = plane_from_local(self.sky, self.plane)[which]
        error = turn @ self.covariance[which] @ np.swapaxes(turn, 1, 2)
        error *= (years / _MAS_PER_ARCSEC) ** 2
        smeared = SMEARED * np.linalg.norm(path[which], axis=1)
        error += smeared[:, None, None] ** 2 * np.eye(2)
        information[rows] = _with_error(information[rows], error)
        return replace(factors, residual=read_only(residual), information=read_only(information))

    def movers_left_out(self, factors: Factors, years: float, limit_arcsec: float) -> Factors:
        """Return the factors of an exposure of unknown time without what moves too far.

        Parameters
        ----------
        factors : Factors
        years : float
            Within which the exposure was taken.
        limit_arcsec : float
            Motion in that time that is too far.
        """
        rows, which = self._known(factors)
        far = self.farther_than(limit_arcsec, years)
        use = np.array(factors.use)
        use[rows[far[which]]] = False
        return replace(factors, use=read_only(use))

    def farther_than(self, limit_arcsec: float, years: float) -> BoolArray:
        """Return which sources move by more than a limit within some years."""
        path = np.linalg.norm(self.motion_mas, axis=1) * years / _MAS_PER_ARCSEC
        return np.asarray(path > limit_arcsec)

    def _known(self, factors: Factors) -> tuple[IntArray, IntArray]:
        """Rows of factors whose source is known here, and where it stands here."""
        at = self.rows_of(factors.source)
        rows = np.flatnonzero(at >= 0)
        return rows, at[rows]

    def rows_of(self, sources: IntArray) -> IntArray:
        """Return where each of some ids stands here, -1 where it does not."""
        if not len(self.source):
            return np.full(len(sources), -1, np.int64)
        at = np.minimum(np.searchsorted(self.source, sources), len(self.source) - 1)
        return np.where(self.source[at] == sources, at, -1)


def plane_from_local(sky: SkyPoints, plane: TangentPlane) -> FloatArray:
    """Return d(plane) / d(east, north) at points of the sky, shape ``(n, 2, 2)``.

    Differences over an arcsec: near the tangent point the unit matrix; elsewhere the meridians
    converge and the plane stretches.
    """
    start = plane.from_sky(sky)
    columns = []
    for toward in ([_MAS_PER_ARCSEC, 0.0], [0.0, _MAS_PER_ARCSEC]):
        step = np.tile(toward, (len(np.atleast_1d(sky.ra)), 1))
        end = plane.from_sky(moved(sky, step, 1.0))
        columns.append(np.stack([end.x - start.x, end.y - start.y], axis=1))
    return np.stack(columns, axis=2)


@dataclass(frozen=True, slots=True)
class DriftTest:
    """Find sources whose offsets run away with time: what moves and no catalogue knows of.

    Parameters
    ----------
    sigma : float
        Significance of the drift.
    limit_arcsec : float
        Drift between the first and the last exposure that is too much.
    least_years : float
        Exposures within less time than this are not tested.
    """

    sigma: float = 5.0
    limit_arcsec: float = 0.004
    least_years: float = LEAST_YEARS

    def __call__(
        self, factors: Sequence[Factors], years: FloatArray, floor_arcsec: float
    ) -> IntArray:
        """Return the ids of the sources that drift, rising.

        Parameters
        ----------
        factors : sequence of Factors
            Of each exposure, with what the fitted steps take up taken off the residuals.
        years : array
            Mid time of each; NaN where not known: not looked at.
        floor_arcsec : float
            Error of every row on top of its own.

        Notes
        -----
        Per source a straight line in time through the residuals, weighted. It drifts if the
        line is steeper than its error allows and explains what there is: one bad row is not a
        drift. Errors are scaled by the median over all sources, which stand still mostly.
        """
        span = float(np.nanmax(years) - np.nanmin(years)) if np.isfinite(years).any() else 0.0
        if np.isfinite(years).sum() < 3 or span < self.least_years:
            return np.zeros(0, np.int64)
        rows = []
        for one, year in zip(factors, years.tolist(), strict=True):
            used = one.use & np.isfinite(year)
            information = with_floor(one.information[used], floor_arcsec)
            weight = 0.5 * np.trace(information, axis1=1, axis2=2)
            rows.append((one.source[used], np.full(len(weight), year), one.residual[used], weight))
        ids, time, residual, weight = (np.concatenate(each) for each in zip(*rows, strict=True))
        known, source = np.unique(ids, return_inverse=True)
        drifting: IntArray = known[self._drifts(_lines(source, time, residual, weight), span)]
        return drifting

    def _drifts(self, line: _Lines, span_years: float) -> BoolArray:
        freedom = 2 * np.maximum(line.n - 2, 1)
        tested = (line.n >= 3) & (line.spread > 0)
        if not tested.any():
            return tested
        scale = max(1.0, float(np.median((line.left / freedom)[tested])))
        steep = (line.slope**2).sum(axis=1) * line.spread > self.sigma**2 * scale
        far = np.linalg.norm(line.slope, axis=1) * span_years > self.limit_arcsec
        straight = line.left / freedom < self.sigma * scale
        return np.asarray(tested & steep & far & straight)


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """A straight line in time per source: rows, slope, weighted spread in time, chi2 left."""

    n: IntArray
    slope: FloatArray
    spread: FloatArray
    left: FloatArray


def _lines(source: IntArray, time: FloatArray, values: FloatArray, weight: FloatArray) -> _Lines:
    n = int(source.max(initial=-1)) + 1
    total = np.maximum(sum_by(source, weight, n), np.finfo(float).tiny)
    t = time - (sum_by(source, weight * time, n) / total)[source]
    mean = sum_by(source, weight[:, None] * values, n) / total[:, None]
    v = values - mean[source]
    spread = sum_by(source, weight * t**2, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = sum_by(source, (weight * t)[:, None] * v, n) / spread[:, None]
    slope = np.where(spread[:, None] > 0, slope, 0.0)
    left = v - slope[source] * t[:, None]
    chi2 = sum_by(source, weight * (left**2).sum(axis=1), n)
    return _Lines(np.bincount(source[weight > 0], minlength=n), slope, spread, chi2)


def less_steps(factors: Sequence[Factors], steps: FloatArray) -> Sequence[Factors]:
    """Return factors whose residuals are what the steps leave of them.

    Parameters
    ----------
    factors : sequence of Factors, length n
    steps : array, shape (n, 6)
    """
    return SeenAs(
        lambda i, one: replace(one, residual=read_only(one.residual - one.jacobian @ steps[i])),
        factors,
    )


def without_sources(factors: Sequence[Factors], ids: IntArray) -> Sequence[Factors]:
    """Return factors of which those of some sources are not used."""
    return SeenAs(
        lambda _, one: replace(one, use=read_only(one.use & ~np.isin(one.source, ids))), factors
    )


def _with_error(information: FloatArray, error: FloatArray) -> FloatArray:
    """``(I^-1 + E)^-1 = (1 + I E)^-1 I``, which needs no inverse of I."""
    matrix = np.eye(2) + information @ error
    grown = np.linalg.solve(matrix, information)
    return np.asarray(0.5 * (grown + np.swapaxes(grown, 1, 2)), float)
