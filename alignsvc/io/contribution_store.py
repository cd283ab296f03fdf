"""What each exposure gives to the mosaic, kept for one generation.

A directory each: a zarr array of two planes, numerator and weight, and beside its metadata
``saturated.npy``, the grid pixels that the exposure's saturated pixels lie on.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import RunStoreError
from alignsvc.io.codec import Json, json_from, value_from
from alignsvc.io.objects import PARTIAL, checked_name
from alignsvc.io.tiled_arrays import TiledArray, explained
from alignsvc.numerics.resampling.coadd import Contribution

_SATURATED = "saturated.npy"


@dataclass(frozen=True, slots=True)
class StoredContribution:
    """What the store knows of a contribution without reading its pixels.

    Parameters
    ----------
    name : str
        Its key: the name of its directory in the store.
    block : PixelBox
        Whole tiles of the grid (cut at the grid's end) that it was written on.
    tile_shape : tuple of int
    tiles : tuple of TileId
        Those in which it has weight, sorted; the others are not on disk.
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
    root : Path
        Directory; made with the first contribution.
    """

    root: Path

    def write(
        self, key: str, contribution: Contribution, saturated: IntArray, grid: MosaicGrid
    ) -> StoredContribution:
        """Store the contribution (as float32) under `key`, unless there is one already.

        One that is damaged is replaced. It appears by one rename, whole or not at all; of two
        writers the first wins, and both get what is stored.

        Parameters
        ----------
        key : str
        contribution : Contribution
        saturated : int64 array, shape (n, 2)
            x and y of grid pixels on which the exposure is saturated.
        grid : MosaicGrid
        """
        final = self._path(key)
        if TiledArray(final).exists:
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
        partial = self.root / f"{PARTIAL}{uuid.uuid4().hex}"
        with explained(final):
            try:
                self._fill(partial, found, whole, grid)
                np.save(partial / _SATURATED, saturated.astype(np.int32), allow_pickle=False)
                final.parent.mkdir(parents=True, exist_ok=True)
                partial.rename(final)
            except OSError:
                if not TiledArray(final).exists:
                    raise
                return self.stored(key)  # another writer was first
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        return found

    def exists(self, key: str) -> bool:
        """Whether there is a contribution under `key`."""
        return TiledArray(self._path(key)).exists

    def is_whole(self, key: str, grid: MosaicGrid) -> bool:
        """Whether there is a contribution under `key` whose pixels, all read, have its checksum."""
        try:
            stored = self.stored(key)
            found, saturated = self.read(key, stored.block), self.saturated(key)
        except (RunStoreError, TypeError, ValueError, KeyError):
            return False
        return _checksum(found, stored.tiles, saturated, grid) == stored.checksum

    def stored(self, key: str) -> StoredContribution:
        """Return what is known of a contribution; RunStoreError if there is none."""
        if not self.exists(key):
            raise RunStoreError(f"contribution store {self.root}: no contribution {key}")
        return value_from(self._array(key).attributes()["contribution"], StoredContribution)

    def tiles(self, key: str) -> tuple[TileId, ...]:
        """Return the tiles in which it has weight, sorted."""
        return self.stored(key).tiles

    def read(self, key: str, box: PixelBox) -> Contribution:
        """Return the part within `box`, float32; nothing (weight 0) where it has no weight.

        Raises
        ------
        RunStoreError
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
                except RunStoreError as error:
                    raise RunStoreError(
                        f"contribution {key}, tile {tile}: {error}; resume, which makes it again"
                    ) from error
                planes[(plane, *common.slices_in(box))] = part
        return Contribution(box, planes[0], planes[1])

    def saturated(self, key: str) -> IntArray:
        """Return x and y of the grid pixels on which the exposure is saturated, shape (n, 2).

        Raises
        ------
        RunStoreError
            There is no such list, or it cannot be read.
        """
        path = self._path(key) / _SATURATED
        try:
            pixels: IntArray = np.load(path, allow_pickle=False).astype(np.int64)
        except (OSError, ValueError) as error:
            raise RunStoreError(
                f"contribution {key}: {path} cannot be read ({error}); start a new run"
            ) from error
        return pixels

    def names(self) -> tuple[str, ...]:
        """Return the keys of all contributions, sorted."""
        return tuple(sorted(p.name for p in self.root.glob("*") if not p.name.startswith(".")))

    def remove(self, key: str) -> None:
        """Remove a contribution; nothing happens if there is none."""
        shutil.rmtree(self._path(key), ignore_errors=True)

    def remove_partial(self) -> None:
        """Remove what killed writers left; only while nobody writes."""
        for path in self.root.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _fill(
        self, path: Path, stored: StoredContribution, whole: Contribution, grid: MosaicGrid
    ) -> None:
        attributes: dict[str, Json] = {"contribution": json_from(stored, StoredContribution)}
        shape = (2, *stored.block.shape)
        array = TiledArray.create(path, shape, grid.tile_shape, "float32", attributes)
        for tile in stored.tiles:
            inside = grid.tile_box(tile).slices_in(stored.block)
            for plane, pixels in enumerate((whole.numerator, whole.weight)):
                array.write((plane, *_chunk(stored, tile)), pixels[inside])

    def _array(self, key: str) -> TiledArray:
        return TiledArray(self._path(key))

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*checked_name(key).split("/"))


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
