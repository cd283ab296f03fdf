"""Which exposures and which measurements can take part in a joint fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.components import rigid_components
from alignsvc.numerics.solve.conditioning import degenerate
from alignsvc.numerics.solve.sums import sum_by
from alignsvc.reasons import SkipReason


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

    Parameters
    ----------
    exposure : int64, shape (m,)
        Index of the factors that the row came from.
    source : int64, shape (m,)
        Index into the sorted distinct source ids.
    residual, design, information : arrays, shapes (m, 2), (m, 2, p), (m, 2, 2)
        The design is per unit of the geometry's free parameters.
    n_exposures : int
    geometry : Geometry
    """

    exposure: IntArray
    source: IntArray
    residual: FloatArray
    design: FloatArray
    information: FloatArray
    n_exposures: int
    geometry: Geometry

    def pairs(self, label: IntArray, rows: BoolArray) -> tuple[IntArray, IntArray]:
        """Return a dense index per (component, source) and its rows' indices.

        `label` is a component per exposure, `rows` says which rows to look at.
        """
        index = np.flatnonzero(rows)
        n_sources = int(self.source.max(initial=0)) + 1
        pair = label[self.exposure[index]] * n_sources + self.source[index]
        return np.unique(pair, return_inverse=True)[1], index


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
    """

    label: IntArray
    rows: BoolArray
    not_solved: tuple[NotSolved, ...]


def stack(factors: Sequence[Factors], geometry: Geometry) -> Stack:
    """Return all factors one below the other."""
    lengths = [len(f) for f in factors]
    ids = np.concatenate([f.source for f in factors])
    return Stack(
        exposure=np.repeat(np.arange(len(factors)), lengths),
        source=np.unique(ids, return_inverse=True)[1].astype(np.int64),
        residual=np.concatenate([f.residual for f in factors]),
        design=np.concatenate([f.jacobian for f in factors]) @ geometry.basis,
        information=np.concatenate([f.information for f in factors]),
        n_exposures=len(factors),
        geometry=geometry,
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
    prior : array, shape (p, p)
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
            leaving = _undetermined(stacked, rows, prior, active & ~immovable)
        if not leaving:
            label = np.where(active, label, -1)
            _, numbered = np.unique(label[active], return_inverse=True)
            label[active] = numbered
            return Selection(label, rows, tuple(left[i] for i in sorted(left)))
        left |= {found.exposure: found for found in leaving}


def shared_by(stacked: Stack, pair: IntArray, index: IntArray) -> IntArray:
    """Return how many exposures see each (component, source) pair among rows `index`."""
    seen = np.unique(pair * stacked.n_exposures + stacked.exposure[index])
    return np.bincount(seen // stacked.n_exposures, minlength=int(pair.max(initial=-1)) + 1)


def _linked(stacked: Stack, rows: BoolArray) -> tuple[IntArray, BoolArray]:
    """Components, and the rows whose source another exposure of the component sees too."""
    label = rigid_components(
        stacked.exposure[rows],
        stacked.source[rows],
        stacked.n_exposures,
        stacked.geometry.min_sources,
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
    needed = stacked.geometry.min_sources
    lacking = np.flatnonzero(movable & (_n_sources(stacked, rows) < needed))
    if not len(lacking):
        return []
    together = np.zeros(stacked.n_exposures, np.int64)
    found = _n_sources(stacked, _seen_twice(stacked, together, active_rows))
    return [_lacks_sources(int(i), int(found[i]), stacked.geometry) for i in lacking]


def _lacks_sources(exposure: int, found: int, geometry: Geometry) -> NotSolved:
    if found < geometry.min_sources:
        reason, message = SkipReason.TOO_FEW_SOURCES, too_few_message(found, geometry)
    else:  # enough in all, but with no group of the others
        reason, message = SkipReason.DEGENERATE_FIT, degenerate_message(geometry)
    return NotSolved(exposure, reason, message)


def _n_sources(stacked: Stack, rows: BoolArray) -> IntArray:
    """Number of distinct sources of each exposure among `rows`."""
    n_sources = int(stacked.source.max(initial=0)) + 1
    seen = np.unique(stacked.exposure[rows] * n_sources + stacked.source[rows])
    return np.bincount(seen // n_sources, minlength=stacked.n_exposures)


def _undetermined(
    stacked: Stack, rows: BoolArray, prior: FloatArray, movable: BoolArray
) -> list[NotSolved]:
    normal = own_information(stacked, rows) + prior
    bad = movable & degenerate(normal, stacked.geometry)
    return [
        NotSolved(int(i), SkipReason.DEGENERATE_FIT, degenerate_message(stacked.geometry))
        for i in np.flatnonzero(bad)
    ]


def own_information(stacked: Stack, rows: BoolArray) -> FloatArray:
    """Return each exposure's own normal matrix, shape ``(n, p, p)``, from the rows in use."""
    design, information = stacked.design[rows], stacked.information[rows]
    own = np.swapaxes(design, 1, 2) @ information @ design
    return sum_by(stacked.exposure[rows], own, stacked.n_exposures)


def too_few_message(found: int, geometry: Geometry) -> str:
    """Return the sentence for an exposure with too few sources."""
    shared = "source" if found == 1 else "sources"
    return (
        f"{found} {shared} left after clipping, geometry '{geometry}' needs "
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
