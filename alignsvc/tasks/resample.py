"""Drizzle one exposure alone: its contribution to the mosaic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.errors import DamagedProduct, NothingToMeasure
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.locations import CONTRIBUTIONS, RunLocations
from alignsvc.io.places import Place
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge_chips, replaced
from alignsvc.numerics.resampling.resamplers import RemakesParts, Resampler
from alignsvc.numerics.resampling.saturation import saturated_grid_pixels
from alignsvc.reasons import REASON_TEXT, SkipReason
from alignsvc.tasks.placed import ExposureView, PlacedChip, RayPixels

#: Part of a contribution's box up to which it is made from another: pieces cost more than a whole.
_WORTH_IT = 0.2


def contribution_store(run: Place) -> ContributionStore:
    """Return the store of contributions of the run in the directory `run`."""
    return ContributionStore(RunLocations(run).path(CONTRIBUTIONS))


@dataclass(frozen=True, slots=True)
class Base:
    """A contribution of the same exposure, in the same state but for its cosmic rays.

    Parameters
    ----------
    name : str
        In the store of contributions, if it is still there.
    rays : TableRef or None
        Of `RayPixels`: what it was made without.
    """

    name: str
    rays: TableRef | None


@dataclass(frozen=True, slots=True)
class ResampleTask:
    """Read an exposure, take its sky off, drizzle it; product: a contribution.

    Parameters
    ----------
    run : Place
        The run directory.
    view : ExposureView
    resampler : Resampler
    fills_rays : bool
        Whether rays on sources are filled with what the others expect, as templates need it;
        a mosaic for people holds measured pixels only.
    base : Base or None
        What this contribution is made from where few pixels differ. No part of the key, as no bit
        depends on it.
    """

    run: Place
    view: ExposureView
    resampler: Resampler
    fills_rays: bool = False
    base: Base | None = None

    @property
    def key(self) -> TaskKey:
        """Identity: the exposure's state and how it is resampled."""
        digest = digest_of("resample", self.view, self.resampler, self.fills_rays)
        return TaskKey("resample", self.view.exposure.id, digest)

    def __call__(self) -> TaskOutcome:
        """Write the contribution."""
        rays = self.view.known_rays(self.run)
        placed = self.view.placed(self.run)
        seen = tuple(replace(one, chip=self._seen(one, rays)) for one in placed)
        total = self._from_base(seen, rays)
        if total is None:
            total = merge_chips(
                self.resampler(one.chip, one.pixel_map, self.view.grid) for one in seen
            )
        if total.is_empty:
            reason = SkipReason.OUTSIDE_GRID
            raise NothingToMeasure(
                reason, f"exposure {self.view.exposure.id}: {REASON_TEXT[reason]}"
            )
        saturated = np.concatenate([saturated_grid_pixels(one.chip, one.pixel_map) for one in seen])
        store = contribution_store(self.run)
        stored = store.write(self.key.digest, total, saturated, self.view.grid)
        noise = float(np.mean([one.sky_weight for one in seen])) ** -0.5
        return TaskOutcome(
            self.key,
            TaskStatus.OK,
            product=f"{CONTRIBUTIONS}{stored.name}",
            checksum=stored.checksum,
            facts=(("noise", noise), ("tiles", float(len(stored.tiles)))),
        )

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether the contribution is in the store, whole: a damaged one is made again.

        They are read: less work than the merge that comes next, and only where a receipt is found.
        """
        del outcome  # the store knows the contribution's checksum by the task's key
        return contribution_store(self.run).is_whole(self.key.digest, self.view.grid)

    def _seen(self, placed: PlacedChip, rays: RayPixels) -> CalibratedChip:
        """Return the pixels of a chip as they are drizzled."""
        if self.fills_rays:
            return rays.filled_in(placed, self.view.total_flux_scale)
        return rays.left_out(placed.chip, placed.index)

    def _from_base(self, seen: Sequence[PlacedChip], rays: RayPixels) -> Contribution | None:
        """Return the base with all made again that its other rays touch.

        None if it cannot be done, is not worth it, or the base is gone or damaged: the same bits
        come of the whole.
        """
        if self.base is None:
            return None
        store = contribution_store(self.run)
        try:
            before = replace(self.view, rays=self.base.rays).known_rays(self.run)
            block = store.stored(self.base.name).block
            parts = self._touched(seen, rays.differing(before), math.prod(block.shape))
            return None if parts is None else replaced(store.read(self.base.name, block), parts)
        except DamagedProduct:
            return None

    def _touched(
        self, seen: Sequence[PlacedChip], pixels: RayPixels, n_pixels: int
    ) -> list[Contribution] | None:
        """Return all that some pixels touch of a contribution of `n_pixels`; None as above."""
        if not isinstance(self.resampler, RemakesParts):
            return None
        boxes: list[PixelBox] = []
        for one in seen:
            y, x = np.divmod(pixels.pixel[pixels.chip == one.index], one.chip.shape[1])
            touched = self.resampler.touched(
                one.pixel_map, Points(x.astype(float), y.astype(float))
            )
            if touched is None:
                return None
            boxes += touched
        if sum(math.prod(box.shape) for box in boxes) > _WORTH_IT * n_pixels:
            return None
        of_chips = [
            self.resampler.within(one.chip, one.pixel_map, self.view.grid, boxes) for one in seen
        ]
        return [merge_chips(parts) for parts in zip(*of_chips, strict=True)]
