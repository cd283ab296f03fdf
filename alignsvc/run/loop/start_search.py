"""Where exposures begin: each lists its own sources, near ones compare their lists.

The answers of all pairs are joined, and what matches is then compared, as one field, with the
reference catalogue (`catalogue_tie`). Exposures that an earlier run has aligned are known to lie
right, and are not compared with each other.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alignsvc.config.build import Bootstrap
from alignsvc.domain.arrays import IntArray
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import SkyPoints, TangentPlane, middle_of
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.domain.task import TableRef, Task
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.numerics.matching.joint_field import CatalogMatcher
from alignsvc.numerics.matching.joint_start import (
    FieldPlace,
    Link,
    Pairs,
    Placed,
    Standing,
    place_exposures,
)
from alignsvc.numerics.matching.neighbours import find_neighbours
from alignsvc.numerics.matching.similarity import UNMOVED
from alignsvc.numerics.matching.start import Start, disagreement_px, start_with
from alignsvc.numerics.sky.footprints import Footprint, footprint
from alignsvc.run.loop.catalogue_tie import Tie, tied, ties_of
from alignsvc.run.loop.refused_starts import why_refused
from alignsvc.run.loop.start_table import StartRow, StartTable
from alignsvc.run.planning.copies import copies_among
from alignsvc.run.planning.making import place_of, plane_for
from alignsvc.run.stages.running import Tools, run_stage
from alignsvc.tasks.base import NOT_FINAL
from alignsvc.tasks.list_sources import PIXELS, ListSourcesTask, SourceList
from alignsvc.tasks.match_sources import ListedExposure, MatchFrame, MatchSourcesTask, PairMatches

#: Stages of tasks that run before the first pass.
LIST_STAGE, MATCH_STAGE = ("list_sources", "match_sources")
#: Common sources of exposures that are known to lie right: more than any two have.
_TIED = 1_000_000
#: How often a task is tried again that a worker lost.
_MORE_TRIES = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Exposures that may overlap, on one plane."""

    members: tuple[int, ...]
    frame: MatchFrame
    places: tuple[FieldPlace, ...]


class _Listed(NamedTuple):
    """An exposure whose sources are listed, and what tells its pixels from others."""

    exposure: ListedExposure
    pixels: float


