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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io.codec import json_from, value_from
from alignsvc.io.mosaic_window import MosaicWindow, PlaneWindow
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.stores import objects_at
from alignsvc.io.tiled_arrays import (
    METADATA,
    DamagedChunk,
    KeptTiles,
    Piece,
    TiledArray,
    create_group,
    group_attributes,
)
from alignsvc.numerics.resampling.coadd import Contribution

_SUMS = ("numerator", "weight")
_SEGMENTATION = "segmentation"
_PLANES = (*_SUMS, _SEGMENTATION)
#: As read: see `_stored_dtype`.
_DTYPES = {"numerator": "float64", "weight": "float64", _SEGMENTATION: "int64"}
_CURRENT = "current"
_GENERATION = "generation-"
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
        self._make_arrays(generation, grids)
        create_group(self.objects, _name(generation), {"n_components": len(grids)})

    def _can_be_read(self, generation: int, n_components: int) -> bool:
        """Whether the metadata of a generation and of all its arrays are whole."""
        try:
            self.grids(generation)
            for component in range(n_components):
                for plane in _PLANES:
                    self._array(generation, component, plane).opened()
        except DamagedProduct:
            return False
        return True

    def _make_arrays(self, generation: int, grids: tuple[MosaicGrid, ...]) -> None:
        """Make all of a generation but what makes it exist."""
        objects, name = self.objects, _name(generation)
        objects.delete_below(f"{name}/")  # what a killed driver may have left
        if not objects.exists(METADATA):
            create_group(objects, "", {})
        for grid in grids:
            component = f"{name}/c{grid.component}"
            create_group(objects, component, {"grid": json_from(grid, MosaicGrid)})
            for plane in _PLANES:
                array = TiledArray(objects, f"{component}/{plane}")
                array.create(grid.shape, grid.tile_shape, _stored_dtype(plane, grid), {})

    def exists(self, generation: int) -> bool:
        """Whether the generation has been created."""
        return self.objects.exists(f"{_name(generation)}/{METADATA}")

    def generations(self) -> tuple[int, ...]:
        """Return the generations that exist, in order."""
        numbers = (int(name.removeprefix(_GENERATION)) for name in self._begun())
        return tuple(sorted(number for number in numbers if self.exists(number)))

    def grids(self, generation: int) -> tuple[MosaicGrid, ...]:
        """Return the grids that the generation was created with, in order of component."""
        n_components = value_from(self._attributes(_name(generation))["n_components"], int)
        return tuple(self.grid(generation, component) for component in range(n_components))

    def grid(self, generation: int, component: int) -> MosaicGrid:
        """Return the grid of one component."""
        attributes = self._attributes(f"{_name(generation)}/c{component}")
        return value_from(attributes["grid"], MosaicGrid)

    def write_tile(self, generation: int, tile: TileId, sums: Contribution) -> str:
        """Write a tile's numerator and weight (as float64); return their checksum.

        Raises
        ------
        ValueError
            `sums` is not exactly on the tile.
        """
        return _joined(
            self._array(generation, tile.component, name)
            .opened()
            .write((tile.row, tile.column), plane.astype(np.float64, copy=False))
            for name, plane in zip(_SUMS, (sums.numerator, sums.weight), strict=True)
        )

    def checksum(self, generation: int, tile: TileId) -> str:
        """Return the checksum of a tile, all of which is read; RunStoreError as of `read`."""
        try:
            return _joined(
                checksum
                for name in _SUMS
                for checksum in self._array(generation, tile.component, name)
                .opened()
                .checksums([(tile.row, tile.column)])
            )
        except DamagedChunk as error:
            raise _missing(generation, tile, str(error)) from error

    def read(self, generation: int, component: int, box: PixelBox) -> Contribution:
        """Return the sums within `box`, cut to the grid, float64.

        Raises
        ------
        RunStoreError
            A tile that shares a pixel with the box is missing or damaged; it is named.
        """
        box = box.intersect(self.grid(generation, component).box)
        numerator, weight = (self._plane(generation, component, name, box) for name in _SUMS)
        return Contribution(box, numerator, weight)

    def window(self, generation: int, component: int, box: PixelBox) -> MosaicWindow:
        """Return the sums within `box`, cut to the grid, as they lie in the tiles that are kept.

        No plane of the box is made: only parts that are cut from it are. As `read` else.
        """
        box = box.intersect(self.grid(generation, component).box)
        return MosaicWindow(*(self._window(generation, component, name, box) for name in _SUMS))

    def tiles_in(self, generation: int, component: int, box: PixelBox) -> Iterator[Contribution]:
        """Yield the sums of each tile on which a box lies: whole rows, as they lie there.

        Of a tile those rows that the box has; beyond the grid's end nothing (weight 0). As `read`
        else.
        """
        grid = self.grid(generation, component)
        pieces = _whole_rows(grid, box.intersect(grid.box))
        arrays = [self._array(generation, component, name).opened(self.kept) for name in _SUMS]
        with _named(generation, component):
            each = zip(pieces, *(array.parts(pieces.values()) for array in arrays), strict=True)
            for rows, numerator, weight in each:
                yield Contribution(rows, numerator, weight)

    def read_tile(self, generation: int, tile: TileId) -> Contribution:
        """Return a whole tile; RunStoreError if it is missing or damaged."""
        box = self.grid(generation, tile.component).tile_box(tile)
        return self.read(generation, tile.component, box)

    def verify_tile(self, generation: int, tile: TileId, checksum: str) -> None:
        """Raise RunStoreError unless the tile is what had this checksum when written."""
        found = self.checksum(generation, tile)
        if found != checksum:
            raise _missing(generation, tile, f"checksum {found} found, {checksum} was written")

    def is_tile(self, generation: int, tile: TileId, checksum: str) -> bool:
        """Whether the tile is there, as it was when it had this checksum; it is read."""
        if not self.exists(generation) or not self.has_tile(generation, tile):
            return False
        try:
            self.verify_tile(generation, tile, checksum)
        except DamagedProduct:
            return False
        return True

    def has_tile(self, generation: int, tile: TileId) -> bool:
        """Whether both planes of the tile have been written."""
        return all(
            self._array(generation, tile.component, name).has_chunk(tile.row, tile.column)
            for name in _SUMS
        )

    def has_segmentation(self, generation: int, tile: TileId) -> bool:
        """Whether the tile's map of source ids has been written."""
        array = self._array(generation, tile.component, _SEGMENTATION)
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
            raise _missing(source, tile, "segmentation is missing")
        self._copy_chunk(self, (source, tile), (target, tile), _SEGMENTATION)

    def write_segmentation(self, generation: int, tile: TileId, labels: IntArray) -> None:
        """Write a tile's map of source ids (0 = sky).

        Raises
        ------
        ValueError
            An id is above the grid's number of pixels.
        """
        array = self._array(generation, tile.component, _SEGMENTATION).opened()
        if labels.max(initial=0) > math.prod(array.shape):
            raise ValueError(
                f"segmentation of tile {tile}: an id is above {math.prod(array.shape)}"
            )
        array.write((tile.row, tile.column), labels.astype(array.dtype, copy=False))

    def read_segmentation(self, generation: int, component: int, box: PixelBox) -> IntArray:
        """Return source ids within `box`, cut to the grid.

        Raises
        ------
        RunStoreError
            A tile's map is missing or damaged; the tile is named.
        """
        box = box.intersect(self.grid(generation, component).box)
        return self._plane(generation, component, _SEGMENTATION, box)

    def segmentation_window(self, generation: int, component: int, box: PixelBox) -> PlaneWindow:
        """Return source ids within `box` as `window` does the sums, of the type they are stored in.

        Raises
        ------
        RunStoreError
            As of `read_segmentation`.
        """
        box = box.intersect(self.grid(generation, component).box)
        return self._window(generation, component, _SEGMENTATION, box)

    def link_tile(self, source: int, target: int, tile: TileId) -> None:
        """Make the tile of generation `source` that of generation `target` too.

        The target's own tile, if any, is replaced.
        """
        for plane in _PLANES:
            if self._array(source, tile.component, plane).has_chunk(tile.row, tile.column):
                self._copy_chunk(self, (source, tile), (target, tile), plane)
            elif plane in _SUMS:
                raise _missing(source, tile, f"{plane} is missing")

    def adopt(self, other: MosaicStore, source: int, target: int) -> None:
        """Make a generation of another store one of this store too, without its sources.

        Chunks are linked or copied; the other store stays as it is. Nothing happens if the
        target exists.
        """
        if self.exists(target):
            return
        grids = other.grids(source)
        self._make_arrays(target, grids)
        for grid in grids:
            for tile in grid.tiles():
                for plane in _SUMS:
                    if other._array(source, tile.component, plane).has_chunk(tile.row, tile.column):
                        self._copy_chunk(other, (source, tile), (target, tile), plane)
        create_group(self.objects, _name(target), {"n_components": len(grids)})

    def link_earlier(self, source: int, there: TileId, target: int, tile: TileId) -> None:
        """Make a tile of an adopted generation, perhaps of another number, one of `target`.

        No source is known in it.

        Raises
        ------
        RunStoreError
            The adopted generation lacks the tile.
        """
        for plane in _SUMS:
            if not self._array(source, there.component, plane).has_chunk(there.row, there.column):
                raise _missing(source, there, f"{plane} is missing")
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
        there = frozenset(self.objects.list(f"{_name(generation)}/"))
        for grid in self.grids(generation):
            planes = [self._array(generation, grid.component, name) for name in _SUMS]
            for tile in grid.tiles():
                if not all(plane.chunk_name(tile.row, tile.column) in there for plane in planes):
                    raise _missing(generation, tile, "not written")
        objects_at(self.root).put(_CURRENT, _name(generation).encode())

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
        objects, name = self.objects, _name(generation)
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
        return tuple(name for name in self.objects.folders("") if name.startswith(_GENERATION))

    def _copy_chunk(
        self, other: MosaicStore, source: tuple[int, TileId], target: tuple[int, TileId], plane: str
    ) -> None:
        """Copy one chunk of a generation of `other` to a generation of this store."""
        (old_generation, there), (new_generation, tile) = source, target
        old = other._array(old_generation, there.component, plane)
        new = self._array(new_generation, tile.component, plane)
        new.objects.copy(
            old.objects,
            old.chunk_name(there.row, there.column),
            new.chunk_name(tile.row, tile.column),
        )

    def _plane(self, generation: int, component: int, name: str, box: PixelBox) -> NDArray[Any]:
        grid = self.grid(generation, component)
        plane = np.empty(box.shape, _DTYPES[name])
        pieces = _pieces(grid, box)
        places = [plane[common.slices_in(box)] for common in pieces]
        array = self._array(generation, component, name)
        with _named(generation, component):
            array.opened(self.kept).copy_each(pieces.values(), places)
        return plane

    def _window(self, generation: int, component: int, name: str, box: PixelBox) -> PlaneWindow:
        pieces = _pieces(self.grid(generation, component), box)
        tiles = self._array(generation, component, name).opened(self.kept)
        with _named(generation, component):
            parts = tuple(zip(pieces, tiles.parts(pieces.values()), strict=True))
        return PlaneWindow(box, tiles.dtype, parts)

    def _array(self, generation: int, component: int, name: str) -> TiledArray:
        return TiledArray(self.objects, f"{_name(generation)}/c{component}/{name}")

    def _attributes(self, name: str) -> dict[str, Any]:
        try:
            return group_attributes(self.objects, name)
        except RunStoreError as error:
            raise type(error)(f"mosaic store {self.root}: {error}") from error


