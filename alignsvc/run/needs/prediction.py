"""What a run will need, computed from its plan before anything runs: tasks, memory, disk.

A pure function of the plan. What was needed is in the report beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.io.inputs_ahead import far_files
from alignsvc.numerics.sky.colours import colour_exposures
from alignsvc.numerics.sky.footprints import footprint
from alignsvc.run.needs.task_needs import (
    MEASURED_BY_MODEL,
    OF_EXPOSURES,
    OF_TILES,
    Sizes,
    TaskNeeds,
)
from alignsvc.run.pictures.previewing import n_preview_tasks, preview_bytes
from alignsvc.run.planning.kept_tiles import Role
from alignsvc.run.planning.plan import Plan, PlannedExposure, comparable
from alignsvc.run.stages.rejecting import components_with_search

#: Pixels around a tile that detection reads too.
_HALO_PX = 64
#: On disk, a pixel of a contribution (numerator and weight, float32), and of a mosaic (the same in
#: float64, and its segmentation): weights, labels and sums of few compress well, noise does not.
_CONTRIBUTION, _MOSAIC = 4.5, 7.0
#: What is left for people: a pixel of a FITS file of the mosaic, and of a plane of an input that is
#: copied.
_MOSAIC_FITS, _COPY = 8.0, 4.0
#: Of an exposure and a pass: displacements with their places, and pixels of the worst sources.
_NUMBERS, _PIXELS = 0.1e6, 0.7e6
#: Tables of a pass, for a pixel of an exposure (550 bytes for a source, 900 to the megapixel), and
#: in how many passes; what tells that a task is done, a block of the disk; and the journal.
_TABLES, _PASSES, _RECEIPT, _JOURNAL = 0.5, 3, 4096, 3e5


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks of a stage there are.

    Parameters
    ----------
    once : int
        Before the loop and after it.
    every : int
        In each pass.
    full : int
        More, in each full pass.
    told : int
        More, in the full passes that measure by a model: all but the first; or in the second pass
        if that is not full.
    """

    once: int = 0
    every: int = 0
    full: int = 0
    told: int = 0

    @property
    def of_a_pass(self) -> int:
        """Tasks of a full pass, not the first."""
        return self.every + self.full + self.told

    def of_a_run(self, passes: int, full: int) -> int:
        """Return the tasks of a run of so many passes, so many of them full."""
        told = 0 if passes < 2 else max(full - 1, 1)
        return self.once + self.every * passes + self.full * full + self.told * told


@dataclass(frozen=True, slots=True)
class StagePrediction:
    """The tasks of one stage.

    Parameters
    ----------
    stage : str
    counts : Counts
    memory_bytes : int
        What the worker of the largest task occupies, libraries included.
    seconds : float
        What a task of typical size takes: the grain (a core of 2023, about 900 sources a
        megapixel).
    subject : str
        Exposure or tile of the largest.
    """

    stage: str
    counts: Counts
    memory_bytes: int
    seconds: float
    subject: str

    @property
    def n_tasks(self) -> int:
        """Tasks of a full pass; of the run, where the stage is not of a pass."""
        return self.counts.of_a_pass or self.counts.once


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run will need.

    Parameters
    ----------
    stages : tuple of StagePrediction
    contribution_bytes, mosaic_bytes, product_bytes, table_bytes : int
        Disk: what exposures give to the mosaic, the mosaic, what is left for people, and tables,
        receipts and journal.
    """

    stages: tuple[StagePrediction, ...]
    contribution_bytes: int
    mosaic_bytes: int
    product_bytes: int
    table_bytes: int

    @property
    def disk_bytes(self) -> int:
        """Disk at the peak: one generation takes another's place, or products are written."""
        once = self.contribution_bytes + self.mosaic_bytes
        return once + max(once, self.product_bytes) + self.table_bytes

    @property
    def end_bytes(self) -> int:
        """Disk at the end of a run, before what only a run that goes on needs is removed."""
        left = self.product_bytes + self.table_bytes
        return self.contribution_bytes + self.mosaic_bytes + left

    @property
    def hungriest(self) -> StagePrediction:
        """The stage that needs most memory."""
        return max(self.stages, key=lambda one: one.memory_bytes)

    @property
    def memory_bytes(self) -> int:
        """What each worker needs."""
        return self.hungriest.memory_bytes

    @property
    def n_tasks(self) -> int:
        """Tasks of a full pass."""
        return sum(one.counts.of_a_pass for one in self.stages)

    @property
    def n_once(self) -> int:
        """Tasks before the loop and after it."""
        return sum(one.counts.once for one in self.stages)


