"""What the solve of one grid is made from: its exposures with their factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.correction import N_PARAMETERS, Correction, Geometry
from alignsvc.domain.geometry import SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Factors
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.scratch_rows import ScratchRows
from alignsvc.io.tables import read_table
from alignsvc.numerics.solve.gauge import Footprint, footprint_of
from alignsvc.numerics.solve.movement import chip_samples
from alignsvc.numerics.solve.steps import stepped
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.running import Tools

#: Points per side of a chip at which a gauge is held: a linear map needs no more.
_SAMPLES_PER_SIDE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """An exposure with its factors, in the store.

    Parameters
    ----------
    exposure : PlannedExposure
    factors : TableRef
    chips : ChipShifts or None
        Where its chips stood when it was measured, if chips have offsets.
    with_held_out : bool
        Whether sources that were kept out of the fit, to test it, serve it after all.
    levels : str
        Name of the table of its `MeasuredLevels`; empty if there is none.
    is_repeated : bool
        Whether the pass before measured it the same way.
    floor_arcsec : float
        What the pass before found its sources to disagree by on top of their errors.
    """

    exposure: PlannedExposure
    factors: TableRef
    chips: ChipShifts | None = None
    with_held_out: bool = False
    levels: str = ""
    is_repeated: bool = False
    floor_arcsec: float = 0.0

    def read(self, objects: ObjectStore, index: int) -> Factors:
        """Return the factors, as those of exposure `index` of a solve."""
        found = read_table(objects, self.factors.name, Factors, self.factors.checksum)
        found = replace(found, exposure=index)
        return found.with_held_out() if self.with_held_out else found


@dataclass(frozen=True, slots=True, eq=False)
class SolveGroup:
    """The exposures of one grid, with all that the solve needs of each.

    `are_repeated`: all were measured the same way in the pass before. `scales_arcsec`: of a pixel
    of each one's first chip. `floors_arcsec`: what the pass before found.
    """

    grid: MosaicGrid
    members: tuple[PlannedExposure, ...]
    factors: Sequence[Factors]
    footprints: tuple[Footprint, ...]
    totals: tuple[Correction, ...]
    chips: tuple[ChipShifts | None, ...]
    scales_arcsec: tuple[float, ...]
    floors_arcsec: tuple[float, ...]
    are_repeated: bool = False

    def as_free_as(self, geometries: Sequence[Geometry]) -> SolveGroup:
        """Return the group with footprints whose further steps have these geometries."""
        footprints = [
            replace(footprint, geometry=geometry)
            for footprint, geometry in zip(self.footprints, geometries, strict=True)
        ]
        return replace(self, footprints=tuple(footprints))

    def stepped(self, index: int, step: FloatArray, covariance: FloatArray) -> Correction:
        """Return the total correction of an exposure after one more step."""
        one, total = self.members[index], self.totals[index]
        geometry = self.footprints[index].geometry
        if one.start is None or geometry is total.geometry:
            return stepped(total, step, covariance, geometry)
        # What a stiffer geometry cannot express goes, but not what matching put before the loop.
        return stepped(one.since_start(total), step, covariance, geometry).after(one.start)


def group_of(
    tools: Tools,
    grid: MosaicGrid,
    measured: Sequence[Measured],
    corrections: Mapping[str, Correction],
) -> SolveGroup:
    """Return the exposures of a grid that were measured, with their factors and totals."""
    objects = RunLocations(tools.run).objects
    own = [one for one in measured if one.exposure.component == grid.component]
    read = (one.read(objects, index) for index, one in enumerate(own))
    equal = not tools.plan.config.alignment.use_weights
    factors = ScratchRows(equally_weighted(each) if equal else each for each in read)
    totals = tuple(corrections[one.exposure.id] for one in own)
    # Both of one exposure before the next: a WCS that is made for one serves the other.
    both = [
        (footprint_in(one.exposure, total, grid), scale_of(one.exposure))
        for one, total in zip(own, totals, strict=True)
    ]
    footprints, scales = tuple(one for one, _ in both), tuple(scale for _, scale in both)
    members, chips = tuple(one.exposure for one in own), tuple(one.chips for one in own)
    floors = tuple(one.floor_arcsec for one in own)
    are_repeated = all(one.is_repeated for one in own)
    return SolveGroup(
        grid, members, factors, footprints, totals, chips, scales, floors, are_repeated
    )


def scale_of(exposure: PlannedExposure) -> float:
    """Return the pixel scale of an exposure's first chip, arcsec."""
    return exposure.header.wcs[0].pixel_scale_arcsec


def footprint_in(exposure: PlannedExposure, total: Correction, grid: MosaicGrid) -> Footprint:
    """Return an exposure's footprint in a grid's plane, as its total since the start has it."""
    found = footprint_of(samples_of(exposure), exposure.since_start(total), grid.plane)
    if exposure.is_frozen:  # nothing of its total is ever to be undone
        found = replace(found, departure=np.zeros(N_PARAMETERS))
    return found


def samples_of(exposure: PlannedExposure) -> SkyPoints:
    """Return points over all chips of an exposure, where the loop began."""
    each = [
        wcs.sky_from_pixel(chip_samples(wcs.shape, _SAMPLES_PER_SIDE)) for wcs in exposure.start_wcs
    ]
    return SkyPoints(
        np.concatenate([sky.ra for sky in each]), np.concatenate([sky.dec for sky in each])
    )


def equally_weighted(factors: Factors) -> Factors:
    """Return factors that all have the mean information of those in use, in every direction."""
    used = factors.information[factors.use]
    mean = 0.5 * float(np.trace(used, axis1=1, axis2=2).mean()) if len(used) else 0.0
    information = np.where(factors.use[:, None, None], mean * np.eye(2), 0.0)
    return replace(factors, information=information)
