"""The mosaic in the store: a zarr group of generations, one of which is the current one.

::

    mosaic.zarr/
      current                     name of the published generation
      generation-0002/            one per pass; a zarr group
        c0/                       one per component; its grid is an attribute
          numerator, weight       float64, chunk = tile
          segmentation            int32, int64 where the grid has more pixels than that
                                  counts; chunk = tile, on passes that detect

A generation is written beside the published one, verified, and published by moving the pointer.
It exists once its own ``zarr.json`` does, which is written after all others and deleted before
them. Tiles that did not change are copies of the older generation's chunks, hard links on a disk:
objects are replaced, never written into, so a link shares bytes and not fate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io.codec import value_from
from alignsvc.io.mosaic_arrays import (
    GENERATION,
    PLANES,
    SEGMENTATION,
    SUMS,
    SourceIds,
    array_of,
    component_name,
    copy_chunk,
    generation_name,
    make_arrays,
)
from alignsvc.io.mosaic_pieces import (
    OpenPlanes,
    missing_tile,
    naming_tile,
    rows_of_tiles,
    whole_tile,
)
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.stores import objects_at
from alignsvc.io.tiled_arrays import DamagedChunk, KeptTiles, OpenTiles, TiledArray
from alignsvc.io.zarr_metadata import METADATA, create_group, group_attributes
from alignsvc.numerics.resampling.coadd import Contribution

_CURRENT = "current"
_POINTER = re.compile(rb"generation-(\d{4,})")


@dataclass(frozen=True, slots=True)
class MosaicStore:
    """Generations of the mosaic.

    Parameters
    ----------
    root : Place
        ``mosaic.zarr`` of the run; made with the first generation.
    kept : KeptTiles or None
        Where tiles that are read are kept for the next time.
    """

    root: Place
    kept: KeptTiles | None = field(default=None, compare=False, repr=False)

    @property
    def objects(self) -> ObjectStore:
        """What the store consists of; receipts, not the disk, say that a tile is whole."""
        return objects_at(self.root, is_scratch=True)

    def create(self, generation: int, grids: Iterable[MosaicGrid]) -> None:
        """Make a generation without tiles; nothing happens if it exists with these grids.

        One whose metadata is damaged is made anew: what its chunks mean nobody knows.

        Raises
        ------
        RunStoreError
            It exists with other grids.
        """
        grids = tuple(grids)
        if self.exists(generation) and self._can_be_read(generation, len(grids)):
            if self.grids(generation) != grids:
                raise RunStoreError(
                    f"mosaic store {self.root}: generation {generation} exists with other grids; "
                    "remove it first"
                )
            return
        make_arrays(self.objects, generation, grids)
        create_group(self.objects, generation_name(generation), {"n_components": len(grids)})

    def _can_be_read(self, generation: int, n_components: int) -> bool:
        """Whether the metadata of a generation and of all its arrays are whole."""
        try:
            self.grids(generation)
            for component in range(n_components):
                for plane in PLANES:
                    self._array(generation, component, plane).opened()
        except DamagedProduct:
            return False
        return True

    def exists(self, generation: int) -> bool:
        """Whether the generation has been created."""
        return self.objects.exists(f"{generation_name(generation)}/{METADATA}")

    def generations(self) -> tuple[int, ...]:
        """Return the generations that exist, in order."""
        numbers = (int(name.removeprefix(GENERATION)) for name in self._begun())
        return tuple(sorted(number for number in numbers if self.exists(number)))

    def grids(self, generation: int) -> tuple[MosaicGrid, ...]:
        """Return the grids that the generation was created with, in order of component."""
        attributes = self._attributes(generation_name(generation))
        n_components = value_from(attributes["n_components"], int)
        return tuple(self.grid(generation, component) for component in range(n_components))

    def grid(self, generation: int, component: int) -> MosaicGrid:
        """Return the grid of one component."""
        attributes = self._attributes(component_name(generation, component))
        return value_from(attributes["grid"], MosaicGrid)

    def write_tile(self, generation: int, tile: TileId, sums: Contribution) -> str:
        """Write a tile's numerator and weight (as float64); return their checksum.

        Raises
        ------
        ValueError
            `sums` is not exactly on the tile.
        """
        arrays = self._opened(generation, tile.component, SUMS).arrays
        both = zip(arrays, (sums.numerator, sums.weight), strict=True)
        piece = whole_tile(tile, sums.box)
        return _joined(
            self.objects.each(lambda one: one[0].write(piece, [one[1]]), both, len(arrays))
        )

    def checksum(self, generation: int, tile: TileId) -> str:
        """Return the checksum of a tile, all of which is read; RunStoreError as of `read`."""
        place = [(tile.row, tile.column)]
        try:
            arrays = self._opened(generation, tile.component, SUMS).arrays
            each = self.objects.each(lambda array: [*array.checksums(place)], arrays, len(arrays))
            return _joined(one for checksums in each for one in checksums)
        except DamagedChunk as error:
            raise missing_tile(generation, tile, str(error)) from error

    def read(self, generation: int, component: int, box: PixelBox) -> Contribution:
        """Return the sums within `box`, cut to the grid, float64.

        Raises
        ------
        RunStoreError
            A tile that shares a pixel with the box is missing or damaged; it is named.
        """
        opened = self._opened(generation, component, SUMS)
        with naming_tile(generation, component):
            return opened.sums(box)

    def tiles_in(self, generation: int, component: int, box: PixelBox) -> Iterator[Contribution]:
        """Yield the sums of each tile on which a box lies: whole rows, as they lie there.

        Of a tile those rows that the box has; beyond the grid's end nothing (weight 0). As `read`
        else.
        """
        opened = self._opened(generation, component, SUMS)
        pieces = rows_of_tiles(opened.grid, box.intersect(opened.grid.box))
        with naming_tile(generation, component):
            planes = (array.parts(pieces.values()) for array in opened.arrays)
            each = zip(pieces, *planes, strict=True)
            for rows, numerator, weight in each:
                yield Contribution(rows, numerator, weight)

    def read_tile(self, generation: int, tile: TileId) -> Contribution:
        """Return a whole tile; RunStoreError if it is missing or damaged."""
        opened = self._opened(generation, tile.component, SUMS)
        with naming_tile(generation, tile.component):
            return opened.sums(opened.grid.tile_box(tile))

    def is_tile(self, generation: int, tile: TileId, checksum: str) -> bool:
        """Whether the tile is there, as it was when it had this checksum; it is read."""
        if not self.exists(generation) or not self.has_tile(generation, tile):
            return False
        try:
            return self.checksum(generation, tile) == checksum
        except DamagedProduct:
            return False

    def has_tile(self, generation: int, tile: TileId) -> bool:
        """Whether both planes of the tile have been written."""
        arrays = [self._array(generation, tile.component, name) for name in SUMS]
        there = self.objects.each(
            lambda array: array.has_chunk(tile.row, tile.column), arrays, len(arrays)
        )
        return all(there)

    def has_segmentation(self, generation: int, tile: TileId) -> bool:
        """Whether the tile's map of source ids has been written."""
        array = self._array(generation, tile.component, SEGMENTATION)
        return array.has_chunk(tile.row, tile.column)

    def segmentation_is_whole(self, generation: int, tile: TileId) -> bool:
        """Whether the tile's map of source ids can be read."""
        if not self.has_segmentation(generation, tile):
            return False
        box = self.grid(generation, tile.component).tile_box(tile)
        try:
            self.read_segmentation(generation, tile.component, box)
        except DamagedProduct:
            return False
        return True

    def link_segmentation(self, source: int, target: int, tile: TileId) -> None:
        """Make a tile's map of source ids that of another generation too.

        Raises
        ------
        RunStoreError
            Generation `source` has none.
        """
        if not self.has_segmentation(source, tile):
            raise missing_tile(source, tile, "segmentation is missing")
        self._copy_chunk(self, (source, tile), (target, tile), SEGMENTATION)

    def write_segmentation(self, generation: int, tile: TileId, labels: IntArray) -> None:
        """Write a tile's map of source ids (0 = sky).

        Raises
        ------
        ValueError
            An id is above the grid's number of pixels.
        """
        array = self._array(generation, tile.component, SEGMENTATION).opened()
        if labels.max(initial=0) > math.prod(array.shape):
            raise ValueError(
                f"segmentation of tile {tile}: an id is above {math.prod(array.shape)}"
            )
        box = self.grid(generation, tile.component).tile_box(tile)
        array.write(whole_tile(tile, box), [labels.astype(array.dtype, copy=False)])

    def read_segmentation(self, generation: int, component: int, box: PixelBox) -> SourceIds:
        """Return source ids within `box`, cut to the grid, of the type that they are stored in.

        Raises
        ------
        RunStoreError
            A tile's map is missing or damaged; the tile is named.
        """
        opened = self._opened(generation, component, (SEGMENTATION,))
        with naming_tile(generation, component):
            (labels,) = (
                opened.cut(array, box.intersect(opened.grid.box)) for array in opened.arrays
            )
        return labels

    def link_tile(self, source: int, target: int, tile: TileId) -> None:
        """Make the tile of generation `source` that of generation `target` too.

        The target's own tile, if any, is replaced.
        """
        for plane in PLANES:
            if self._array(source, tile.component, plane).has_chunk(tile.row, tile.column):
                self._copy_chunk(self, (source, tile), (target, tile), plane)
            elif plane in SUMS:
                raise missing_tile(source, tile, f"{plane} is missing")

    def adopt(self, other: MosaicStore, source: int, target: int) -> None:
        """Make a generation of another store one of this store too, without its sources.

        Chunks are linked or copied; the other store stays as it is. Nothing happens if the
        target exists.
        """
        if self.exists(target):
            return
        grids = other.grids(source)
        make_arrays(self.objects, target, grids)
        for grid in grids:
            for tile in grid.tiles():
                for plane in SUMS:
                    if other._array(source, tile.component, plane).has_chunk(tile.row, tile.column):
                        self._copy_chunk(other, (source, tile), (target, tile), plane)
        create_group(self.objects, generation_name(target), {"n_components": len(grids)})

    def link_earlier(self, source: int, there: TileId, target: int, tile: TileId) -> None:
        """Make a tile of an adopted generation, perhaps of another number, one of `target`.

        No source is known in it.

        Raises
        ------
        RunStoreError
            The adopted generation lacks the tile.
        """
        for plane in SUMS:
            if not self._array(source, there.component, plane).has_chunk(there.row, there.column):
                raise missing_tile(source, there, f"{plane} is missing")
            self._copy_chunk(self, (source, there), (target, tile), plane)
        box = self.grid(target, tile.component).tile_box(tile)
        self.write_segmentation(target, tile, np.zeros(box.shape, np.int64))

    def publish(self, generation: int) -> None:
        """Make a generation the current one, once all its tiles are there.

        Raises
        ------
        RunStoreError
            A tile is missing: the pointer stays.
        """
        # One listing: asking a bucket for every chunk would take minutes.
        there = frozenset(self.objects.list(f"{generation_name(generation)}/"))
        for grid in self.grids(generation):
            planes = [self._array(generation, grid.component, name) for name in SUMS]
            for tile in grid.tiles():
                if not all(plane.chunk_name(tile.row, tile.column) in there for plane in planes):
                    raise missing_tile(generation, tile, "not written")
        objects_at(self.root).put(_CURRENT, generation_name(generation).encode())

    def current(self) -> int | None:
        """Return the published generation; None if there is none, or the pointer is damaged.

        It is written anew with each publication, and the journal tells of those.
        """
        found = _POINTER.fullmatch(self.objects.find(_CURRENT) or b"")
        return None if found is None else int(found[1])

    def withdraw(self) -> None:
        """Have no current generation any more; nothing happens if there is none."""
        self.objects.delete(_CURRENT)

    def remove(self, generation: int) -> None:
        """Remove a generation; nothing happens if there is none.

        Raises
        ------
        RunStoreError
            It is the current one.
        """
        if self.current() == generation:
            raise RunStoreError(
                f"mosaic store {self.root}: generation {generation} is the current one; publish "
                "another before removing it"
            )
        objects, name = self.objects, generation_name(generation)
        objects.delete(f"{name}/{METADATA}")  # gone at once, whatever happens to the rest
        objects.delete_below(f"{name}/")

    def remove_partial(self) -> None:
        """Remove generations that killed drivers left half made, or half removed.

        Only while nobody writes.
        """
        objects = self.objects
        for name in self._begun():
            if not objects.exists(f"{name}/{METADATA}"):
                objects.delete_below(f"{name}/")

    def _begun(self) -> tuple[str, ...]:
        """Return the names of all generations, of which those half made do not exist yet."""
        return tuple(name for name in self.objects.folders("") if name.startswith(GENERATION))

    def _copy_chunk(
        self, other: MosaicStore, source: tuple[int, TileId], target: tuple[int, TileId], plane: str
    ) -> None:
        """Copy one chunk of a generation of `other` to a generation of this store."""
        (old_generation, there), (new_generation, tile) = source, target
        old = other._array(old_generation, there.component, plane)
        copy_chunk(old, there, self._array(new_generation, tile.component, plane), tile)

    def _opened(self, generation: int, component: int, names: Sequence[str]) -> OpenPlanes:
        """Return planes of a component with their metadata read: all at once where that takes long.

        Nobody keeps it from one call to the next: a generation that is made anew may have another
        grid.
        """
        ask: list[Callable[[], MosaicGrid | OpenTiles]] = [
            partial(self.grid, generation, component),
            *(partial(self._array(generation, component, one).opened, self.kept) for one in names),
        ]
        grid, *arrays = self.objects.each(lambda one: one(), ask, len(ask))
        return OpenPlanes(cast(MosaicGrid, grid), cast("list[OpenTiles]", arrays))

    def _array(self, generation: int, component: int, name: str) -> TiledArray:
        return array_of(self.objects, generation, component, name)

    def _attributes(self, name: str) -> dict[str, Any]:
        try:
            return group_attributes(self.objects, name)
        except RunStoreError as error:
            raise type(error)(f"mosaic store {self.root}: {error}") from error


def _joined(checksums: Iterable[int]) -> str:
    """Return the checksum of a tile: those of its numerator and its weight."""
    return "".join(f"{one:08x}" for one in checksums)
