"""What a run will need, computed from its plan before anything runs: tasks, memory, disk.

A pure function of the plan. What was needed is in the report beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.engine.base import ClusterBackend, KnowsItsMemory
from alignsvc.errors import ConfigError
from alignsvc.numerics.sky.footprints import footprint
from alignsvc.run.kept_tiles import Role
from alignsvc.run.plan import Plan, PlannedExposure
from alignsvc.run.rejecting import components_with_search

#: A worker with all its libraries; measured as is all that follows (tests/README.md).
BASE_BYTES = 210e6
#: How far memory may be from what is predicted, either way: a task that would not fit even so is
#: refused, one that might not is warned of.
ACCURACY = 1.5


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Pixels that a task of an exposure, or of a tile, deals with.

    Parameters
    ----------
    read : float
        Of all chips.
    chip : float
        Of the largest chip, or of the grid under it if that has more.
    area : float
        Of the grid's box around all chips.
    tile : float
        Of a whole tile, which is what is read and decompressed.
    cut : float
        Of a tile and its halo, within the grid.
    """

    read: float = 0.0
    chip: float = 0.0
    area: float = 0.0
    tile: float = 0.0
    cut: float = 0.0


@dataclass(frozen=True, slots=True)
class _Bytes:
    """What a task of a stage occupies for each of those pixels, and the seconds for a megapixel.

    `heap_area` and `heap_tile` are what small arrays leave behind in the process for what comes
    after, up to `most_heap` (the heap keeps arrays of less than 16 MB: `engine.clusters.local`).
    """

    read: float = 0.0
    chip: float = 0.0
    area: float = 0.0
    tile: float = 0.0
    cut: float = 0.0
    heap_area: float = 0.0
    heap_tile: float = 0.0
    most_heap: float = 0.0
    seconds: float = 0.0

    def __call__(self, sizes: _Sizes) -> float:
        own = (
            self.read * sizes.read
            + self.chip * sizes.chip
            + self.area * sizes.area
            + self.tile * sizes.tile
            + self.cut * sizes.cut
        )
        left = self.heap_area * sizes.area + self.heap_tile * sizes.tile
        return BASE_BYTES + own + min(self.most_heap, left)


#: Of each stage, in the order of a run.
_OF_EXPOSURES: Mapping[str, _Bytes] = {
    "list_sources": _Bytes(read=4, chip=40, seconds=0.11),
    "resample": _Bytes(read=12, chip=25, area=16, heap_area=120, most_heap=130e6, seconds=0.14),
    "reject": _Bytes(read=12, chip=106, tile=10, heap_area=60, most_heap=100e6, seconds=0.27),
    "measure": _Bytes(read=12, chip=95, tile=24, heap_area=60, most_heap=100e6, seconds=1.07),
    "compare": _Bytes(read=12, chip=130, tile=24, heap_area=60, most_heap=100e6, seconds=1.07),
}
_OF_TILES: Mapping[str, _Bytes] = {
    "merge": _Bytes(tile=8, cut=16, heap_area=120, heap_tile=25, most_heap=220e6, seconds=0.1),
    "background": _Bytes(cut=24, heap_area=80, heap_tile=20, most_heap=200e6, seconds=0.02),
    "detect": _Bytes(cut=70, heap_area=80, heap_tile=20, most_heap=180e6, seconds=0.1),
    "tell": _Bytes(cut=95, heap_area=80, heap_tile=20, most_heap=180e6, seconds=3.0),
}
#: Pixels around a tile that detection reads too.
_HALO_PX = 64
#: On disk, a pixel of a contribution (numerator and weight, float32), and of a mosaic (the same in
#: float64, and its segmentation): weights, labels and sums of few compress well, noise does not.
_CONTRIBUTION, _MOSAIC = 4.5, 7.0
#: What is left for people: a pixel of a FITS file of the mosaic, and of a plane of an input that is
#: copied; and tables of an exposure.
_MOSAIC_FITS, _COPY, _TABLES = 8.0, 4.0, 1e6


