"""Sum the contributions to one tile of the mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from alignsvc.domain.digest import digest_of
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.locations import MOSAIC_STORE, RunLocations
from alignsvc.io.mosaic_arrays import generation_name
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.io.sums_under import SumsUnder
from alignsvc.numerics.resampling.coadd import merge
from alignsvc.numerics.resampling.patches import NOTHING_UNDER, LaidOver, Under, laid_over
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
class TileWithOtherRays:
    """A tile of an earlier mosaic of the same exposures where they were, with other rays.

    Parameters
    ----------
    generation : int
    checksum : str
    is_patched : bool
        Whether any of its parts is laid over another.
    """

    generation: int
    checksum: str
    is_patched: bool


@dataclass(frozen=True)
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
    other_rays : TileWithOtherRays or None
        One whose parts differ from these in their rays: these are changed in it.
    """

    run: Place
    grid: MosaicGrid
    tile: TileId
    parts: tuple[Part, ...]
    generation: int
    same_as: int | None = None
    other_rays: TileWithOtherRays | None = None

    @cached_property
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
            checksum = self._write(store)
        product = f"{MOSAIC_STORE}/{generation_name(self.generation)}/{self.tile}"
        return TaskOutcome(self.key, TaskStatus.OK, product=product, checksum=checksum)

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Whether the tile is in the store, with the pixels that the outcome tells of.

        They are read: another driver may have made this tile of other exposures.
        """
        return mosaic_store(self.run).is_tile(self.generation, self.tile, outcome.checksum)

    def _write(self, store: MosaicStore) -> str:
        """Sum parts as they are without patches, lay all patches over that; return its checksum.

        The bits are the same whether the sums are there already.
        """
        contributions = contribution_store(self.run)
        parts = [*contributions.stored_each(part.name for part in self.parts)]
        known = self._known(store) or self._summed(contributions, parts)
        patches = contributions.patch_each(parts, self.tile)
        made = laid_over(known.sums, patches, known.under)
        checksum = store.write_tile(self.generation, self.tile, made.sums)
        if any(one.base for one in parts):
            SumsUnder(store).write(self.generation, self.tile, checksum, made.under)
        return checksum

    def _known(self, store: MosaicStore) -> LaidOver | None:
        """Return the tile with other rays, and what lies under them, if all of it is there."""
        other = self.other_rays
        if other is None or not store.is_tile(other.generation, self.tile, other.checksum):
            return None
        under: Under | None = NOTHING_UNDER
        if other.is_patched:
            under = SumsUnder(store).find(other.generation, self.tile, other.checksum)
        if under is None:
            return None
        return LaidOver(store.read_tile(other.generation, self.tile), under)

    def _summed(
        self, contributions: ContributionStore, parts: Sequence[StoredContribution]
    ) -> LaidOver:
        box = self.grid.tile_box(self.tile)
        return LaidOver(merge(contributions.read_each(parts, box), box), NOTHING_UNDER)
