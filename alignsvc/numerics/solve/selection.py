"""Which exposures and which measurements can take part in a joint fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.made_when_asked import column_of
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.components import rigid_components
from alignsvc.numerics.solve.conditioning import degenerate
from alignsvc.numerics.solve.error_floor import with_floor
from alignsvc.numerics.solve.row_loops import times_matrix
from alignsvc.numerics.solve.sums import Some, SumBy, indices, numbered, parts_of
from alignsvc.reasons import SkipReason
from alignsvc.wording import counted


@dataclass(frozen=True, slots=True)
class NotSolved:
    """An exposure that the fit leaves alone.

    Parameters
    ----------
    exposure : int
        Index in the solve.
    reason : SkipReason
    message : str
        What was found and wanted, and what to do; the caller puts the exposure's name before.
    """

    exposure: int
    reason: SkipReason
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """The factors of all exposures, one below the other, in the order given.

    What takes the most room, the design, stays in the factors and is made when it is asked for:
    of some rows at a time.

    Parameters
    ----------
    factors : sequence of Factors, length n
    start : int64, shape (n + 1,)
        Row at which each exposure's begin.
    exposure : int32, shape (m,)
        Index of the factors that the row came from.
    source : int32, shape (m,)
        Index into the sorted distinct source ids.
    use : bool, shape (m,)
        Measurements that may be used.
    residual, formal : arrays, shapes (m, 2), (m, 2, 2)
        `formal` is the information without floor and trust.
    geometries : tuple of Geometry
        Of each exposure.
    basis : array, shape (n, 6, p)
        Free directions of each exposure; 0 beyond its own.
    min_shared : int
        Sources that hold two groups of exposures together.
    floor : float
        Error in every row on top of its formal one, per axis, unit of the residuals.
    trust : array, shape (m,), or None
        Times which each row counts; None = all once.
    """

    factors: Sequence[Factors]
    start: IntArray
    exposure: NDArray[np.int32]
    source: NDArray[np.int32]
    use: BoolArray
    residual: FloatArray
    formal: FloatArray
    geometries: tuple[Geometry, ...]
    basis: FloatArray
    min_shared: int
    floor: float = 0.0
    trust: FloatArray | None = None

    @property
    def n_exposures(self) -> int:
        """Number of exposures, those without rows among them."""
        return len(self.geometries)

    def information(self, rows: Some) -> FloatArray:
        """Return the information of some rows, shape ``(k, 2, 2)``, floor and trust in it."""
        information = with_floor(self.formal[rows], self.floor)
        return information if self.trust is None else information * self.trust[rows][:, None, None]

    def design(self, rows: Some) -> FloatArray:
        """Return the design of some rows, shape ``(k, 2, p)``: per unit of free parameters.

        Rows are rising; 0 beyond the free parameters of the row's exposure.
        """
        return times_matrix(self.jacobian(rows), self.basis, indices(self.exposure[rows]))

    def jacobian(self, rows: Some) -> FloatArray:
        """Return the factors' jacobian of some rows, rising, shape ``(k, 2, 6)``."""
        exposure = self.exposure[rows]
        index = np.arange(len(self.exposure))[rows] if isinstance(rows, slice) else rows
        jacobian = np.empty((len(exposure), 2, N_PARAMETERS))
        ends = np.append(np.flatnonzero(np.diff(exposure)) + 1, len(exposure)).tolist()
        for begin, end in zip([0, *ends[:-1]], ends, strict=True):
            if begin < end:
                one = int(exposure[begin])
                own = column_of(self.factors, one, "jacobian")
                jacobian[begin:end] = own[index[begin:end] - self.start[one]]
        return jacobian

    @property
    def pinned(self) -> FloatArray:
        """Return information 1 on what is not free, shape ``(n, p, p)``: it stays 0, exactly."""
        width = self.basis.shape[2]
        spare = [np.arange(width) >= geometry.n_parameters for geometry in self.geometries]
        return np.asarray(np.array(spare)[:, :, None] * np.eye(width), float)

    def pairs(self, label: IntArray, rows: BoolArray) -> tuple[IntArray, IntArray]:
        """Return a dense index per (component, source) and its rows' indices.

        `label` is a component per exposure, `rows` says which rows to look at.
        """
        index = np.flatnonzero(rows)
        n_sources = int(self.source.max(initial=0)) + 1
        pair = label[self.exposure[index]] * n_sources
        pair += self.source[index]
        return numbered(pair), index


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What takes part.

    Parameters
    ----------
    label : int64, shape (n,)
        Component of each exposure, -1 where it does not take part.
    rows : bool, shape (m,)
        Measurements in the fit: in use, of a source that two exposures of a component see.
    not_solved : tuple of NotSolved
    own : array, shape (n, p, p)
        Each exposure's own normal matrix from these rows.
    """

    label: IntArray
    rows: BoolArray
    not_solved: tuple[NotSolved, ...]
    own: FloatArray


def bases(geometries: Sequence[Geometry]) -> FloatArray:
    """Return the basis of each geometry, shape ``(n, 6, p)``, with zeros to the widest one's p."""
    width = max(geometry.n_parameters for geometry in geometries)
    padded = np.zeros((len(geometries), N_PARAMETERS, width))
    for i, geometry in enumerate(geometries):
        padded[i, :, : geometry.n_parameters] = geometry.basis
    return padded