@dataclass(frozen=True, slots=True, eq=False)
class StartSearch:
    """Compares the exposures of a run.

    Parameters
    ----------
    tools : Tools
    settings : Bootstrap
    headers : tuple of ExposureHeader
    known : mapping of index in `headers` to Correction
        Of those that an earlier run has aligned.
    """

    tools: Tools
    settings: Bootstrap
    headers: tuple[ExposureHeader, ...]
    known: Mapping[int, Correction]

    def __call__(self) -> StartTable:
        """Return where exposures begin that do not begin as their headers have them."""
        known = self.known
        areas = [place_of(header, known.get(k)) for k, header in enumerate(self.headers)]
        near = find_neighbours(areas, self.settings.matcher.radius_px)
        first = [pair for pair in near.first if not known.keys() >= set(pair)]
        partners = {k for pair in first for k in pair} | set(range(len(areas))) - known.keys()
        listed = self._listed(sorted(partners))
        sets = self._sets(areas, near.group)
        pairs = self._compared(listed, sets, first)
        placed = [self._placed(one, pairs) for one in sets]
        lost = {
            k
            for one, standings in zip(sets, placed, strict=True)
            for k, standing in zip(one.members, standings, strict=True)
            if standing.standing in (Standing.UNKNOWN, Standing.STRANGER) and k in listed
        }
        again = [pair for pair in near.more if (lost - known.keys()) & set(pair)]
        if again:
            listed |= self._listed(sorted({k for pair in again for k in pair} - listed.keys()))
            more = self._compared(listed, sets, again)
            pairs = Pairs((*pairs.links, *more.links), (*pairs.refused, *more.refused))
            placed = [self._placed(one, pairs) for one in sets]
        rows, off_px = list[StartRow](), dict[str, float]()
        for one, standings in zip(sets, placed, strict=True):
            ties = self._ties(one, standings, listed)
            rows += self._rows(one, tied(standings, ties), pairs, listed)
            off_px |= {
                self.headers[k].ref.id: ties[where.block].off_px
                for k, where in zip(one.members, standings, strict=True)
                if where.block in ties
            }
        pixels = {one.exposure.id: one.pixels for one in listed.values()}
        return StartTable.of(rows, off_px, copies_among(pixels))

    def _listed(self, which: Sequence[int]) -> dict[int, _Listed]:
        """Return the exposures that could be listed; what is wrong with others comes up later."""
        algorithms = self.tools.plan.algorithms
        headers = [self.headers[k] for k in which]
        tasks = [
            ListSourcesTask(
                self.tools.run,
                header.ref,
                header.flux_scale,
                algorithms.images,
                algorithms.sky,
                self.settings.detector,
                self.known.get(k),
            )
            for k, header in zip(which, headers, strict=True)
        ]
        outcomes = self._done(LIST_STAGE, tasks)
        return {
            k: _Listed(
                ListedExposure(header.ref.id, TableRef(outcome.product, outcome.checksum)),
                outcome.fact(PIXELS),
            )
            for k, header, outcome in zip(which, headers, outcomes, strict=True)
            if outcome.is_ok
        }

    def _done(self, stage: str, tasks: Sequence[Task]) -> list[TaskOutcome]:
        """Return how tasks ended; where no data are to blame, try again.

        What is not known of an exposure changes where others begin: that must not hang on a
        worker that died.
        """
        outcomes = list(run_stage(self.tools, stage, 0, tasks))
        for _ in range(_MORE_TRIES):
            lost = [k for k, outcome in enumerate(outcomes) if outcome.reason in NOT_FINAL]
            if not lost:
                break
            again = run_stage(self.tools, stage, 0, [tasks[k] for k in lost])
            for k, outcome in zip(lost, again, strict=True):
                outcomes[k] = outcome
        return outcomes

    def _sets(self, areas: Sequence[Footprint], group: IntArray) -> list[_Set]:
        """Return the sets of two and more exposures, each on a plane about its middle."""
        sets = []
        for number in range(int(group.max()) + 1):
            members = tuple(int(k) for k in np.flatnonzero(group == number))
            if len(members) > 1:
                own = [areas[k] for k in members]
                centres = [middle_of(area.points()) for area in own]
                middle = middle_of(
                    SkyPoints(np.array([c.ra for c in centres]), np.array([c.dec for c in centres]))
                )
                plane = TangentPlane(float(middle.ra), float(middle.dec))
                frame = MatchFrame(plane, float(np.median([area.scale_arcsec for area in own])))
                sets.append(_Set(members, frame, tuple(_place(area, frame) for area in own)))
        return sets

    def _compared(
        self,
        listed: Mapping[int, _Listed],
        sets: Sequence[_Set],
        wanted: Sequence[tuple[int, int]],
    ) -> Pairs:
        """Compare pairs of exposures, all those of one first member in one task."""
        frame_of = {k: one.frame for one in sets for k in one.members}
        partners: dict[int, list[int]] = {}
        for first, second in sorted(wanted):
            if first in listed and second in listed:
                partners.setdefault(first, []).append(second)
        tasks = [
            MatchSourcesTask(
                self.tools.run,
                listed[first].exposure,
                tuple(listed[second].exposure for second in seconds),
                frame_of[first],
                self.settings.matcher,
            )
            for first, seconds in partners.items()
        ]
        outcomes = self._done(MATCH_STAGE, tasks)
        objects = RunLocations(self.tools.run).objects
        links, refused = list[Link](), list[tuple[int, int]]()
        for (first, seconds), outcome in zip(partners.items(), outcomes, strict=True):
            if not outcome.is_ok:
                continue
            table = read_table(objects, outcome.product, PairMatches, outcome.checksum)
            for row, second in enumerate(seconds):
                if not table.refusal[row]:
                    count = int(table.n_matched[row])
                    links.append(Link(first, second, table.transform(row), count))
                elif table.was_expected[row]:
                    refused.append((first, second))
        return Pairs(tuple(links), tuple(refused))

    def _placed(self, one: _Set, pairs: Pairs) -> tuple[Placed, ...]:
        index = {k: n for n, k in enumerate(one.members)}
        own = Pairs(
            tuple(
                replace(link, first=index[link.first], second=index[link.second])
                for link in pairs.links
                if link.first in index
            ),
            tuple((index[a], index[b]) for a, b in pairs.refused if a in index),
        )
        fixed = [n for k, n in index.items() if self.headers[k].ref.id == self.tools.plan.reference]
        together = [n for k, n in index.items() if k in self.known]
        # Nobody compares these, as they are where they belong: they stand for one exposure.
        tied = tuple(Link(together[0], n, UNMOVED, _TIED) for n in together[1:])
        fixed += together
        own = replace(own, links=(*own.links, *tied))
        return place_exposures(one.places, own, fixed[0] if fixed else None)

    def _ties(
        self, one: _Set, placed: Sequence[Placed], listed: Mapping[int, _Listed]
    ) -> Mapping[int, Tie]:
        """Return how the blocks of a set lie on the reference catalogue; none if others hold it."""
        catalog, headers = self.tools.plan.catalog, [self.headers[k] for k in one.members]
        if catalog is None or self.known.keys() & set(one.members):
            return {}
        if self.tools.plan.reference in {header.ref.id for header in headers}:
            return {}
        objects = RunLocations(self.tools.run).objects
        tables = {k: listed[k].exposure.sources for k in one.members if k in listed}
        exposures = [
            (
                self.headers[k],
                where,
                read_table(objects, tables[k].name, SourceList, tables[k].checksum),
            )
            for k, where in zip(one.members, placed, strict=True)
            if k in tables
        ]
        return ties_of(CatalogMatcher(self.settings.matcher), catalog, one.frame, exposures)

    def _rows(
        self, one: _Set, placed: Sequence[Placed], pairs: Pairs, listed: Container[int]
    ) -> list[StartRow]:
        """Return the exposures of a set that begin elsewhere, or not at all."""
        near_px = self.settings.matcher.near_px
        place_of = dict(zip(one.members, one.places, strict=True))
        is_off = any(
            disagreement_px(
                link.transform, place_of[link.first].middle, place_of[link.first].extent
            )
            > near_px
            for link in pairs.links
            if link.first in place_of
        )
        rows = []
        for k, where in zip(one.members, placed, strict=True):
            if k not in listed or k in self.known:
                continue  # what is wrong with it comes up in the loop, under its own name
            header = self.headers[k]
            start = self._start(header, one.frame, where)
            refused = why_refused(where.standing, start, self.settings)
            if refused is not None:
                text = f"exposure {header.ref.id}: {refused.message}"
                rows.append(StartRow(header.ref.id, start.correction, refused.reason, text))
            # Two exposures on either side of the median are twice as far from each other.
            elif where.standing is Standing.TIED or (
                is_off and where.standing is Standing.PLACED and start.moved_px > 0.5 * near_px
            ):
                rows.append(StartRow(header.ref.id, start.correction))
        return rows

    def _start(self, header: ExposureHeader, frame: MatchFrame, where: Placed) -> Start:
        return start_with(
            where.transform,
            footprint(header.wcs).points(),
            (frame.plane, plane_for(self.tools.plan, header)),
            frame.scale_arcsec,
            self.tools.plan.algorithms.geometry,
        )


def _place(area: Footprint, frame: MatchFrame) -> FieldPlace:
    """Return the middle and half the diagonal of an exposure on the common plane, px."""
    points = frame.plane.from_sky(area.points())
    x, y = points.x / frame.scale_arcsec, points.y / frame.scale_arcsec
    middle = complex(0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max()))
    return FieldPlace(middle, 0.5 * float(np.hypot(np.ptp(x), np.ptp(y))))
