"""Drizzle one exposure alone: its contribution to the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.errors import NothingToMeasure
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.locations import CONTRIBUTIONS, RunLocations
from alignsvc.io.places import Place
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import merge_chips
from alignsvc.numerics.resampling.patches import ChipInTwoStates
from alignsvc.numerics.resampling.resamplers import Resampler
from alignsvc.numerics.resampling.saturation import saturated_grid_pixels
from alignsvc.reasons import REASON_TEXT, SkipReason
from alignsvc.tasks.placed import NO_RAYS, ExposureView, PlacedChip, RayPixels

#: Part of an exposure's pixels that rays hit, up to which what they change is laid over the
#: contribution with all rays. Above it, in a run of two passes, making all anew costs less.
_MOST_PATCHED = 0.003


def contribution_store(run: Place) -> ContributionStore:
    """Return the store of contributions of the run in the directory `run`."""
    return ContributionStore(RunLocations(run).path(CONTRIBUTIONS))


@dataclass(frozen=True)
class ResampleTask:
    """Read an exposure, take its sky off, drizzle it; product: a contribution.

    For templates, one with few rays is laid over the one with all of them, always: what is stored
    follows from the key, whatever is there already.

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

    @property
    def exposure_read(self) -> ExposureRef:
        """What it reads the pixels of."""
        return self.view.exposure

    def __call__(self) -> TaskOutcome:
        """Write the contribution."""
        store = contribution_store(self.run)
        rays = self.view.known_rays(self.run)
        placed = [*self.view.placed(self.run, NO_RAYS if self.fills_rays else rays)]
        patches = self.resampler.patches() if self.fills_rays else None
        if patches is not None and rays.part_of(placed) <= _MOST_PATCHED:
            patch = patches([self._in_two_states(one, rays) for one in placed], self.view.grid)
            base = self._without_rays(store, placed)
            stored = store.lay_over(self.key.digest, base, patch, self.view.grid)
        else:
            # In their place: two planes of the grid come on top of what is held.
            placed = [replace(one, chip=self._seen(one, rays)) for one in placed]
            stored = self._written(store, placed)
        noise = float(np.mean([one.sky_weight for one in placed])) ** -0.5
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

    def _without_rays(
        self, store: ContributionStore, placed: Sequence[PlacedChip]
    ) -> StoredContribution:
        """Return the contribution that this one is laid over, made unless it is there.

        It is looked through only if this task has made it of something before: it was damaged then.
        """
        task = replace(self, view=replace(self.view, rays=None), fills_rays=False)
        if not store.exists(self.key.digest):
            found = store.find(task.key.digest)
            if found is not None:
                return found
        return task._written(store, placed)

    def _written(self, store: ContributionStore, seen: Sequence[PlacedChip]) -> StoredContribution:
        """Drizzle chips whole and store what they give."""
        total = merge_chips(self.resampler(one.chip, one.pixel_map, self.view.grid) for one in seen)
        if total.is_empty:
            reason = SkipReason.OUTSIDE_GRID
            raise NothingToMeasure(
                reason, f"exposure {self.view.exposure.id}: {REASON_TEXT[reason]}"
            )
        saturated = np.concatenate([saturated_grid_pixels(one.chip, one.pixel_map) for one in seen])
        return store.write(self.key.digest, total, saturated, self.view.grid)

    def _in_two_states(self, placed: PlacedChip, rays: RayPixels) -> ChipInTwoStates:
        """Return a chip with its rays and without."""
        seen = self._seen(placed, rays)
        return ChipInTwoStates(placed.chip, seen, placed.pixel_map, rays.on_chip(placed.index))

    def _seen(self, placed: PlacedChip, rays: RayPixels) -> CalibratedChip:
        """Return the pixels of a chip as they are drizzled."""
        if self.fills_rays:
            return rays.filled_in(placed, self.view.total_flux_scale)
        return placed.chip
