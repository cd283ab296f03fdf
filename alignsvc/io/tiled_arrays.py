"""Arrays in the store whose chunks are tiles: zarr v3, every chunk with a checksum of its own.

What is absent or damaged is never read as zeros: a chunk that should be there and is not, or
whose CRC-32C does not fit, is a `DamagedProduct` that names it.

Arrays are zarr's, by its own description, and anyone can open them with it. Chunks are encoded and
decoded here, by the codecs that zarr uses: it hands each to a thread and back, and allocates what
there is room for already, which takes longer than all else that is done to a chunk of a few MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import zarr
from numcodecs.blosc import Blosc
from numcodecs.checksum32 import CRC32C
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer

from alignsvc.domain.arrays import read_only
from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import Json, dumps
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.io.objects import ObjectStore

#: The object that makes an array, or a group, of what lies beside it.
METADATA = "zarr.json"
#: Begins the key of every chunk of an array (zarr v3, default encoding).
_CHUNKS = "c/"
_ZARR_FORMAT: Literal[3] = 3
#: Chunks that are asked for, or sent, at once, where each answer takes its time.
_AT_ONCE = 4
# Measured (ms for 4 MB, one core: to encode, to decode, part of the size left): weights of drizzle
# 2.0, 0.7, 0.3, of a tenth of a tile 0.4, 0.14, 0.05; sums in float64 2.5, 0.8, 0.46; noise in
# float32 3.2, 0.7, 0.92, without shuffling 0.7, 0.3, 0.97. zstd takes 7 and 6 for 0.93 of noise.
_SQUEEZED = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
#: For noise: of it, only what is empty gets smaller. Whoever decodes one decodes the other.
_WITHOUT_HOLES = Blosc(cname="lz4", clevel=1, shuffle=Blosc.NOSHUFFLE)
_CHECKSUM = "<u4"
_CHECKSUM_BYTES = 4


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
    """Part of a chunk.

    Parameters
    ----------
    index : tuple of int
        Which chunk.
    within : tuple of slice
        Its rows and columns that are wanted, counted from its corner.
    """

    index: tuple[int, ...]
    within: tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class TiledArray:
    """One zarr array of two or more dimensions, of which the last two are cut into tiles.

    One owner per chunk: processes may write different chunks of one array at the same time.

    Parameters
    ----------
    objects : ObjectStore
    name : str
        Of the array, below which its metadata and its chunks are.
    """

    objects: ObjectStore
    name: str

    def create(
        self,
        shape: tuple[int, ...],
        tile_shape: tuple[int, int],
        dtype: str,
        attributes: Mapping[str, Json],
    ) -> None:
        """Write the metadata of an array without any chunk.

        Raises
        ------
        RunStoreError
            It cannot be written.
        """
        # Made in memory and put as it is: who writes it again changes nothing that is there.
        memory: dict[str, Buffer] = {}
        zarr.create_array(
            memory,
            shape=shape,
            chunks=(1,) * (len(shape) - 2) + tile_shape,
            dtype=dtype,
            # The checksum comes last: it covers the object.
            compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
            fill_value=0,
            attributes=dict(attributes),
            zarr_format=_ZARR_FORMAT,
        )
        self.objects.put(f"{self.name}/{METADATA}", memory[METADATA].to_bytes())

    @property
    def exists(self) -> bool:
        """Whether there is an array."""
        return self.objects.exists(f"{self.name}/{METADATA}")

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
            found = _described("array", content)
            shape = tuple(int(n) for n in found["shape"])
            chunk = tuple(int(n) for n in found["chunk_grid"]["configuration"]["chunk_shape"])
            dtype = np.dtype(found["data_type"]).newbyteorder("<")
            codecs = [one["name"] for one in found["codecs"]]
            if len(shape) != len(chunk) or codecs != ["bytes", "blosc", "crc32c"]:
                raise ValueError("not what was written")
        except (ValueError, KeyError, TypeError) as error:  # cut short or changed
            raise DamagedProduct(f"{self.name}/{METADATA} is damaged ({error})") from error
        return OpenTiles(self, shape, chunk, dtype, kept)


@dataclass(frozen=True, slots=True, eq=False)
class OpenTiles:
    """An array's chunks; made by `TiledArray.opened` only.

    Parameters
    ----------
    tiled : TiledArray
    shape, chunk : tuple of int
        Of the array, and of a chunk that its end does not cut.
    dtype : numpy.dtype
        Little-endian.
    kept : KeptTiles or None
    """

    tiled: TiledArray
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    kept: KeptTiles | None = None

    def write(self, index: tuple[int, ...], tile: NDArray[Any], *, is_noise: bool = False) -> int:
        """Write a whole chunk; return its checksum, the CRC-32C of what is stored.

        Parameters
        ----------
        index : tuple of int
            Of the chunk; all but the last two are of one element each.
        tile : array
            Of the chunk's shape, cut at the array's end.
        is_noise : bool
            Whether only pixels that are 0 are worth the time to make them smaller.

        Raises
        ------
        ValueError
            The tile's shape is not the chunk's.
        RunStoreError, ResourceError
            It cannot be written; the disk is full.
        """
        wanted = self._shape_of(index)
        if tile.shape != wanted:
            raise ValueError(
                f"{self.tiled.name}: chunk {index} has shape {wanted}, not {tile.shape}"
            )
        whole = self.chunk[-2:]
        if tile.shape == whole:
            content = np.ascontiguousarray(tile, self.dtype)
        else:  # the last ones of an array reach beyond it
            content = np.zeros(whole, self.dtype)
            content[: wanted[0], : wanted[1]] = tile
        packed = (_WITHOUT_HOLES if is_noise else _SQUEEZED).encode(content)
        checksum = int(CRC32C.checksum(packed))
        mark = np.array(checksum, _CHECKSUM).tobytes()
        self.tiled.objects.put(self.tiled.chunk_name(*index), b"".join((packed, mark)))
        return checksum

    def copy_each(self, pieces: Iterable[Piece], places: Iterable[NDArray[Any]]) -> None:
        """Copy parts of chunks to where they belong.

        Parameters
        ----------
        pieces : iterable of Piece
        places : iterable of array
            One for each piece, of its shape; written to.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        pieces = list(pieces)
        if self.kept is not None:
            for part, place in zip(self.parts(pieces), places, strict=True):
                place[...] = part
            return
        room = np.empty(self.chunk[-2:], self.dtype)
        packed = self._packed([piece.index for piece in pieces])
        for piece, place, content in zip(pieces, places, packed, strict=True):
            if place.shape == room.shape and place.flags.c_contiguous and place.dtype == self.dtype:
                self._unpack(piece.index, content, place)
            else:
                self._unpack(piece.index, content, room)
                place[...] = room[piece.within]

    def parts(self, pieces: Iterable[Piece]) -> Iterator[NDArray[Any]]:
        """Yield each part of a chunk, read-only: a view where the chunk is kept.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        pieces = list(pieces)
        keys = self._versions(pieces)
        found = [None if self.kept is None else self.kept.find(key) for key in keys]
        packed = self._packed([p.index for p, t in zip(pieces, found, strict=True) if t is None])
        for piece, key, tile in zip(pieces, keys, found, strict=True):
            if tile is not None:
                yield tile[piece.within]
                continue
            tile = np.empty(self.chunk[-2:], self.dtype)
            self._unpack(piece.index, next(packed), tile)
            tile = read_only(tile)
            is_kept = self.kept is not None and self.kept.keep(key, tile, tile.nbytes)
            # A view of what is not kept would hold all of it.
            yield tile[piece.within] if is_kept else read_only(tile[piece.within].copy())

    def _versions(self, pieces: list[Piece]) -> list[ChunkVersion]:
        """Return what the chunks are known by if they are kept."""
        objects = self.tiled.objects
        names = [self.tiled.chunk_name(*piece.index) for piece in pieces]
        if self.kept is None:
            return [ChunkVersion(objects, name, None) for name in names]
        versions = objects.each(objects.version, names, _AT_ONCE)
        return [ChunkVersion(objects, *of) for of in zip(names, versions, strict=True)]

    def checksums(self, indices: Iterable[tuple[int, ...]]) -> Iterator[int]:
        """Yield the checksum of each chunk, as `write` returned it, once all of it was read.

        Raises
        ------
        DamagedChunk
            A chunk is missing or damaged.
        """
        indices = list(indices)
        for index, content in zip(indices, self._packed(indices), strict=True):
            yield self._checked(index, content)

    def _packed(self, indices: list[tuple[int, ...]]) -> Iterator[bytes | None]:
        objects = self.tiled.objects
        names = [self.tiled.chunk_name(*index) for index in indices]
        return objects.each(objects.find, names, _AT_ONCE)

    def _unpack(self, index: tuple[int, ...], content: bytes | None, place: NDArray[Any]) -> None:
        self._checked(index, content)
        try:
            _SQUEEZED.decode(np.frombuffer(content or b"", np.uint8)[:-_CHECKSUM_BYTES], place)
        except (ValueError, RuntimeError) as error:  # of another size than the array's chunks
            raise self._damaged(index, str(error)) from error

    def _checked(self, index: tuple[int, ...], content: bytes | None) -> int:
        """Return the checksum of a chunk, which fits."""
        if content is None:
            raise DamagedChunk(f"{self.tiled.chunk_name(*index)} is missing", index)
        if len(content) <= _CHECKSUM_BYTES:
            raise self._damaged(index, f"{len(content)} bytes")
        written = int(np.frombuffer(content[-_CHECKSUM_BYTES:], _CHECKSUM)[0])
        found = int(CRC32C.checksum(np.frombuffer(content, np.uint8)[:-_CHECKSUM_BYTES]))
        if found != written:
            raise self._damaged(index, f"checksum {found:08x} found, {written:08x} was written")
        return found

    def _damaged(self, index: tuple[int, ...], why: str) -> DamagedChunk:
        return DamagedChunk(f"{self.tiled.chunk_name(*index)} is damaged ({why})", index)

    def _shape_of(self, index: tuple[int, ...]) -> tuple[int, int]:
        """Return the rows and columns of a chunk, cut at the array's end."""
        rows, columns = (
            min(chunk, size - k * chunk)
            for k, chunk, size in zip(index[-2:], self.chunk[-2:], self.shape[-2:], strict=True)
        )
        return rows, columns


def create_group(objects: ObjectStore, name: str, attributes: Mapping[str, Json]) -> None:
    """Write the metadata of a zarr group, in place of what was there; empty = all objects."""
    content = dumps(
        {"attributes": dict(attributes), "zarr_format": _ZARR_FORMAT, "node_type": "group"}
    )
    objects.put(f"{name}/{METADATA}" if name else METADATA, content)


def group_attributes(objects: ObjectStore, name: str) -> dict[str, Json]:
    """Return what was stored with a group when it was made.

    Raises
    ------
    DamagedProduct
        There is none, or its metadata cannot be read.
    """
    content = objects.find(f"{name}/{METADATA}")
    if content is None:
        raise DamagedProduct(f"there is no {name}")
    try:
        return cast("dict[str, Json]", dict(_described("group", content)["attributes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedProduct(f"{name}/{METADATA} is damaged ({error})") from error


def _described(kind: str, content: bytes) -> dict[str, Any]:
    """Return the metadata of an array or a group; ValueError if it is not that."""
    found: dict[str, Any] = json.loads(content)
    if (found["node_type"], found["zarr_format"]) != (kind, _ZARR_FORMAT):
        raise ValueError(f"no {kind} of zarr {_ZARR_FORMAT}")
    return found
