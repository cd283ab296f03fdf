"""Cosmic rays of one exposure, by what all the others saw."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from alignsvc.domain.digest import digest_of
from alignsvc.domain.exposure import ExposureRef
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.io.locations import RunLocations
from alignsvc.io.places import Place
from alignsvc.io.tables import write_table
from alignsvc.numerics.resampling.grid_units import chip_box
from alignsvc.numerics.sources.chip_blots import OthersUnderChip
from alignsvc.numerics.sources.cosmic_rays import CosmicRayRejection, RaysOnChip
from alignsvc.tasks.measure import REACH_PX, MosaicPart
from alignsvc.tasks.mosaic_at_hand import mosaic_at_hand
from alignsvc.tasks.placed import ExposureView, PlacedChip, RayPixels
from alignsvc.tasks.resample import contribution_store


@dataclass(frozen=True)
class RejectTask:
    """Find the cosmic rays of an exposure; product: a table of `RayPixels`.

    Parameters
    ----------
    run : Place
        The run directory.
    view : ExposureView
        Without rays: they are looked for anew.
    mosaic : MosaicPart
    rejection : CosmicRayRejection
    misalignment_px : int or None
        How far the exposure may lie from the others; None if it was aligned with them.
    """

    run: Place
    view: ExposureView
    mosaic: MosaicPart
    rejection: CosmicRayRejection
    misalignment_px: int | None

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the exposure's state, the mosaic around it, and how rays are found."""
        mosaic = (self.mosaic.tiles, self.mosaic.own)
        digest = digest_of("reject", self.view, mosaic, self.rejection, self.misalignment_px)
        return TaskKey("reject", self.view.exposure.id, digest)

    @property
    def exposure_read(self) -> ExposureRef:
        """What it reads the pixels of."""
        return self.view.exposure

    def __call__(self) -> TaskOutcome:
        """Write the table, under a name that its content gives: equal masks are one table."""
        rays = RayPixels.of(self._on_chips(), self.view.total_flux_scale)
        name = rays.table_name
        checksum = write_table(RunLocations(self.run).products, name, rays)
        n_pixels = (("pixels", float(len(rays.pixel))),)
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum, facts=n_pixels)

    def _on_chips(self) -> dict[int, RaysOnChip]:
        """Return the rays of each chip that has a good pixel, by its index."""
        return {one.index: self._rays(one) for one in self.view.placed(self.run)}

    def _rays(self, placed: PlacedChip) -> RaysOnChip:
        mosaic, component = mosaic_at_hand(self.run), self.view.grid.component
        box = chip_box(placed.pixel_map, REACH_PX).intersect(self.view.grid.box)
        total = tuple(mosaic.tiles_in(self.mosaic.generation, component, box))
        own = contribution_store(self.run).read(self.mosaic.own.name, box)
        others = OthersUnderChip(total, own, placed.pixel_map, self.misalignment_px)
        return self.rejection(placed.chip, others)
