"""What each exposure gives to the mosaic, kept for one generation.

A folder each: a zarr array of two planes, numerator and weight, and beside its metadata
``saturated.npy``, the grid pixels that the exposure's saturated pixels lie on, and
``contribution.json``, what is known of it, which is written last and makes the contribution exist.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.stores import objects_at
from alignsvc.io.tiled_arrays import TiledArray
from alignsvc.numerics.resampling.coadd import Contribution

_SATURATED = "saturated.npy"
_RECORD = "contribution.json"


@dataclass(frozen=True, slots=True)
class StoredContribution:
    """What the store knows of a contribution without reading its pixels.

    Parameters
    ----------
    name : str
        Its key: the name of its folder in the store.
    block : PixelBox
        Whole tiles of the grid (cut at the grid's end) that it was written on.
    tile_shape : tuple of int
    tiles : tuple of TileId
        Those in which it has weight, sorted; the others are not stored.
    checksum : str
        sha256 of all that is stored.
    """

    name: str
    block: PixelBox
    tile_shape: tuple[int, int]
    tiles: tuple[TileId, ...]
    checksum: str


@dataclass(frozen=True, slots=True)
class ContributionStore:
    """Contributions under keys: each written once, whole, by one task.

    Parameters
    ----------
    root : Place
        Made with the first contribution.
    """

    root: Place

    @property
    def objects(self) -> ObjectStore:
        """What the store consists of; its checksums, not the disk, say that a thing is whole."""
        return objects_at(self.root, is_scratch=True)

    def write(
        self, key: str, contribution: Contribution, saturated: IntArray, grid: MosaicGrid
    ) -> StoredContribution:
        """Store the contribution (as float32) under `key`, unless there is one already.

        One that is damaged is replaced. It exists once its record is written, after all else. Two
        writers of one key write the same bytes: the key says all that they follow from.

        Parameters
        ----------
        key : str
        contribution : Contribution
        saturated : int64 array, shape (n, 2)
            x and y of grid pixels on which the exposure is saturated.
        grid : MosaicGrid
        """
        if self.exists(key):
            if self.is_whole(key, grid):
                return self.stored(key)
            self.remove(key)
        block = grid.block_box(contribution.box)
        whole = contribution.narrowed().cut(block)
        tiles = tuple(
            tile
            for tile in grid.tiles_touching(block)
            if whole.weight[grid.tile_box(tile).slices_in(block)].any()
        )
        found = StoredContribution(
            key, block, grid.tile_shape, tiles, _checksum(whole, tiles, saturated, grid)
        )
        objects = self.objects
        self._array(key).create((2, *block.shape), grid.tile_shape, "float32", {})
        for tile in tiles:
            inside = grid.tile_box(tile).slices_in(block)
            for plane, pixels in enumerate((whole.numerator, whole.weight)):
                self._array(key).write((plane, *_chunk(found, tile)), pixels[inside])
        listed = io.BytesIO()
        np.save(listed, saturated.astype(np.int32), allow_pickle=False)
        objects.put(f"{key}/{_SATURATED}", listed.getvalue())
        record = sealed({"contribution": json_from(found, StoredContribution)})
        objects.put(f"{key}/{_RECORD}", record)
        return found

    def exists(self, key: str) -> bool:
        """Whether there is a contribution under `key`."""
        return self.objects.exists(f"{key}/{_RECORD}")

    def is_whole(self, key: str, grid: MosaicGrid) -> bool:
        """Whether there is a contribution under `key` whose pixels, all read, have its checksum."""
        try:
            stored = self.stored(key)
            found, saturated = self.read(key, stored.block), self.saturated(key)
        except DamagedProduct:
            return False
        return _checksum(found, stored.tiles, saturated, grid) == stored.checksum

    def stored(self, key: str) -> StoredContribution:
        """Return what is known of a contribution.

        Raises
        ------
        DamagedProduct
            There is none, or its record is damaged.
        """
        content = self.objects.find(f"{key}/{_RECORD}")
        if content is None:
            raise DamagedProduct(f"contribution store {self.root}: no contribution {key}")
        try:
            return value_from(unsealed(content)["contribution"], StoredContribution)
        except (TypeError, ValueError, KeyError) as error:
            raise DamagedProduct(f"contribution {key}: {_RECORD} is damaged ({error})") from error

    def tiles(self, key: str) -> tuple[TileId, ...]:
        """Return the tiles in which it has weight, sorted."""
        return self.stored(key).tiles

    def read(self, key: str, box: PixelBox) -> Contribution:
        """Return the part within `box`, float32; nothing (weight 0) where it has no weight.

        Raises
        ------
        DamagedProduct
            There is none under `key`, or a chunk of it is missing or damaged: its tile is named.
        """
        stored = self.stored(key)
        planes = np.zeros((2, *box.shape), np.float32)
        array = self._array(key)
        for tile in stored.tiles:
            tile_box = _tile_box(stored, tile)
            common = tile_box.intersect(box)
            if common.is_empty:
                continue
            within = common.slices_in(tile_box)
            for plane in range(2):
                try:
                    part = array.read((plane, *_chunk(stored, tile)), within)
                except DamagedProduct as error:
                    raise DamagedProduct(
                        f"contribution {key}, tile {tile}: {error}; resume, which makes it again"
                    ) from error
                planes[(plane, *common.slices_in(box))] = part
        return Contribution(box, planes[0], planes[1])

    def saturated(self, key: str) -> IntArray:
        """Return x and y of the grid pixels on which the exposure is saturated, shape (n, 2).

        Raises
        ------
        DamagedProduct
            There is no such list, or it cannot be read.
        """
        content = self.objects.find(f"{key}/{_SATURATED}")
        if content is None:
            raise DamagedProduct(f"contribution {key}: {_SATURATED} is missing; resume")
        try:
            pixels: IntArray = np.load(io.BytesIO(content), allow_pickle=False).astype(np.int64)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedProduct(
                f"contribution {key}: {_SATURATED} cannot be read ({error}); resume"
            ) from error
        return pixels

    def names(self) -> tuple[str, ...]:
        """Return the keys of all contributions, those half written included, sorted."""
        return self.objects.folders("")

    def remove(self, key: str) -> None:
        """Remove a contribution; nothing happens if there is none."""
        objects = self.objects
        objects.delete(f"{key}/{_RECORD}")  # gone at once, whatever happens to the rest
        objects.delete_below(f"{key}/")

    def remove_partial(self) -> None:
        """Remove what killed writers left; only while nobody writes."""
        for key in self.names():
            if not self.exists(key):
                self.remove(key)

    def _array(self, key: str) -> TiledArray:
        return TiledArray(self.objects, key)


def _chunk(stored: StoredContribution, tile: TileId) -> tuple[int, int]:
    """Return the tile's place among the chunks of the array."""
    ny, nx = stored.tile_shape
    return (tile.row - stored.block.y0 // ny, tile.column - stored.block.x0 // nx)


def _tile_box(stored: StoredContribution, tile: TileId) -> PixelBox:
    ny, nx = stored.tile_shape
    x0, y0 = tile.column * nx, tile.row * ny
    return PixelBox(x0, y0, x0 + nx, y0 + ny).intersect(stored.block)


def _checksum(
    whole: Contribution, tiles: tuple[TileId, ...], saturated: IntArray, grid: MosaicGrid
) -> str:
    digest = hashlib.sha256(repr((grid.tile_shape, whole.box)).encode())
    digest.update(np.ascontiguousarray(saturated, np.int64).data)
    for tile in tiles:
        digest.update(str(tile).encode())
        inside = grid.tile_box(tile).slices_in(whole.box)
        for plane in (whole.numerator, whole.weight):
            digest.update(np.ascontiguousarray(plane[inside]).data)
    return digest.hexdigest()
