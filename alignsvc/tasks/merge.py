"""Sum the contributions to one tile of the mosaic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alignsvc.domain.digest import digest_of
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.numerics.resampling.coadd import Contribution, merge
from alignsvc.tasks.resample import contribution_store


def mosaic_store(run: Place) -> MosaicStore:
    """Return the mosaic store of the run in the directory `run`."""
    return MosaicStore(RunLocations(run).path(MOSAIC_STORE))


@dataclass(frozen=True, slots=True)
class Part:
    """A contribution by name, with the checksum of its content."""

    name: str
    checksum: str


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Sum contributions to a tile, in the order given; product: the tile.

    Parameters
    ----------
    run : Place
        The run directory.
    grid : MosaicGrid
    tile : TileId
    parts : tuple of Part
        In order of exposure id, which decides the bits of the sum.
    generation : int
        Of the mosaic, to write.
    same_as : int or None
        A generation whose tile has these very parts: it is linked instead.
    """

    run: Place
    grid: MosaicGrid
    tile: TileId
    parts: tuple[Part, ...]
    generation: int
    same_as: int | None = None

    @property
    def key(self) -> TaskKey:
        """Identity: the parts, the tile and the generation that holds it."""
        digest = digest_of("merge", self.grid, self.tile, self.parts, self.generation)
        return TaskKey("merge", str(self.tile), digest)

    def __call__(self) -> TaskOutcome:
        """Write the tile."""
        store = mosaic_store(self.run)
        if self.same_as is not None and store.has_tile(self.same_as, self.tile):
            store.link_tile(self.same_as, self.generation, self.tile)
            checksum = store.checksum(self.generation, self.tile)
        else:
            box = self.grid.tile_box(self.tile)
            checksum = store.write_tile(self.generation, self.tile, merge(self._read(), box))
        product = f"{MOSAIC_STORE}/generation-{self.generation:04d}/{self.tile}"
        return TaskOutcome(self.key, TaskStatus.OK, product=product, checksum=checksum)

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether the tile is in the store, with the pixels that the outcome tells of.

        They are read: another driver may have made this tile of other exposures.
        """
        return mosaic_store(self.run).is_tile(self.generation, self.tile, outcome.checksum)

    def _read(self) -> Iterator[Contribution]:
        store = contribution_store(self.run)
        box = self.grid.tile_box(self.tile)
        return store.read_each((part.name for part in self.parts), box)
