"""Drizzle one exposure alone: its contribution to the mosaic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.errors import NothingToMeasure
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.locations import CONTRIBUTIONS, RunLocations
from alignsvc.io.places import Place
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import merge_chips
from alignsvc.numerics.resampling.resamplers import Resampler
from alignsvc.numerics.resampling.saturation import saturated_grid_pixels
from alignsvc.reasons import REASON_TEXT, SkipReason
from alignsvc.tasks.placed import ExposureView, PlacedChip, RayPixels


def contribution_store(run: Place) -> ContributionStore:
    """Return the store of contributions of the run in the directory `run`."""
    return ContributionStore(RunLocations(run).path(CONTRIBUTIONS))


@dataclass(frozen=True)
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
    """

    run: Place
    view: ExposureView
    resampler: Resampler
    fills_rays: bool = False

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the exposure's state and how it is resampled."""
        digest = digest_of("resample", self.view, self.resampler, self.fills_rays)
        return TaskKey("resample", self.view.exposure.id, digest)

    def __call__(self) -> TaskOutcome:
        """Write the contribution."""
        rays = self.view.known_rays(self.run)
        placed = self.view.placed(self.run)
        seen = tuple(replace(one, chip=self._seen(one, rays)) for one in placed)
        total = merge_chips(self.resampler(one.chip, one.pixel_map, self.view.grid) for one in seen)
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
        return rays.left_out(placed)
