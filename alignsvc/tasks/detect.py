"""Background and sources of one tile of the mosaic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.sources import SourceCatalog
from alignsvc.domain.task import TableRef
from alignsvc.io.locations import RunLocations, table_name
from alignsvc.io.places import Place
from alignsvc.io.receipts import product_is_whole
from alignsvc.io.tables import read_table, write_table
from alignsvc.numerics.resampling.saturation import as_mask
from alignsvc.numerics.sources.detection import Detector, MosaicCut, WantedSources
from alignsvc.numerics.sources.mosaic_background import MosaicBackground, MosaicMesh
from alignsvc.tasks.merge import Part, mosaic_store
from alignsvc.tasks.mosaic_at_hand import mosaic_at_hand
from alignsvc.tasks.resample import contribution_store


@dataclass(frozen=True, slots=True, eq=False)
class WantedPositions:
    """A user's sources on the grid: 0-based pixels and weights, all of one length."""

    x: FloatArray
    y: FloatArray
    weight: FloatArray


@dataclass(frozen=True, slots=True)
class TileView:
    """A tile of a generation of the mosaic, with what identifies its surroundings.

    Parameters
    ----------
    run : Place
        The run directory.
    grid : MosaicGrid
    tile : TileId
    generation : int
    checksum : str
        Digest of all tiles of the component.
    parts : tuple of Part
        Contributions to the tiles in reach, in order of exposure id.
    """

    run: Place
    grid: MosaicGrid
    tile: TileId
    generation: int
    checksum: str
    parts: tuple[Part, ...]

    @property
    def core(self) -> PixelBox:
        """Pixels of the tile."""
        return self.grid.tile_box(self.tile)


@dataclass(frozen=True)
class BackgroundTask:
    """Measure the mesh cells that begin in a tile; product: a table of `CellStatistics`."""

    view: TileView
    mesh: MosaicMesh

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the mosaic's pixels and the mesh."""
        view = self.view
        digest = digest_of("background", view.checksum, view.grid, view.tile, self.mesh)
        return TaskKey("background", str(view.tile), digest)

    def __call__(self) -> TaskOutcome:
        """Write the statistics."""
        view = self.view
        box = self.mesh.box_for(view.core, view.grid)
        mosaic = mosaic_at_hand(view.run).read(view.generation, view.grid.component, box)
        cells = self.mesh(mosaic, view.core, view.grid)
        name = table_name(self.key)
        checksum = write_table(RunLocations(view.run).products, name, cells)
        return TaskOutcome(self.key, TaskStatus.OK, product=name, checksum=checksum)


@dataclass(frozen=True)
class DetectTask:
    """Find the sources of a tile; products: a table of sources and the tile's segmentation.

    Parameters
    ----------
    view : TileView
    detector : Detector
    background : TableRef
        Of a `MosaicBackground`.
    wanted : TableRef or None
        Of `WantedPositions`: the sources of a user's catalogue, in place of all that are found.
    """

    view: TileView
    detector: Detector
    background: TableRef
    wanted: TableRef | None = None

    @cached_property
    def key(self) -> TaskKey:
        """Identity: the mosaic's pixels and the detector's settings."""
        view = self.view
        inputs = (self.detector, self.background.checksum, self.wanted and self.wanted.checksum)
        where = (view.checksum, view.grid, view.tile, view.generation, view.parts)
        digest = digest_of("detect", *where, *inputs)
        return TaskKey("detect", str(view.tile), digest)

    def __call__(self) -> TaskOutcome:
        """Write the sources, then nothing else: the segmentation is written before them."""
        view = self.view
        objects, store = RunLocations(view.run).products, mosaic_at_hand(view.run)
        box = self.detector.box_for(view.core, view.grid)
        # The halo is of tiles that are looked at next.
        mosaic = store.read(view.generation, view.grid.component, box)
        background = read_table(
            objects, self.background.name, MosaicBackground, self.background.checksum
        )
        contributions = contribution_store(view.run)
        saturated = as_mask(contributions.saturated_each(part.name for part in view.parts), box)
        cut = MosaicCut(view.grid, mosaic, background, saturated)
        if self.wanted is None:
            found = self.detector(cut, view.core)
        else:
            wanted = read_table(objects, self.wanted.name, WantedPositions, self.wanted.checksum)
            sources = WantedSources(Points(wanted.x, wanted.y), wanted.weight)
            found = self.detector.measure_user_sources(cut, view.core, sources)
        store.write_segmentation(view.generation, view.tile, found.segmentation)
        name = table_name(self.key)
        checksum = write_table(objects, name, found.catalog)
        n_sources = (("sources", float(len(found.catalog))),)
        return TaskOutcome(
            self.key, TaskStatus.OK, product=name, checksum=checksum, facts=n_sources
        )

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether the table and the tile's segmentation are in the store, and can be read."""
        view = self.view
        store = mosaic_store(view.run)
        return (
            product_is_whole(RunLocations(view.run).objects, outcome)
            and store.exists(view.generation)
            and store.segmentation_is_whole(view.generation, view.tile)
        )


def read_sources(run: Place, table: TableRef) -> SourceCatalog:
    """Return a catalogue of the run."""
    return read_table(RunLocations(run).objects, table.name, SourceCatalog, table.checksum)
