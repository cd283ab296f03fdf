"""Numbers of sources that stay: across tiles of one pass, and from pass to pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from alignsvc.domain.arrays import FloatArray, IntArray, hold_read_only, read_only
from alignsvc.domain.geometry import Points
from alignsvc.domain.sources import SourceCatalog
from alignsvc.numerics.sources.detection import DetectedTile


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Pairs of points: index in the first list and in the second, rising in the first."""

    first: IntArray
    second: IntArray

    def __post_init__(self) -> None:
        hold_read_only(self, "first", "second")

    def __len__(self) -> int:
        return len(self.first)


def mutual_nearest(first: Points, second: Points, tolerance: float) -> Matches:
    """Return the pairs in which each point is the other's nearest, within `tolerance`.

    Parameters
    ----------
    first, second : Points
        One-dimensional and finite, in the same plane.
    tolerance : float
        Largest distance, in their unit.
    """
    a = np.column_stack([first.x, first.y])
    b = np.column_stack([second.x, second.y])
    if not len(a) or not len(b):
        return Matches(np.zeros(0, np.int64), np.zeros(0, np.int64))
    distance, to_second = cKDTree(b).query(a)
    _, to_first = cKDTree(a).query(b)
    index = np.arange(len(a))
    paired = (to_first[to_second] == index) & (distance <= tolerance)
    return Matches(index[paired], to_second[paired].astype(np.int64))


def nearest_but_for_a_shift(first: Points, second: Points, tolerance: float) -> Matches:
    """Return pairs as `mutual_nearest` does, those that disagree with the others left out.

    What all pairs have in common, up to `tolerance`, is taken off before points are paired for
    good; a pair farther from the median than the scatter of all explains is a wrong one.

    Parameters
    ----------
    first, second : Points
        One-dimensional and finite, in the same plane.
    tolerance : float
        Largest distance, in their unit.

    Notes
    -----
    The limit is 6 times the robust scatter per axis (1.4826 times the median absolute
    deviation): wide while the exposures behind the points disagree, narrow once they agree.
    """
    shift = np.zeros(2)
    for _ in range(2):
        moved = Points(second.x + shift[0], second.y + shift[1])
        pairs = mutual_nearest(first, moved, tolerance)
        if not len(pairs):
            return pairs
        offset = _offset(first, second, pairs)
        shift = np.median(offset, axis=0)
    away = np.abs(_offset(first, second, pairs) - shift)
    scatter = 1.4826 * np.median(away, axis=0)
    belongs = (away <= _WIDEST_SCATTER * np.maximum(scatter, 1e-3 * tolerance)).all(axis=1)
    return Matches(pairs.first[belongs], pairs.second[belongs])


#: Pairs farther out than this, in units of the scatter of all, do not belong together.
_WIDEST_SCATTER = 6.0


def _offset(first: Points, second: Points, pairs: Matches) -> FloatArray:
    return np.stack(
        [
            first.x[pairs.first] - second.x[pairs.second],
            first.y[pairs.first] - second.y[pairs.second],
        ],
        axis=1,
    )


@dataclass(frozen=True, slots=True, eq=False)
class NumberedSources:
    """All sources of the mosaic under their final ids.

    Parameters
    ----------
    catalog : SourceCatalog
        In order of id.
    segment : int64 array
        For each source, what its pixels hold in the segmentation of its component, as
        detection wrote it.
    next_id : int
        The first id that was never given.
    """

    catalog: SourceCatalog
    segment: IntArray
    next_id: int

    def __post_init__(self) -> None:
        if len(self.segment) != len(self.catalog):
            raise ValueError(
                f"numbered sources: {len(self.catalog)} sources, {len(self.segment)} segments"
            )
        object.__setattr__(self, "segment", read_only(self.segment))

    def select(self, rows: IntArray) -> NumberedSources:
        """Return the sources named by indices, in that order."""
        return NumberedSources(self.catalog.select(rows), self.segment[rows], self.next_id)


def number_sources(parts: Iterable[DetectedTile | SourceCatalog]) -> NumberedSources:
    """Return the sources of all tiles with ids from 1, in order of component and peak.

    Parameters
    ----------
    parts : iterable of DetectedTile or of their catalogues
        In any order: neither it nor the tiling has an influence on the ids.
    """
    catalogs = [part if isinstance(part, SourceCatalog) else part.catalog for part in parts]
    found = SourceCatalog.concatenate(catalogs)
    found = found.select(np.lexsort((found.id, found.component)))
    n = len(found)
    return NumberedSources(replace(found, id=np.arange(1, n + 1, dtype=np.int64)), found.id, n + 1)


def inherit_ids(
    new: NumberedSources, previous: SourceCatalog, next_id: int, tolerance_px: float = 1.0
) -> NumberedSources:
    """Return `new` with the ids of `previous` where the source is the same.

    Parameters
    ----------
    new : NumberedSources
    previous : SourceCatalog
        Of an earlier pass on the same grids.
    next_id : int
        The first id that was never given; sources without a predecessor count from it.
    tolerance_px : float
        Two sources are the same if each is the other's nearest within the component, and not
        farther than this. The grid's sky moves by far less than a pixel between passes.
    """
    ids = np.zeros(len(new.catalog), np.int64)
    for component in np.unique(new.catalog.component):
        here = np.flatnonzero(new.catalog.component == component)
        there = np.flatnonzero(previous.component == component)
        pairs = mutual_nearest(
            Points(new.catalog.x[here], new.catalog.y[here]),
            Points(previous.x[there], previous.y[there]),
            tolerance_px,
        )
        ids[here[pairs.first]] = previous.id[there[pairs.second]]
    fresh = ids == 0
    ids[fresh] = next_id + np.arange(int(fresh.sum()))
    numbered = NumberedSources(
        replace(new.catalog, id=ids), new.segment, next_id + int(fresh.sum())
    )
    return numbered.select(np.argsort(ids))