@dataclass(frozen=True, slots=True)
class StagePrediction:
    """The tasks of one stage in a full pass.

    Parameters
    ----------
    stage : str
    n_tasks : int
    memory_bytes : int
        What the worker of the largest task occupies, libraries included.
    seconds : float
        What a task of typical size takes: the grain (a core of 2023; exposures full of sources
        take longer).
    subject : str
        Exposure or tile of the largest.
    is_once : bool
        Whether its tasks come once in a run: before the loop, or after it.
    """

    stage: str
    n_tasks: int
    memory_bytes: int
    seconds: float
    subject: str
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a run will need.

    Parameters
    ----------
    stages : tuple of StagePrediction
    contribution_bytes, mosaic_bytes, product_bytes : int
        Disk: what exposures give to the mosaic, the mosaic, and what is left for people.
    """

    stages: tuple[StagePrediction, ...]
    contribution_bytes: int
    mosaic_bytes: int
    product_bytes: int

    @property
    def disk_bytes(self) -> int:
        """Disk at the peak: one generation takes another's place, or products are written."""
        once = self.contribution_bytes + self.mosaic_bytes
        return once + max(once, self.product_bytes)

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
        return sum(one.n_tasks for one in self.stages if not one.is_once)

    @property
    def n_once(self) -> int:
        """Tasks before the loop and after it."""
        return sum(one.n_tasks for one in self.stages if one.is_once)


def predicted(plan: Plan) -> Prediction:
    """Return what a run of `plan` will need.

    Memory is good to a factor of 1.5 (rarely, and by less, too low; see tests/README.md), disk to
    a factor of two.
    """
    sizes = _Measures(plan)
    return Prediction(
        tuple(sizes.stages()), sizes.contribution_bytes, sizes.mosaic_bytes, sizes.product_bytes
    )


class _Measures:
    """Sizes of everything in a plan, each computed once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.searched = components_with_search(plan)

    def stages(self) -> list[StagePrediction]:
        """Return the stages that have tasks."""
        found = []
        for stage, need in _OF_EXPOSURES.items():
            subjects = [(one.id, self.exposures[one.id]) for one in self._of(stage)]
            found.append(_stage(stage, need, subjects, self._turns(stage, len(subjects))))
        for stage, need in _OF_TILES.items():
            tiles = self._tiles(stage)
            found.append(_stage(stage, need, tiles, self._turns(stage, len(tiles))))
        return [replace(one, is_once=self._is_once(one.stage)) for one in found if one.n_tasks]

    def _is_once(self, stage: str) -> bool:
        """Return whether a stage is not of a pass: of a run by both methods, the model's is not."""
        has_comparison = self.plan.algorithms.comparison is not None
        return stage in ("list_sources", "compare") or (stage == "tell" and has_comparison)

    def _of(self, stage: str) -> list[PlannedExposure]:
        everyone = list(self.plan.exposures)
        if stage == "list_sources":
            return everyone if self.plan.algorithms.bootstrap is not None else []
        if stage == "compare" and self.plan.algorithms.comparison is None:
            return []
        if stage in ("measure", "compare"):
            return [one for one in everyone if one.role is not Role.PLACED]
        if stage == "reject":
            return [one for one in everyone if one.component in self.searched and not one.is_frozen]
        return everyone

    def _turns(self, stage: str, n: int) -> int:
        """Return the tasks of a full pass: with cosmic rays the mosaic is made twice in it.

        Both methods are compared by a task of each.
        """
        if stage == "compare":
            return 2 * n
        if stage == "resample":
            return n + len(self._of("reject"))
        if stage == "merge":
            again = [grid for grid in self.plan.grids if grid.component in self.searched]
            return n + sum(len(self.plan.tiles_made(grid)) for grid in again)
        return n

    @cached_property
    def exposures(self) -> dict[str, _Sizes]:
        """Sizes of each exposure's tasks."""
        return {one.id: self._exposure(one) for one in self.plan.exposures}

    def _exposure(self, one: PlannedExposure) -> _Sizes:
        grid = self.plan.grids[one.component]
        return _Sizes(
            read=float(sum(math.prod(wcs.shape) for wcs in one.header.wcs)),
            chip=max(
                math.prod(wcs.shape) * max(1.0, _zoom(wcs, grid)) ** 2 for wcs in one.header.wcs
            ),
            area=_area_px(one, grid),
            tile=float(math.prod(grid.tile_shape)),
        )

    def _tiles(self, stage: str) -> list[tuple[str, _Sizes]]:
        """Return sizes of each tile's tasks: what lies in its process comes from exposures."""
        halo_px, sources_first = _HALO_PX, self.plan.algorithms.sources_first
        if stage == "tell":
            if sources_first is None:
                return []
            halo_px = sources_first.halo_px
        area = max((one.area for one in self.exposures.values()), default=0.0)
        return [
            (
                str(tile),
                _Sizes(
                    area=area,
                    tile=float(math.prod(grid.tile_shape)),
                    cut=float(
                        math.prod(grid.tile_box(tile).expand(halo_px).intersect(grid.box).shape)
                    ),
                ),
            )
            for grid in self.plan.grids
            for tile in self.plan.tiles_made(grid)
        ]

    @property
    def contribution_bytes(self) -> int:
        """Disk for what exposures give to the mosaic."""
        pixels = sum(one.area for one in self.exposures.values())
        return int(_CONTRIBUTION * pixels)

    @property
    def mosaic_bytes(self) -> int:
        """Disk for the mosaic."""
        return int(_MOSAIC * self._mosaic_px())

    @property
    def product_bytes(self) -> int:
        """Disk for what is left for people: the mosaic as FITS, and copies of the inputs."""
        output = self.plan.config.output
        mosaic = _MOSAIC_FITS * self._mosaic_px() if output.mosaic == "fits" else 0.0
        copied = sum(_planes_px(one) for one in self.plan.moving) if output.wcs == "copy" else 0.0
        return int(mosaic + _COPY * copied + _TABLES * len(self.plan.moving))

    def _mosaic_px(self) -> float:
        return sum(
            float(math.prod(grid.tile_box(tile).shape))
            for grid in self.plan.grids
            for tile in self.plan.tiles_made(grid)
        )


