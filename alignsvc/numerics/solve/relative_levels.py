"""Levels of exposures relative to each other: flux scales and skies, from what they have in common.

Exposure i has at place s the level ``y_is = a_i + c_s + noise_is``: for flux scales y is the
logarithm of the source's flux in the exposure over that in the mosaic of all, for skies the
difference of the two in a patch of sky. The mosaic's own error at s is in ``c_s``, one unknown per
place, as a source's offset is in the solve of positions; so the noise is the exposure's own.
Eliminating the c_s (weights p, sums over the places' rows P_s) leaves the sparse system

    S a = A^T (y - mean_s(y)),   S_ij = delta_ij sum_s p_is - sum_s p_is p_js / P_s,

singular only along one constant per connected component, which the gauge fixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.numerics.solve.inverse_diagonal import diagonal_of_inverse

#: Ratio of a normal deviate's standard deviation to the median of its size.
_PER_MEDIAN = 1.4826
#: A row that has nearly all of its place's weight is left no residual to speak of.
_LEAST_OTHERS = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class LevelRows:
    """Levels that were measured, one a row.

    Parameters
    ----------
    exposure : int64, shape (m,)
        Index from 0.
    place : int64, shape (m,)
        Any number that names what was looked at: a source, a patch of sky.
    value : float64, shape (m,)
    variance : float64, shape (m,)
        From the exposure's own noise, above 0.
    factor : float64, shape (m,), or None
        What the exposure's level is multiplied by in this row, the same in all rows of a place:
        ``y_is = f_s a_i + c_s``; None = 1.
    """

    exposure: IntArray
    place: IntArray
    value: FloatArray
    variance: FloatArray
    factor: FloatArray | None = None

    @property
    def factors(self) -> FloatArray:
        """What levels are multiplied by, one number a row."""
        return np.ones(len(self)) if self.factor is None else self.factor

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True, slots=True, eq=False)
class RelativeLevels:
    """Levels of n exposures.

    Parameters
    ----------
    value : float64, shape (n,)
        In its component's gauge: the median over the component is 0. 0 for an exposure that
        shares no place with another.
    error : float64, shape (n,)
        Standard deviation against the mean of the component; infinite where nothing is known.
    component : int64, shape (n,)
        Exposures of one component are connected by places that they share.
    floor : float
        Standard deviation that was added in quadrature to each row's own.
    """

    value: FloatArray
    error: FloatArray
    component: IntArray
    floor: float

    def in_gauge(self, total: FloatArray, before: FloatArray, frozen: BoolArray) -> FloatArray:
        """Return totals of which, in each component, the median is 0, or frozen ones stay.

        Parameters
        ----------
        total, before : float64, shape (n,)
            As levels add up now, and what they were.
        frozen : bool, shape (n,)
        """
        held = np.array(total)
        for label in np.unique(self.component):
            members = self.component == label
            fixed = members & frozen
            off = total[fixed] - before[fixed] if fixed.any() else total[members]
            held[members] -= np.median(off)
        return held


@dataclass(frozen=True, slots=True)
class LevelSolver:
    """Weighted least squares for levels, robust against places that differ for their own reasons.

    Variable stars, stars of another colour in another filter, halos of galaxies: all are outliers
    here. Weights are those of Student's t (iteratively reweighted; Lange, Little & Taylor 1989,
    JASA 84, 881), after some rounds with those of least absolute deviations, whose start does not
    matter. A floor is found that makes the median row's residual what its error says.

    Parameters
    ----------
    freedom : float
        Degrees of freedom of Student's t.
    rounds : int
        Of each kind of weights.
    """

    freedom: float = 4.0
    rounds: int = 8

    def __call__(self, rows: LevelRows, n_exposures: int) -> RelativeLevels:
        """Return the levels of exposures 0 to `n_exposures` - 1; the rows' order is of no matter.

        Raises
        ------
        ValueError
            A row is not finite, or its variance is not positive.
        """
        if not (np.isfinite(rows.value).all() and (rows.variance > 0).all()):
            raise ValueError("levels: every value must be finite and every variance above 0")
        rows = _shared(rows)
        component = _components(rows, n_exposures)
        if not len(rows):
            unknown = np.full(n_exposures, np.inf)
            return RelativeLevels(np.zeros(n_exposures), unknown, component, 0.0)
        value, floor = np.zeros(n_exposures), 0.0
        weight = 1.0 / rows.variance
        for number in range(2 * self.rounds):
            system = _System(rows, weight, component)
            value = system.solution()
            left = system.residual(value)
            floor = _floor(left, rows.variance)
            variance = rows.variance + floor**2
            weight = self._trust(left / np.sqrt(variance), number) / variance
        system = _System(rows, weight, component)
        value = system.solution()
        return RelativeLevels(_median_held(value, component), system.errors(), component, floor)

    def _trust(self, off: FloatArray, number: int) -> FloatArray:
        """Return what a row's weight is multiplied by, `off` its residual over its error."""
        if number < self.rounds:
            return 1.0 / np.maximum(np.abs(off), 0.1)
        return (self.freedom + 1.0) / (self.freedom + off**2)