def _pieces(grid: MosaicGrid, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return the parts of tiles that a box consists of, by where they lie."""
    pieces = {}
    for tile in grid.tiles_touching(box):
        tile_box = grid.tile_box(tile)
        common = tile_box.intersect(box)
        pieces[common] = Piece((tile.row, tile.column), common.slices_in(tile_box))
    return pieces


def _whole_rows(grid: MosaicGrid, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return the rows of tiles that a box lies on, by where they lie, beyond the grid's end too."""
    width = grid.tile_shape[1]
    pieces = {}
    for common, piece in _pieces(grid, box).items():
        x0 = piece.index[1] * width
        rows = PixelBox(x0, common.y0, x0 + width, common.y1)
        pieces[rows] = Piece(piece.index, (piece.within[0], slice(0, width)))
    return pieces


@contextmanager
def _named(generation: int, component: int) -> Iterator[None]:
    """Say of which tile a damaged chunk is."""
    try:
        yield
    except DamagedChunk as error:
        raise _missing(generation, TileId(component, *error.index), str(error)) from error


def _joined(checksums: Iterable[int]) -> str:
    """Return the checksum of a tile: those of its numerator and its weight."""
    return "".join(f"{one:08x}" for one in checksums)


def _stored_dtype(plane: str, grid: MosaicGrid) -> str:
    """Return the type of a plane's pixels; a source's id is 1 + the number of its peak's pixel."""
    if plane == _SEGMENTATION and math.prod(grid.shape) <= np.iinfo(np.int32).max:
        return "int32"
    return _DTYPES[plane]


def _name(generation: int) -> str:
    return f"{_GENERATION}{generation:04d}"


def _missing(generation: int, tile: TileId, what: str) -> DamagedProduct:
    return DamagedProduct(
        f"mosaic generation {generation}, tile {tile}: {what}; it is to be made again"
    )