def stack(factors: Sequence[Factors], geometries: Sequence[Geometry], min_shared: int) -> Stack:
    """Return all factors one below the other.

    Parameters
    ----------
    factors : sequence of Factors, length n
    geometries : sequence of Geometry, length n
    min_shared : int
        Sources that two groups of exposures must share to be one: see `rigid_components`.
    """
    # Copies, so that nothing else of what a sequence reads stays.
    ids = [np.array(one.source) for one in factors]
    lengths = [len(each) for each in ids]
    start = np.concatenate([[0], np.cumsum(lengths)])
    source = np.unique(np.concatenate(ids), return_inverse=True)[1].astype(np.int32)
    residual, formal = np.empty((len(source), 2)), np.empty((len(source), 2, 2))
    use = np.empty(len(source), bool)
    for begin, end, one in zip(start[:-1].tolist(), start[1:].tolist(), factors, strict=True):
        residual[begin:end], formal[begin:end] = one.residual, one.information
        use[begin:end] = one.use
    return Stack(
        factors=factors,
        start=start,
        exposure=np.repeat(np.arange(len(factors), dtype=np.int32), lengths),
        source=source,
        use=use,
        residual=residual,
        formal=formal,
        geometries=tuple(geometries),
        basis=bases(geometries),
        min_shared=min_shared,
    )


def select(
    stacked: Stack,
    use: BoolArray,
    prior: FloatArray,
    immovable: BoolArray,
    excluded: Sequence[NotSolved],
) -> Selection:
    """Return the exposures that can be solved, their components, and their measurements.

    Exposures that share too few sources, or sources in a degenerate place, are taken out and
    the rest is looked at again, until nobody leaves.

    Parameters
    ----------
    stacked : Stack
    use : bool, shape (m,)
        Measurements that may be used.
    prior : array, shape (n, p, p)
        Information on the free parameters from elsewhere.
    immovable : bool, shape (n,)
        Exposures that take part with a correction of zero: they need no sources.
    excluded : sequence of NotSolved
        Exposures that are out from the start.
    """
    n = stacked.n_exposures
    left = {found.exposure: found for found in excluded}
    while True:
        active = np.ones(n, bool)
        active[list(left)] = False
        active_rows = use & active[stacked.exposure]
        label, rows = _linked(stacked, active_rows)
        leaving = _too_few(stacked, active_rows, rows, active & ~immovable)
        if not leaving:
            own = own_information(stacked, rows)
            leaving = _undetermined(stacked, own + prior, active & ~immovable)
        if not leaving:
            label = np.where(active, label, -1)
            _, numbered = np.unique(label[active], return_inverse=True)
            label[active] = numbered
            return Selection(label, rows, tuple(left[i] for i in sorted(left)), own)
        left |= {found.exposure: found for found in leaving}


