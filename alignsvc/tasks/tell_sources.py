"""What the sources of one tile of the mosaic are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from alignsvc.domain.digest import digest_of
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import RunLocations, table_name
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.models.on_chip.mosaic_image import PartOfMosaic, mosaic_image
from alignsvc.numerics.models.on_chip.mosaic_sources import MosaicSources
from alignsvc.numerics.resampling.saturation import as_mask
from alignsvc.numerics.sources.detection import MosaicCut
from alignsvc.numerics.sources.filters import within
from alignsvc.numerics.sources.mosaic_background import MosaicBackground
from alignsvc.tasks.detect import TileView
from alignsvc.tasks.mosaic_at_hand import mosaic_at_hand
from alignsvc.tasks.resample import contribution_store
from alignsvc.tasks.sources_at_hand import sources_near


@dataclass(frozen=True)
class TellSourcesTask:
    """Tell what the sources of a tile are; product: a table of `SourceKinds`.

    Parameters
    ----------
    view : TileView
    gains : tuple of float or None
        Of its parts: electrons per unit of the mosaic's pixels; None = not known.
    sources : TableRef
        Of the `LabelledSources` that are measured, in cells.
    background : TableRef
        Of a `MosaicBackground`.
    model : MosaicSources
    """

    view: TileView
    gains: tuple[float | None, ...]
    sources: TableRef
    background: TableRef
    model: MosaicSources

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the mosaic's pixels, the sources and the model's settings."""
        view = self.view
        where = (view.checksum, view.grid, view.tile, view.parts)
        inputs = (self.gains, self.sources, self.background, self.model)
        return TaskKey("tell", str(view.tile), digest_of("tell", *where, *inputs))

    def __call__(self) -> TaskOutcome:
        """Write the table."""
        view, objects = self.view, RunLocations(self.view.run).products
        box = self.model.box_for(view.core, view.grid)
        sources = sources_near(view.run, self.sources, view.grid.component, box)
        own = within(sources, view.core).id
        mosaic = mosaic_at_hand(view.run).read(view.generation, view.grid.component, box)
        name, table = self.background.name, self.background.checksum
        background = read_table(objects, name, MosaicBackground, table)
        contributions = contribution_store(view.run)
        saturated = as_mask(contributions.saturated_each(part.name for part in view.parts), box)
        cut = MosaicCut(view.grid, mosaic, background, saturated)
        on_box = replace(sources, x=sources.x - box.x0, y=sources.y - box.y0)
        kinds = self.model(mosaic_image(cut, self._parts(cut)), on_box).among(own)
        checksum = write_table(objects, table_name(self.key), kinds)
        counts = (
            ("sources", float(len(kinds))),
            ("galaxies", float(np.sum(kinds.is_galaxy))),
            ("companions", float(len(kinds.companion_of))),
        )
        return TaskOutcome(
            self.key,
            TaskStatus.OK,
            product=table_name(self.key),
            checksum=checksum,
            facts=counts,
        )

    def _parts(self, cut: MosaicCut) -> Iterator[PartOfMosaic]:
        store = contribution_store(self.view.run)
        for part, gain in zip(self.view.parts, self.gains, strict=True):
            yield PartOfMosaic(store.read(part.name, cut.box), gain)
