"""What held-out sources say of an exposure's correction, their own motion taken off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import SkyPoints
from alignsvc.domain.measurement import Displacements
from alignsvc.domain.reference_catalog import moved
from alignsvc.io.locations import RunLocations
from alignsvc.io.tables import read_table
from alignsvc.numerics.solve.motions import LEAST_YEARS, SourceMotions
from alignsvc.numerics.solve.verdict import HeldOut
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.reference import GridReference, years_of
from alignsvc.run.stages.running import Tools


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutTables:
    """Displacements of one pass, to be read for the sources that the fit did not use.

    Parameters
    ----------
    tools : Tools
    tables : mapping of exposure id to str
        Names of the tables of displacements.
    references : mapping of component to GridReference
        With motions: a source that a catalogue knows is judged by where it stood in each
        exposure; another one is not judged, if there is time enough between the exposures
        to move.
    """

    tools: Tools
    tables: Mapping[str, str]
    references: Mapping[int, GridReference]

    def of(self, exposure: PlannedExposure) -> HeldOut:
        """Return an exposure's held-out sources, less what their own motion did."""
        found = self._table(exposure)
        if found is None:
            return HeldOut.of(Displacements.concatenate([]))
        motions = self._motions(exposure)
        if motions is not None:
            added = self._own_motion_px(exposure, found, motions)
            found = replace(found, dx=found.dx + added[:, 0], dy=found.dy + added[:, 1])
        return HeldOut.of(found)

    def _table(self, exposure: PlannedExposure) -> Displacements | None:
        name = self.tables.get(exposure.id)
        if name is None:
            return None
        return read_table(RunLocations(self.tools.run).objects, name, Displacements)

    def _motions(self, exposure: PlannedExposure) -> SourceMotions | None:
        reference = self.references.get(exposure.component)
        years = years_of(self._members(exposure.component))
        if reference is None or reference.motions is None or not np.isfinite(years).all():
            return None
        span = years.max() - years.min()
        return reference.motions if span >= LEAST_YEARS else None

    def _members(self, component: int) -> list[PlannedExposure]:
        return [
            one
            for one in self.tools.plan.exposures
            if one.component == component and one.id in self.tables
        ]

    def _own_motion_px(
        self, exposure: PlannedExposure, found: Displacements, motions: SourceMotions
    ) -> FloatArray:
        """Return what motion takes from each displacement; NaN for sources of unknown motion.

        The mosaic of the others shows a source at the mean of their times, weighted as they
        are: ``d = p(T) - q = p(T) - p(t) + ...``, so ``p(t) - p(T)`` is to be added.
        """
        known = motions.rows_of(found.source)
        which = np.maximum(known, 0)
        sky = SkyPoints(motions.sky.ra[which], motions.sky.dec[which])
        motion = motions.motion_mas[which]
        own = float(years_of([exposure])[0])
        others = self._year_of_others(exposure, found)
        added = np.full((len(found), 2), np.nan)
        for chip in np.unique(found.chip):
            rows = np.flatnonzero((found.chip == chip) & (known >= 0) & np.isfinite(others))
            wcs = exposure.header.wcs[chip]
            here = SkyPoints(sky.ra[rows], sky.dec[rows])
            start = wcs.pixel_from_sky(moved(here, motion[rows], others[rows] - motions.year))
            end = wcs.pixel_from_sky(moved(here, motion[rows], own - motions.year))
            added[rows] = np.stack([end.x - start.x, end.y - start.y], axis=1)
        return added

    def _year_of_others(self, exposure: PlannedExposure, found: Displacements) -> FloatArray:
        """Return the mean time of the other exposures at each source, NaN where there is none."""
        weight, moment = np.zeros(len(found)), np.zeros(len(found))
        for one in self._members(exposure.component):
            table = self._table(one)
            if one.id == exposure.id or table is None:
                continue
            year = float(years_of([one])[0])
            share = _shares(table, found.source)
            weight += share
            moment += share * year
        with np.errstate(invalid="ignore", divide="ignore"):
            return moment / weight


def _shares(table: Displacements, sources: IntArray) -> FloatArray:
    """Return an exposure's part of the weight at sources, 0 where it did not see them."""
    order = np.argsort(table.source, kind="stable")
    share = np.nan_to_num(table.weight_share[order])
    if not len(order):
        return np.zeros(len(sources))
    at = np.minimum(np.searchsorted(table.source[order], sources), len(order) - 1)
    return np.where(table.source[order][at] == sources, share[at], 0.0)
