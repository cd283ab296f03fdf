"""Compare the sources of one exposure with those of others, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, hold_read_only
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.matching.pattern_match import (
    FieldSources,
    NoMatch,
    PatternMatch,
    PatternMatcher,
)
from alignsvc.numerics.matching.similarity import Similarity
from alignsvc.tasks.list_sources import SourceList


@dataclass(frozen=True, slots=True)
class MatchFrame:
    """The plane on which exposures are compared, and what counts as a pixel there, arcsec."""

    plane: TangentPlane
    scale_arcsec: float

    def field(self, found: SourceList) -> FieldSources:
        """Return an exposure's sources and area on the plane, px."""
        sources = self.plane.from_sky(found.sky)
        near = np.isfinite(sources.x)
        outlines = [self.plane.from_sky(outline) for outline in found.outlines]
        return FieldSources(
            Points(sources.x[near] / self.scale_arcsec, sources.y[near] / self.scale_arcsec),
            tuple(Points(o.x / self.scale_arcsec, o.y / self.scale_arcsec) for o in outlines),
        )


@dataclass(frozen=True, slots=True, eq=False)
class PairMatches:
    """What came of comparing an exposure with others: a row for each.

    Parameters
    ----------
    partner : array of str, shape (n,)
        Exposure ids.
    refusal : array of str, shape (n,)
        Sentence of the `Refusal`; empty where the two match.
    factor, shift : float64 arrays, shape (n, 2)
        Real and imaginary part of the `Similarity` that carries this exposure to the other.
    is_mirrored, was_expected : bool arrays, shape (n,)
    n_matched : int64 array, shape (n,)
    log_odds : float64 array, shape (n,)
    """

    partner: NDArray[Any]
    refusal: NDArray[Any]
    factor: FloatArray
    shift: FloatArray
    is_mirrored: BoolArray
    was_expected: BoolArray
    n_matched: IntArray
    log_odds: FloatArray

    def __post_init__(self) -> None:
        hold_read_only(self)

    def transform(self, row: int) -> Similarity:
        """Return the map of a row."""
        return Similarity(
            complex(*self.factor[row]), complex(*self.shift[row]), bool(self.is_mirrored[row])
        )


@dataclass(frozen=True, slots=True)
class ListedExposure:
    """An exposure by id, and the table of its sources."""

    id: str
    sources: TableRef


@dataclass(frozen=True)
class MatchSourcesTask:
    """Compare an exposure with its partners; product: its `PairMatches`.

    Parameters
    ----------
    run : Place
        The run directory.
    exposure : ListedExposure
    partners : tuple of ListedExposure
    frame : MatchFrame
    matcher : PatternMatcher
    """

    run: Place
    exposure: ListedExposure
    partners: tuple[ListedExposure, ...]
    frame: MatchFrame
    matcher: PatternMatcher

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the sources of all, the frame and the matcher."""
        inputs = (self.exposure, self.partners, self.frame, self.matcher)
        return TaskKey("match_sources", self.exposure.id, digest_of("match_sources", *inputs))

    def __call__(self) -> TaskOutcome:
        """Write what came of each pair."""
        own = self._field(self.exposure)
        results = [self.matcher(own, self._field(partner)) for partner in self.partners]
        table = _table([partner.id for partner in self.partners], results)
        name = f"{TABLES}{self.key.stage}/{self.key.digest}.npz"
        checksum = write_table(RunLocations(self.run).products, name, table)
        matched = (("matched", float((table.refusal == "").sum())),)
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum, facts=matched)

    def _field(self, exposure: ListedExposure) -> FieldSources:
        table = exposure.sources
        objects = RunLocations(self.run).objects
        return self.frame.field(read_table(objects, table.name, SourceList, table.checksum))


def _table(partners: list[str], results: list[PatternMatch | NoMatch]) -> PairMatches:
    maps = [one.transform if isinstance(one, PatternMatch) else None for one in results]
    factor = [(m.factor.real, m.factor.imag) if m else (1.0, 0.0) for m in maps]
    shift = [(m.shift.real, m.shift.imag) if m else (0.0, 0.0) for m in maps]
    return PairMatches(
        np.array(partners),
        np.array([one.refusal.value if isinstance(one, NoMatch) else "" for one in results]),
        np.array(factor),
        np.array(shift),
        np.array([bool(m and m.is_mirrored) for m in maps]),
        np.array([isinstance(one, PatternMatch) or one.was_expected for one in results]),
        np.array(
            [len(one.pairs) if isinstance(one, PatternMatch) else one.n_matched for one in results]
        ),
        np.array([one.log_odds for one in results]),
    )