def predicted(plan: Plan) -> Prediction:
    """Return what a run of `plan` will need.

    Memory is good to a factor of 1.5, and at most 15 % too low (tests/README.md): it is that of
    fields with about 900 sources a megapixel or more, so that sparse ones need less. Disk is good
    to a factor of 1.5.
    """
    sizes = _Measures(plan)
    return Prediction(
        tuple(sizes.stages()),
        sizes.contribution_bytes,
        sizes.mosaic_bytes,
        sizes.product_bytes,
        sizes.table_bytes,
    )


class _Measures:
    """Sizes and numbers of everything in a plan, each computed once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.searched = components_with_search(plan)

    def stages(self) -> list[StagePrediction]:
        """Return the stages that have tasks."""
        found = []
        for stage, counts in self.counts.items():
            if stage in OF_TILES:
                found.append(_stage(stage, counts, OF_TILES[stage], self._tiles(stage)))
            else:
                found.append(_stage(stage, counts, self._need(stage), self.exposures))
        return [one for one in found if one.n_tasks]

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Tasks of each stage, in the order of a run.

        After the loop the mosaic is made again, if one is left.
        """
        plan, turns = self.plan, self._turns
        n, n_tiles = len(plan.exposures), self._n_tiles(plan.grids)
        n_measured = len(self._measured())
        rays = sum(one.component in self.searched and not one.is_frozen for one in plan.exposures)
        again = n if self.searched else 0
        tiles_again = n_tiles if self.searched else 0
        listed = len(comparable(plan)) if plan.algorithms.bootstrap is not None else 0
        by_model = n_tiles if self._is_by_model else 0
        both, final = plan.algorithms.comparison is not None, plan.leaves_mosaic
        return {
            "list_sources": Counts(once=listed if listed > 1 else 0),
            "match_sources": Counts(once=max(listed - len(plan.grids), 0)),
            "resample": Counts(once=n * final, every=n * turns, full=again),
            "merge": Counts(once=n_tiles * final, every=n_tiles * turns, full=tiles_again),
            "reject": Counts(full=rays),
            "background": Counts(once=n_tiles * both, full=n_tiles, told=by_model),
            "detect": Counts(full=n_tiles),
            "tell": Counts(once=n_tiles * both, told=by_model),
            "measure": Counts(every=n_measured),
            "compare": Counts(once=2 * n_measured * both),
            "preview": Counts(once=2 * n_preview_tasks(plan)),
        }

    @property
    def _is_by_model(self) -> bool:
        """Whether passes measure by a model."""
        return self.plan.config.alignment.method.name == "model"

    def _need(self, stage: str) -> TaskNeeds:
        is_model = stage == "measure" and self._is_by_model
        return MEASURED_BY_MODEL if is_model else OF_EXPOSURES[stage]

    def _measured(self) -> list[PlannedExposure]:
        alone = self.plan.config.alignment.solver == "independent"
        roles = (Role.MOVES,) if alone else (Role.MOVES, Role.MEASURED)
        return [one for one in self.plan.exposures if one.role in roles]

    @property
    def _turns(self) -> int:
        """How often the mosaic is made in a pass: on the fly, for each colour of exposures."""
        if self.plan.config.alignment.update != "otf":
            return 1
        tiles = [self._touched(one) for one in self.plan.moving]
        return max(1, len(colour_exposures(tiles)))

    def _touched(self, one: PlannedExposure) -> frozenset[TileId]:
        grid = self.plan.grids[one.component]
        return frozenset(grid.tiles_touching(_box_of(one, grid)))

    def _n_tiles(self, grids: tuple[MosaicGrid, ...]) -> int:
        return sum(len(self.plan.tiles_made(grid)) for grid in grids)

    @cached_property
    def exposures(self) -> list[tuple[str, Sizes]]:
        """Sizes of each exposure's tasks."""
        return [(one.id, self._exposure(one)) for one in self.plan.exposures]

    def _exposure(self, one: PlannedExposure) -> Sizes:
        grid = self.plan.grids[one.component]
        return Sizes(
            read=float(sum(math.prod(wcs.shape) for wcs in one.header.wcs)),
            chip=max(
                math.prod(wcs.shape) * max(1.0, _zoom(wcs, grid)) ** 2 for wcs in one.header.wcs
            ),
            area=float(math.prod(_box_of(one, grid).shape)),
            tile=float(math.prod(grid.tile_shape)),
            mosaic=self._tiles_px,
            far=_planes_px(one) if far_files(one.header.ref) else 0.0,
        )

    def _tiles(self, stage: str) -> list[tuple[str, Sizes]]:
        """Return sizes of each tile's tasks: what lies in its process comes from exposures."""
        sources_first = self.plan.algorithms.sources_first
        halo_px = _HALO_PX
        if stage == "tell" and sources_first is not None:
            halo_px = sources_first.halo_px
        area = max((one.area for _, one in self.exposures), default=0.0)
        return [
            (
                str(tile),
                Sizes(
                    area=area,
                    tile=float(math.prod(grid.tile_shape)),
                    cut=float(
                        math.prod(grid.tile_box(tile).expand(halo_px).intersect(grid.box).shape)
                    ),
                    mosaic=self._tiles_px,
                ),
            )
            for grid in self.plan.grids
            for tile in self.plan.tiles_made(grid)
        ]

    @property
    def contribution_bytes(self) -> int:
        """Disk for what exposures give to the mosaic."""
        return int(_CONTRIBUTION * sum(one.area for _, one in self.exposures))

    @property
    def mosaic_bytes(self) -> int:
        """Disk for the mosaic; if all are kept, for those of the passes too."""
        kept = _PASSES if self.plan.config.run.keep_mosaics == "all" else 1
        return int(_MOSAIC * self._mosaic_px() * kept)

    @property
    def product_bytes(self) -> int:
        """Disk for what is left for people: mosaic as FITS, copies of inputs, history."""
        output, moving = self.plan.config.output, self.plan.moving
        mosaic = _MOSAIC_FITS * self._mosaic_px() if output.mosaic == "fits" else 0.0
        copied = sum(_planes_px(one) for one in moving) if output.wcs == "copy" else 0.0
        kept = {"none": 0, "last": 1, "all": _PASSES}[output.history]
        pixels = min(_PIXELS * kept * len(moving), 1e6 * output.diagnostics_mb)
        return int(mosaic + _COPY * copied + _NUMBERS * kept * len(moving) + pixels)

    @property
    def table_bytes(self) -> int:
        """Disk for tables, receipts and the journal."""
        full = self.plan.config.alignment.max_full_passes
        tasks = sum(one.of_a_run(_PASSES, min(full, _PASSES)) for one in self.counts.values())
        tables = _TABLES * _PASSES * sum(one.read for _, one in self.exposures)
        return int(tables + _RECEIPT * tasks + _JOURNAL + preview_bytes(self.plan))

    @cached_property
    def _tiles_px(self) -> float:
        """Pixels of all tiles, those at the end of a grid too as large as any."""
        grids = self.plan.grids
        return float(sum(math.prod(one.tile_shape) * self._n_tiles((one,)) for one in grids))

    def _mosaic_px(self) -> float:
        return sum(
            float(math.prod(grid.tile_box(tile).shape))
            for grid in self.plan.grids
            for tile in self.plan.tiles_made(grid)
        )


