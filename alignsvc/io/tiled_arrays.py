"""Arrays in the store whose chunks are tiles: zarr v3, every chunk with a checksum of its own.

What is absent or damaged is never read as zeros: a chunk that should be there and is not, or
whose CRC-32C does not fit, is a `DamagedProduct` that names it.

Arrays are as zarr describes them, and anyone can open them with it. Chunks are encoded and decoded
here (`shards.py`), by the codecs that zarr uses: it hands each to a thread and back, and allocates
what there is room for already, which takes longer than all else that is done to one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.errors import DamagedProduct
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.io.objects import ObjectStore
from alignsvc.io.open_objects import OpenObject
from alignsvc.io.shards import OpenShard, PackedShard, Part, PartRoom, Shards, part_of
from alignsvc.io.zarr_metadata import METADATA, array_from, array_metadata

#: Begins the key of every chunk of an array (zarr v3, default encoding).
_CHUNKS = "c/"
#: Chunks that are asked for, or sent, at once, where each answer takes its time, and those of which
#: it takes no more room: all are held anyway, or only their versions. (A thread's stack is 8 MB.)
_AT_ONCE = 4
_HELD_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ChunkVersion:
    """A chunk as it was written once: `name` in `objects`, and which of its versions."""

    objects: ObjectStore
    name: str
    version: str | None


#: Chunks as they were read, read-only.
KeptTiles: TypeAlias = KeptInMemory[ChunkVersion, NDArray[Any]]


class DamagedChunk(DamagedProduct):
    """A chunk that is missing or damaged.

    Parameters
    ----------
    message : str
    index : tuple of int
        Which chunk of its array.
    """

    def __init__(self, message: str, index: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows and columns of a chunk.

    Parameters
    ----------
    index : tuple of int
        Which chunk.
    within : tuple of slice
        The rows and columns, counted from its corner.
    """

    index: tuple[int, ...]
    within: tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class TiledArray:
    """One zarr array of planes, which are cut into tiles: ``(ny, nx)`` or ``(n_planes, ny, nx)``.

    A chunk is a tile of all planes, stored in parts (a shard, as zarr calls it). One owner per
    chunk: processes may write different chunks of one array at the same time.

    Parameters
    ----------
    objects : ObjectStore
    name : str
        Of the array, below which its metadata and its chunks are.
    """

    objects: ObjectStore
    name: str

    def create(self, shape: tuple[int, ...], tile_shape: tuple[int, int], dtype: str) -> OpenTiles:
        """Write the metadata of an array without any chunk; return it, open.

        Raises
        ------
        RunStoreError
            It cannot be written.
        """
        made = self.known(shape, tile_shape, dtype)
        self.objects.put(f"{self.name}/{METADATA}", array_metadata(shape, made.shards))
        return made

    def known(self, shape: tuple[int, ...], tile_shape: tuple[int, int], dtype: str) -> OpenTiles:
        """Return the array that was created so, without reading its metadata."""
        pixels = np.dtype(dtype).newbyteorder("<")
        shards = Shards(math.prod(shape[:-2]), tile_shape, part_of(tile_shape), pixels)
        return OpenTiles(self, shape, shards)

    def chunk_name(self, *index: int) -> str:
        """Return the name of a chunk's object."""
        return f"{self.name}/{_CHUNKS}{'/'.join(map(str, index))}"

    def has_chunk(self, *index: int) -> bool:
        """Whether the chunk has been written."""
        return self.objects.exists(self.chunk_name(*index))

    def opened(self, kept: KeptTiles | None = None) -> OpenTiles:
        """Return the array with its metadata read, for several chunks.

        Parameters
        ----------
        kept : KeptTiles or None
            Where chunks that are read are kept, and looked for before.

        Raises
        ------
        DamagedProduct
            There is no such array, or its metadata is damaged.
        """
        content = self.objects.find(f"{self.name}/{METADATA}")
        if content is None:
            raise DamagedProduct(f"{self.name}: there is no such array")
        try:
            shape, shards = array_from(content)
        except (ValueError, KeyError, TypeError) as error:  # cut short or changed
            raise DamagedProduct(f"{self.name}/{METADATA} is damaged ({error})") from error
        return OpenTiles(self, shape, shards, kept)


