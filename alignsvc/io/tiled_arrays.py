"""Arrays in the store whose chunks are tiles: zarr v3, every chunk with a checksum of its own.

What is absent or damaged is never read as zeros: a chunk that should be there and is not, or
whose CRC-32C does not fit, is a `DamagedProduct` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer

from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import Json, dumps
from alignsvc.io.objects import ObjectStore
from alignsvc.io.zarr_objects import CHUNKS, ZarrObjects

#: The object that makes an array, or a group, of what lies beside it.
METADATA = "zarr.json"
#: A tile's few chunks, and no more threads than a worker of one core can use.
_CONCURRENCY = 2
_ZARR_FORMAT: Literal[3] = 3


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
        with _settings():
            zarr.create_array(
                memory,
                shape=shape,
                chunks=(1,) * (len(shape) - 2) + tile_shape,
                dtype=dtype,
                # Measured: lz4 with shuffled bytes writes at 630 and reads at 760 MB/s; zstd
                # costs CPU for 5 % of noisy sky. The checksum comes last: it covers the object.
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
        return f"{self.name}/{CHUNKS}{'/'.join(map(str, index))}"

    def has_chunk(self, *index: int) -> bool:
        """Whether the chunk has been written."""
        return self.objects.exists(self.chunk_name(*index))

    def opened(self, *, read_only: bool) -> OpenTiles:
        """Return the array with its metadata read, for several chunks.

        Raises
        ------
        DamagedProduct
            There is no such array, or its metadata is damaged.
        """
        store = ZarrObjects(self.objects, self.name, read_only=read_only)
        with _settings():
            try:
                array = zarr.open_array(
                    store, mode="r" if read_only else "r+", zarr_format=_ZARR_FORMAT
                )
            except FileNotFoundError as error:
                raise DamagedProduct(f"{self.name}: there is no such array") from error
            # zarr.json cut short or changed
            except (ValueError, KeyError, TypeError) as error:
                raise DamagedProduct(f"{self.name}/{METADATA} is damaged ({error})") from error
        return OpenTiles(self, array)


@dataclass(frozen=True, slots=True, eq=False)
class OpenTiles:
    """An array's chunks; made by `TiledArray.opened` only.

    Parameters
    ----------
    tiled : TiledArray
    array : zarr.Array
    """

    tiled: TiledArray
    array: Any

    def write(self, index: tuple[int, ...], tile: NDArray[Any]) -> None:
        """Write a whole chunk; all leading indices are one element thick.

        Raises
        ------
        ValueError
            The tile's shape is not the chunk's (cut at the array's end).
        RunStoreError, ResourceError
            It cannot be written; the disk is full.
        """
        region = _region(self.array, index)
        wanted = tuple(part.stop - part.start for part in region[-2:])
        if tile.shape != wanted:
            raise ValueError(
                f"{self.tiled.name}: chunk {index} has shape {wanted}, not {tile.shape}"
            )
        with _settings():
            self.array[(*index[:-2], *region[-2:])] = tile

    def read(
        self, index: tuple[int, ...], within: tuple[slice, slice] | None = None
    ) -> NDArray[Any]:
        """Return a chunk, or the part `within` it, counted from the chunk's corner.

        Raises
        ------
        DamagedProduct
            The chunk is missing or damaged.
        """
        rows, columns = _region(self.array, index)[-2:]
        with _settings():
            try:
                whole: NDArray[Any] = np.asarray(self.array[(*index[:-2], rows, columns)])
            except (ValueError, RuntimeError) as error:  # CRC-32C, blosc
                name = self.tiled.chunk_name(*index)
                raise DamagedProduct(f"{name} is damaged ({error})") from error
        return whole if within is None else whole[within]


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
    store = ZarrObjects(objects, name, read_only=True)
    try:
        group = zarr.open_group(store, mode="r", zarr_format=_ZARR_FORMAT)
    except FileNotFoundError as error:
        raise DamagedProduct(f"there is no {name}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedProduct(f"{name}/{METADATA} is damaged ({error})") from error
    return cast("dict[str, Json]", dict(group.attrs))


def _settings() -> AbstractContextManager[object]:
    """Return zarr's settings for one operation; the process's own stay as they are.

    Chunks of zeros are written: only then does an absent chunk mean that something is wrong.
    """
    settings: AbstractContextManager[object] = zarr.config.set(
        {
            "async.concurrency": _CONCURRENCY,
            "threading.max_workers": _CONCURRENCY,
            "array.write_empty_chunks": True,
        }
    )
    return settings


def _region(array: Any, index: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the slices of a chunk, cut at the array's end."""
    return tuple(
        slice(k * chunk, min((k + 1) * chunk, size))
        for k, chunk, size in zip(index, array.chunks, array.shape, strict=True)
    )