def _stage(
    stage: str, need: _Bytes, subjects: list[tuple[str, _Sizes]], n_tasks: int
) -> StagePrediction:
    if not subjects:
        return StagePrediction(stage, 0, 0, 0.0, "")
    subject, largest = max(subjects, key=lambda one: need(one[1]))
    mpix = float(np.median([max(one.read, one.cut) for _, one in subjects])) / 1e6
    return StagePrediction(stage, n_tasks, int(need(largest)), need.seconds * mpix, subject)


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


def _area_px(one: PlannedExposure, grid: MosaicGrid) -> float:
    """Return the pixels of the grid's box around an exposure."""
    corners: Points = grid.pixel_from_sky(footprint(one.start_wcs).points())
    x, y = (np.asarray(axis)[np.isfinite(axis)] for axis in (corners.x, corners.y))
    return float(np.ptp(x) * np.ptp(y)) if len(x) else 0.0


def require_fits(plan: Plan, backend: ClusterBackend) -> tuple[str, ...]:
    """Return a sentence if tasks of a run may not fit into its workers' memory; none if they do.

    Parameters
    ----------
    plan : Plan
    backend : ClusterBackend
        One that does not know its memory (`engine.base.KnowsItsMemory`) is not judged.

    Raises
    ------
    ConfigError
        They cannot fit: by more than the prediction can be wrong.
    """
    if not isinstance(backend, KnowsItsMemory) or not plan.exposures:
        return ()
    limit = backend.worker_memory_bytes
    worst = predicted(plan).hungriest
    if worst.memory_bytes <= limit:
        return ()
    text = (
        f"{worst.stage} of {worst.subject} needs about {worst.memory_bytes / 1e9:.2f} GB, a worker "
        f"has {limit / 1e9:.2f}"
    )
    smaller = "" if worst.stage in _OF_EXPOSURES else "mosaic.tile_shape smaller, "
    what_to_do = f"set {smaller}{backend.more_memory}"
    if worst.memory_bytes > ACCURACY * limit:
        raise ConfigError(f"memory: {text}; {what_to_do}")
    return (f"{text}: it may be tried again alone, which takes longer; {what_to_do}",)