def _stage(
    stage: str, counts: Counts, need: TaskNeeds, subjects: list[tuple[str, Sizes]]
) -> StagePrediction:
    if not subjects:
        return StagePrediction(stage, Counts(), 0, 0.0, "")
    subject, largest = max(subjects, key=lambda one: need.memory_bytes(one[1]))
    seconds = float(np.median([need.seconds(sizes) for _, sizes in subjects]))
    return StagePrediction(stage, counts, int(need.memory_bytes(largest)), seconds, subject)


def _zoom(wcs: CelestialWcs, grid: MosaicGrid) -> float:
    return float(wcs.pixel_scale_arcsec) / grid.scale_arcsec


def _planes_px(one: PlannedExposure) -> float:
    """Return the pixels of an exposure's science, weight and mask planes."""
    return float(
        sum(
            math.prod(wcs.shape) * (1 + (chip.weight is not None) + (chip.mask is not None))
            for wcs, chip in zip(one.header.wcs, one.header.ref.chips, strict=True)
        )
    )


def _box_of(one: PlannedExposure, grid: MosaicGrid) -> PixelBox:
    """Return the pixels of the grid around an exposure."""
    corners: Points = grid.pixel_from_sky(footprint(one.start_wcs).points())
    x, y = (np.asarray(axis)[np.isfinite(axis)] for axis in (corners.x, corners.y))
    if not len(x) or not len(y):
        return PixelBox(0, 0, 0, 0)
    return PixelBox(
        math.floor(x.min()), math.floor(y.min()), math.ceil(x.max()), math.ceil(y.max())
    )
