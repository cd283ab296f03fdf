"""What each exposure gives to the mosaic, kept for one generation.

A folder each: a zarr array of numerator and weight, in one object a tile, and beside its metadata
``saturated.npy``, the grid pixels that the exposure's saturated pixels lie on, and
``contribution.json``, what is known of it, which is written last and makes the contribution exist.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.objects import ObjectStore
from alignsvc.io.open_objects import OpenObject
from alignsvc.io.places import Place
from alignsvc.io.shards import Part
from alignsvc.io.stores import objects_at
from alignsvc.io.tiled_arrays import DamagedChunk, OpenTiles, Piece, TiledArray
from alignsvc.numerics.resampling.coadd import Contribution

_SATURATED = "saturated.npy"
_RECORD = "contribution.json"
#: Planes of the array; sky is noise, of which no codec saves a tenth.
_NUMERATOR, _N_PLANES = 0, 2
#: Chunks that are sent at once, where each takes its time.
_AT_ONCE = 4
#: Contributions that are read at once there: each takes its room.
_READ_AT_ONCE = 3


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
        sha256 of where it lies, what is saturated, and the checksums of all chunks.
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
        given = contribution.narrowed()
        block = grid.block_box(given.box)
        objects = self.objects
        self._array(key).create((_N_PLANES, *block.shape), grid.tile_shape, "float32")
        described = StoredContribution(key, block, grid.tile_shape, (), "")
        checksums = self._write_chunks(described, given, grid)
        described = replace(described, tiles=tuple(checksums))
        found = replace(described, checksum=_checksum(described, saturated, checksums.values()))
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
            chunks = [_chunk(stored, tile) for tile in stored.tiles]
            checksums = self._array(key).opened().checksums(chunks)
            found = _checksum(stored, self.saturated(key), checksums)
        except DamagedProduct:
            return False
        return stored.tile_shape == grid.tile_shape and found == stored.checksum

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
        planes = np.zeros((_N_PLANES, *box.shape), np.float32)
        pieces = _pieces(stored, box)
        places = [planes[:, *common.slices_in(box)] for common in pieces]
        with _named(stored):
            self._array(key).opened().copy_each(pieces.values(), places)
        return Contribution(box, planes[0], planes[1])

    def read_each(self, keys: Iterable[str], box: PixelBox) -> Iterator[Contribution]:
        """Yield what the contributions hold within `box`, one after the other, part by part.

        Parts of a contribution do not overlap, and may reach beyond the box; their pixels are
        there until the next is asked for. In a bucket the next contributions are on their way.

        Raises
        ------
        DamagedProduct
            As of `read`, when it is a contribution's turn.
        """
        for fetched in self.objects.each(lambda key: self._fetched(key, box), keys, _READ_AT_ONCE):
            yield from fetched.parts()

    def _fetched(self, key: str, box: PixelBox) -> _Fetched:
        stored = self.stored(key)
        pieces = _pieces(stored, box)
        with _named(stored):
            tiles = self._array(key).opened()
            return _Fetched(stored, tiles, pieces, tiles.fetched(pieces.values()))

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

    def _write_chunks(
        self, described: StoredContribution, given: Contribution, grid: MosaicGrid
    ) -> dict[TileId, int]:
        """Write all chunks; return the checksum of each that holds anything, sorted."""
        array = self._array(described.name).opened()

        def write(tile: TileId) -> int | None:
            box = grid.tile_box(tile)
            inside = box.intersect(given.box)
            part = given.cut(inside)
            piece = Piece(_chunk(described, tile), inside.slices_in(box))
            planes = [part.numerator, part.weight]
            return array.write_unless_empty(piece, planes, noise=(_NUMERATOR,))

        tiles = sorted(grid.tiles_touching(given.box))
        written = zip(tiles, self.objects.each(write, tiles, _AT_ONCE), strict=True)
        return {tile: checksum for tile, checksum in written if checksum is not None}

    def _array(self, key: str) -> TiledArray:
        return TiledArray(self.objects, key)


@dataclass(frozen=True, slots=True, eq=False)
class _Fetched:
    """A contribution whose chunks are open for reading."""

    stored: StoredContribution
    tiles: OpenTiles
    pieces: dict[PixelBox, Piece]
    objects: list[OpenObject | None]

    def parts(self) -> Iterator[Contribution]:
        """Yield the parts of all chunks that hold anything."""
        with ExitStack() as stack, _named(self.stored):
            for one in self.objects:
                if one is not None:
                    stack.enter_context(closing(one))
            for piece, one in zip(self.pieces.values(), self.objects, strict=True):
                corner = _tile_box(self.stored, _tile(self.stored, piece.index))
                for part in self.tiles.shard_parts(piece, one):
                    if any(plane is not None for plane in part.planes):
                        yield _contribution(part, corner)


def _contribution(part: Part, tile: PixelBox) -> Contribution:
    """Return a part of a tile in its place."""
    rows, columns = part.within
    y0, x0 = tile.y0 + rows.start, tile.x0 + columns.start
    box = PixelBox(x0, y0, x0 + columns.stop - columns.start, y0 + rows.stop - rows.start)
    numerator, weight = (
        np.zeros(box.shape, np.float32) if plane is None else plane for plane in part.planes
    )
    return Contribution(box, numerator, weight)


def _chunk(stored: StoredContribution, tile: TileId) -> tuple[int, ...]:
    """Return the place of the tile's chunk in the array."""
    ny, nx = stored.tile_shape
    return (0, tile.row - stored.block.y0 // ny, tile.column - stored.block.x0 // nx)


def _tile_box(stored: StoredContribution, tile: TileId) -> PixelBox:
    ny, nx = stored.tile_shape
    x0, y0 = tile.column * nx, tile.row * ny
    return PixelBox(x0, y0, x0 + nx, y0 + ny).intersect(stored.block)


def _tile(stored: StoredContribution, chunk: tuple[int, ...]) -> TileId:
    """Return the tile of a chunk."""
    ny, nx = stored.tile_shape
    _, row, column = chunk
    component = stored.tiles[0].component
    return TileId(component, row + stored.block.y0 // ny, column + stored.block.x0 // nx)


def _pieces(stored: StoredContribution, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return what of the chunks lies within a box, by where it lies."""
    pieces = {}
    for tile in stored.tiles:
        tile_box = _tile_box(stored, tile)
        common = tile_box.intersect(box)
        if not common.is_empty:
            pieces[common] = Piece(_chunk(stored, tile), common.slices_in(tile_box))
    return pieces


@contextmanager
def _named(stored: StoredContribution) -> Iterator[None]:
    """Say of which tile of which contribution a damaged chunk is."""
    try:
        yield
    except DamagedChunk as error:
        raise DamagedProduct(
            f"contribution {stored.name}, tile {_tile(stored, error.index)}: {error}; resume, "
            "which makes it again"
        ) from error


def _checksum(stored: StoredContribution, saturated: IntArray, chunks: Iterable[int]) -> str:
    digest = hashlib.sha256(repr((stored.tile_shape, stored.block, stored.tiles)).encode())
    digest.update(np.ascontiguousarray(saturated, np.int64).data)
    digest.update(np.fromiter(chunks, "<u4").data)
    return digest.hexdigest()