@dataclass(frozen=True, slots=True, eq=False)
class OpenTiles:
    """An array's chunks; made by `TiledArray.opened` only.

    Parameters
    ----------
    tiled : TiledArray
    shape : tuple of int
    shards : Shards
        How chunks are stored.
    kept : KeptTiles or None
    """

    tiled: TiledArray
    shape: tuple[int, ...]
    shards: Shards
    kept: KeptTiles | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, little-endian."""
        return self.shards.dtype

    def write(self, piece: Piece, planes: Sequence[NDArray[Any]]) -> int:
        """Write a whole chunk, 0 but for one piece of it; return the checksum of what is stored.

        Parameters
        ----------
        piece : Piece
        planes : sequence of array
            Of the piece's shape.

        Raises
        ------
        ValueError
            A plane is not of the piece's shape, or the piece not within the chunk.
        RunStoreError, ResourceError
            It cannot be written; the disk is full.
        """
        return self._put(piece, self._packed(piece, planes, ()))

    def write_unless_empty(
        self, piece: Piece, planes: Sequence[NDArray[Any]], noise: Collection[int]
    ) -> int | None:
        """Write a chunk as `write`, unless all of it is 0: None.

        Parameters
        ----------
        piece, planes
            As of `write`.
        noise : collection of int
            Planes of which only pixels that are 0 are worth the time to make them smaller.
        """
        packed = self._packed(piece, planes, noise)
        return None if packed.is_empty else self._put(piece, packed)

    def _packed(
        self, piece: Piece, planes: Sequence[NDArray[Any]], noise: Collection[int]
    ) -> PackedShard:
        wanted = tuple(one.stop - one.start for one in piece.within)
        most = self._shape_of(piece.index)
        ends = all(s.start >= 0 and s.stop <= n for s, n in zip(piece.within, most, strict=True))
        if not ends or any(plane.shape != wanted for plane in planes):
            raise ValueError(
                f"{self.tiled.name}: chunk {piece.index} has shape {most}, its piece {wanted}, "
                f"not {[plane.shape for plane in planes]}"
            )
        return self.shards.packed(planes, piece.within, noise)

    def _put(self, piece: Piece, packed: PackedShard) -> int:
        self.tiled.objects.put_parts(self.tiled.chunk_name(*piece.index), packed.content)
        return packed.checksum

    def copy_each(self, pieces: Iterable[Piece], places: Iterable[NDArray[Any]]) -> None:
        """Copy pieces of chunks to where they belong.

        Parameters
        ----------
        pieces : iterable of Piece
        places : iterable of array
            One for each piece, of its shape, with all planes where there are some; written to.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        pieces = list(pieces)
        if self.kept is not None:
            for found, place in zip(self.parts(pieces), places, strict=True):
                place[...] = found
            return
        room = PartRoom(self.shards)
        for piece, place, stored in zip(
            pieces, places, self._each(p.index for p in pieces), strict=True
        ):
            self._copy(piece, stored, place, room)

    def parts(self, pieces: Iterable[Piece]) -> Iterator[NDArray[Any]]:
        """Yield each piece of a chunk, read-only: a view where the chunk is kept.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        pieces = list(pieces)
        keys = self._versions(pieces)
        found = [None if self.kept is None else self.kept.find(key) for key in keys]
        missing = self._each(p.index for p, t in zip(pieces, found, strict=True) if t is None)
        room = PartRoom(self.shards)
        for piece, key, tile in zip(pieces, keys, found, strict=True):
            if tile is not None:
                yield tile[..., *piece.within]
                continue
            tile = np.empty(self._planes + self.shards.tile, self.dtype)
            whole = Piece(piece.index, (slice(0, tile.shape[-2]), slice(0, tile.shape[-1])))
            self._copy(whole, next(missing), tile, room)
            tile = read_only(tile)
            is_kept = self.kept is not None and self.kept.keep(key, tile, tile.nbytes)
            view = tile[..., *piece.within]
            yield view if is_kept else read_only(view.copy())  # a view would hold all of the tile

    def checksums(self, indices: Iterable[tuple[int, ...]]) -> Iterator[int]:
        """Yield the checksum of each chunk, as `write` returned it, once all of it was read.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        indices = list(indices)
        room = PartRoom(self.shards)
        for index, stored in zip(indices, self._each(indices), strict=True):
            with self._opened(index, stored, room) as shard:
                yield shard.checksum()

    def fetched(self, pieces: Iterable[Piece]) -> list[OpenObject | None]:
        """Return the objects of all pieces' chunks, open, for `shard_parts`; None = missing."""
        return [*self._each((piece.index for piece in pieces), _HELD_AT_ONCE)]

    def shard_parts(
        self, piece: Piece, stored: OpenObject | None, room: PartRoom | None = None
    ) -> Iterator[Part]:
        """Yield the parts that a piece of a chunk lies on.

        Parameters
        ----------
        piece : Piece
        stored : OpenObject or None
            The chunk's object; it is closed at the end.
        room : PartRoom or None
            None = some of its own.

        Raises
        ------
        DamagedChunk
            The chunk is missing or damaged.
        """
        with self._opened(piece.index, stored, room or PartRoom(self.shards)) as shard:
            yield from shard.parts(piece.within)

    @property
    def _planes(self) -> tuple[int, ...]:
        return self.shape[:-2]

    def _versions(self, pieces: list[Piece]) -> list[ChunkVersion]:
        """Return what the chunks are known by if they are kept."""
        objects = self.tiled.objects
        names = [self.tiled.chunk_name(*piece.index) for piece in pieces]
        if self.kept is None:
            return [ChunkVersion(objects, name, None) for name in names]
        versions = objects.each(objects.version, names, _HELD_AT_ONCE)
        return [ChunkVersion(objects, *of) for of in zip(names, versions, strict=True)]

    def _each(
        self, indices: Iterable[tuple[int, ...]], at_once: int = _AT_ONCE
    ) -> Iterator[OpenObject | None]:
        objects = self.tiled.objects
        names = (self.tiled.chunk_name(*index) for index in indices)
        return objects.each(objects.opened, names, at_once)

    def _copy(
        self, piece: Piece, stored: OpenObject | None, place: NDArray[Any], room: PartRoom
    ) -> None:
        """Copy a piece to its place."""
        planes = (place,) if place.ndim == 2 else tuple(place)
        wanted = _box(piece.within)
        for part in self.shard_parts(piece, stored, room):
            found = _box(part.within)
            common = found.intersect(wanted)
            there, here = common.slices_in(wanted), common.slices_in(found)
            for plane, pixels in zip(planes, part.planes, strict=True):
                plane[there] = 0 if pixels is None else pixels[here]

    @contextmanager
    def _opened(
        self, index: tuple[int, ...], stored: OpenObject | None, room: PartRoom
    ) -> Iterator[OpenShard]:
        """Open a chunk's object for reading, and say which it is if it is damaged."""
        name = self.tiled.chunk_name(*index)
        if stored is None:
            raise DamagedChunk(f"{name} is missing", index)
        with closing(stored):
            try:
                yield OpenShard(self.shards, stored, room)
            except ValueError as error:
                raise DamagedChunk(f"{name} is damaged ({error})", index) from error

    def _shape_of(self, index: tuple[int, ...]) -> tuple[int, int]:
        """Return the rows and columns of a chunk, cut at the array's end."""
        rows, columns = (
            min(chunk, size - k * chunk)
            for k, chunk, size in zip(index[-2:], self.shards.tile, self.shape[-2:], strict=True)
        )
        return rows, columns


def _box(within: tuple[slice, slice]) -> PixelBox:
    rows, columns = within
    return PixelBox(columns.start, rows.start, columns.stop, rows.stop)