def shared_by(stacked: Stack, pair: IntArray, index: IntArray) -> IntArray:
    """Return how many exposures see each (component, source) pair among rows `index`."""
    seen = pair * stacked.n_exposures
    seen += stacked.exposure[index]
    seen = _distinct(seen)
    return np.bincount(seen // stacked.n_exposures, minlength=int(pair.max(initial=-1)) + 1)


def shared_sources(factors: Sequence[Factors]) -> IntArray:
    """Return how many sources each exposure has in use that another one has too."""
    stacked = stack(factors, [Geometry.SHIFT] * len(factors), 1)
    together = np.zeros(len(factors), np.int64)
    return _n_sources(stacked, _seen_twice(stacked, together, stacked.use))


def _linked(stacked: Stack, rows: BoolArray) -> tuple[IntArray, BoolArray]:
    """Components, and the rows whose source another exposure of the component sees too."""
    label = rigid_components(
        stacked.exposure[rows],
        stacked.source[rows],
        stacked.n_exposures,
        stacked.min_shared,
    )
    return label, _seen_twice(stacked, label, rows)


def _seen_twice(stacked: Stack, label: IntArray, rows: BoolArray) -> BoolArray:
    """Those of `rows` whose source another exposure of the same component sees too."""
    pair, index = stacked.pairs(label, rows)
    seen = np.zeros_like(rows)
    seen[index] = shared_by(stacked, pair, index)[pair] > 1
    return seen


def _too_few(
    stacked: Stack, active_rows: BoolArray, rows: BoolArray, movable: BoolArray
) -> list[NotSolved]:
    """Movable exposures without enough linked sources, by how many they share with anyone."""
    needed = np.array([geometry.min_sources for geometry in stacked.geometries])
    lacking = np.flatnonzero(movable & (_n_sources(stacked, rows) < needed))
    if not len(lacking):
        return []
    together = np.zeros(stacked.n_exposures, np.int64)
    found = _n_sources(stacked, _seen_twice(stacked, together, active_rows))
    return [_lacks_sources(int(i), int(found[i]), stacked.geometries[i]) for i in lacking]


def _lacks_sources(exposure: int, found: int, geometry: Geometry) -> NotSolved:
    if found < geometry.min_sources:
        reason, message = SkipReason.TOO_FEW_SOURCES, too_few_message(found, geometry)
    else:  # enough in all, but with no group of the others
        reason, message = SkipReason.DEGENERATE_FIT, degenerate_message(geometry)
    return NotSolved(exposure, reason, message)


def _n_sources(stacked: Stack, rows: BoolArray) -> IntArray:
    """Number of distinct sources of each exposure among `rows`."""
    n_sources = int(stacked.source.max(initial=0)) + 1
    seen = stacked.exposure[rows].astype(np.int64) * n_sources
    seen += stacked.source[rows]
    seen = _distinct(seen)
    return np.bincount(seen // n_sources, minlength=stacked.n_exposures)


def _distinct(values: IntArray) -> IntArray:
    """Return the distinct values, rising; in less memory than a table of them. Sorts `values`."""
    values.sort()
    return values[np.append(True, values[1:] != values[:-1])] if len(values) else values


def _undetermined(stacked: Stack, normal: FloatArray, movable: BoolArray) -> list[NotSolved]:
    bad = np.zeros(stacked.n_exposures, bool)
    for geometry in set(stacked.geometries):
        p = geometry.n_parameters
        of_it = np.array([one is geometry for one in stacked.geometries]) & movable
        bad[of_it] = degenerate(normal[of_it, :p, :p], geometry)
    return [
        NotSolved(int(i), SkipReason.DEGENERATE_FIT, degenerate_message(stacked.geometries[i]))
        for i in np.flatnonzero(bad)
    ]


def own_information(stacked: Stack, rows: BoolArray) -> FloatArray:
    """Return each exposure's own normal matrix, shape ``(n, p, p)``, from the rows in use."""
    index, width = np.flatnonzero(rows), stacked.basis.shape[2]
    sums = SumBy(stacked.n_exposures, (width, width))
    for part in parts_of(len(index)):
        some = index[part]
        sums.add_normals(stacked.exposure[some], stacked.design(some), stacked.information(some))
    return sums.total


def too_few_message(found: int, geometry: Geometry) -> str:
    """Return the sentence for an exposure with too few sources."""
    return (
        f"{counted(found, 'source')} left after clipping, geometry '{geometry}' needs "
        f"{geometry.min_sources}; {_stiffer(geometry)}lower detection.threshold"
    )


def degenerate_message(geometry: Geometry) -> str:
    """Return the sentence for an exposure whose sources do not determine its geometry."""
    return (
        f"its sources lie so that they do not determine geometry '{geometry}' (on a line, at one "
        f"place, or linked to the rest too weakly); {_stiffer(geometry)}lower detection.threshold"
    )


def _stiffer(geometry: Geometry) -> str:
    return "" if geometry is Geometry.SHIFT else "set alignment.geometry: shift or "