def _shared(rows: LevelRows) -> LevelRows:
    """Return the rows of places that two or more rows know, in an order of their own."""
    columns = (rows.factors, rows.variance, rows.value, rows.exposure, rows.place)
    order = np.lexsort(columns)
    _, place, count = np.unique(rows.place[order], return_inverse=True, return_counts=True)
    kept = order[count[place] > 1]
    _, place = np.unique(rows.place[kept], return_inverse=True)
    return LevelRows(
        rows.exposure[kept],
        place.astype(np.int64),
        rows.value[kept],
        rows.variance[kept],
        rows.factors[kept],
    )


def _components(rows: LevelRows, n_exposures: int) -> IntArray:
    n_places = int(rows.place.max(initial=-1)) + 1
    links = csr_matrix(
        (np.ones(len(rows)), (rows.exposure, rows.place + n_exposures)),
        shape=(n_exposures + n_places,) * 2,
    )
    label = connected_components(links, directed=False)[1][:n_exposures]
    # Numbered by their first exposure, whatever the order in which they were found.
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


class _System:
    """The equations of the levels at some weights, factorised."""

    def __init__(self, rows: LevelRows, weight: FloatArray, component: IntArray) -> None:
        self._rows, self._weight, self._component = rows, weight, component
        n, n_places = len(component), int(rows.place.max()) + 1
        self._total = np.bincount(rows.place, weight, n_places)
        own: FloatArray = np.bincount(rows.exposure, weight * rows.factors**2, n).astype(float)
        self._held = own == 0
        self._held[np.unique(component, return_index=True)[1]] = True
        self._matrix = self._pinned(own)
        self._factor = splu(self._matrix, permc_spec="MMD_AT_PLUS_A")

    def _pinned(self, own: FloatArray) -> csc_matrix:
        """Return the matrix with the first exposure of each component, and the idle, held at 0."""
        rows, held, n = self._rows, self._held, len(own)
        scaled = self._weight * rows.factors / np.sqrt(self._total)[rows.place]
        # Rows come place after place: nothing is left to be sorted.
        start = np.searchsorted(rows.place, np.arange(len(self._total) + 1))
        by_place = csr_matrix((scaled, rows.exposure, start), shape=(len(self._total), n))
        taken = (by_place.T @ by_place).tocoo()
        free = ~(held[taken.row] | held[taken.col])
        of_all = np.arange(n)
        element = np.concatenate([-taken.data[free], np.where(held, 1.0, own)])
        row, column = (np.concatenate([one[free], of_all]) for one in (taken.row, taken.col))
        return csc_matrix((element, (row, column)), shape=(n, n))

    def solution(self) -> FloatArray:
        """Return the levels, the first of each component 0."""
        rows = self._rows
        pulled = self._weight * rows.factors * self._from_mean(rows.value)
        right = np.bincount(rows.exposure, pulled, len(self._held))
        solved: FloatArray = self._factor.solve(np.where(self._held, 0.0, right))
        return solved

    def residual(self, value: FloatArray) -> FloatArray:
        """Return what the levels leave of each row, as large as if its place were known.

        From the mean of its place, over the root of the part of the weight that the others have.
        """
        levels = self._rows.factors * value[self._rows.exposure]
        left = self._from_mean(self._rows.value - levels)
        others = 1.0 - self._weight / self._total[self._rows.place]
        whole: FloatArray = left / np.sqrt(np.maximum(others, _LEAST_OTHERS))
        return whole

    def _from_mean(self, column: FloatArray) -> FloatArray:
        place = self._rows.place
        mean = np.bincount(place, self._weight * column, len(self._total)) / self._total
        left: FloatArray = column - mean[place]
        return left

    def errors(self) -> FloatArray:
        """Return standard deviations against the mean of each component; infinite if alone."""
        component, free = self._component, (~self._held).astype(float)
        n_members = np.bincount(component)
        # Of the covariance no more is made than its diagonal and the sums of its rows: no two
        # components have an element in common.
        mean = free * self._factor.solve(free) / n_members[component]
        of_all = np.bincount(component, mean) / n_members
        variance = free * diagonal_of_inverse(self._matrix) - 2.0 * mean + of_all[component]
        error = np.sqrt(np.maximum(variance, 0.0))
        return np.where(n_members[component] > 1, error, np.inf)


def _floor(left: FloatArray, variance: FloatArray) -> float:
    """Return what must be added to errors, in quadrature, for the median row to be explained.

    A row is explained by a floor f if ``left^2 <= (v + f^2) / 1.4826^2``: of what each asks of
    ``f^2``, the median explains half of them.
    """
    asked = (_PER_MEDIAN * left) ** 2 - variance
    return math.sqrt(max(float(np.median(asked)), 0.0))


def _median_held(value: FloatArray, component: IntArray) -> FloatArray:
    held = np.array(value)
    for label in range(int(component.max(initial=-1)) + 1):
        members = component == label
        held[members] -= np.median(held[members])
    return held
