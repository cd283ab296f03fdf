"""Arrays on disk whose chunks are tiles: zarr v3, every chunk with a checksum of its own.

What is absent or damaged is never read as zeros: a chunk that should be there and is not, or
whose CRC-32C does not fit, is a `RunStoreError` that names it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from alignsvc.errors import ResourceError, RunStoreError
from alignsvc.io.codec import Json

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: A tile's few chunks, and no more threads than a worker of one core can use.
_CONCURRENCY = 2


@dataclass(frozen=True, slots=True)
class TiledArray:
    """One zarr array of two or more dimensions, of which the last two are cut into tiles.

    One owner per chunk: processes may write different chunks of one array at the same time.

    Parameters
    ----------
    path : Path
        The array's directory.
    """

    path: Path

    @classmethod
    def create(
        cls,
        path: Path,
        shape: tuple[int, ...],
        tile_shape: tuple[int, int],
        dtype: str,
        attributes: Mapping[str, Json],
    ) -> TiledArray:
        """Return a new array without any chunk.

        Raises
        ------
        RunStoreError
            There is an array already, or the directory cannot be written.
        """
        with explained(path), _settings():
            zarr.create_array(
                LocalStore(path),
                shape=shape,
                chunks=(1,) * (len(shape) - 2) + tile_shape,
                dtype=dtype,
                # Measured: lz4 with shuffled bytes writes at 630 and reads at 760 MB/s; zstd
                # costs CPU for 5 % of noisy sky. The checksum comes last: it covers the file.
                compressors=[BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()],
                fill_value=0,
                attributes=dict(attributes),
            )
        return cls(path)

    @property
    def exists(self) -> bool:
        """Whether there is an array."""
        return (self.path / "zarr.json").is_file()

    def attributes(self) -> dict[str, Json]:
        """Return what was stored with the array when it was made."""
        return cast("dict[str, Json]", dict(self._open("r").attrs))

    def chunk_path(self, *index: int) -> Path:
        """Return the file of a chunk."""
        return self.path.joinpath("c", *map(str, index))

    def has_chunk(self, *index: int) -> bool:
        """Whether the chunk has been written."""
        return self.chunk_path(*index).is_file()

    def write(self, index: tuple[int, ...], tile: NDArray[Any]) -> None:
        """Write a whole chunk; all leading indices are one element thick.

        Raises
        ------
        ValueError
            The tile's shape is not the chunk's (cut at the array's end).
        RunStoreError, ResourceError
            It cannot be written; the disk is full.
        """
        array = self._open("r+")
        region = _region(array, index)
        wanted = tuple(part.stop - part.start for part in region[-2:])
        if tile.shape != wanted:
            raise ValueError(f"{self.path}: chunk {index} has shape {wanted}, not {tile.shape}")
        with explained(self.path), _settings():
            array[(*index[:-2], *region[-2:])] = tile

    def read(
        self, index: tuple[int, ...], within: tuple[slice, slice] | None = None
    ) -> NDArray[Any]:
        """Return a chunk, or the part `within` it, counted from the chunk's corner.

        Raises
        ------
        RunStoreError
            The chunk is missing or damaged.
        """
        if not self.has_chunk(*index):
            raise RunStoreError(f"{self.path}: chunk {_name(index)} is missing")
        array = self._open("r")
        rows, columns = _region(array, index)[-2:]
        with explained(self.path), _settings():
            try:
                whole: NDArray[Any] = np.asarray(array[(*index[:-2], rows, columns)])
            except (ValueError, RuntimeError) as error:  # CRC-32C, blosc
                raise RunStoreError(
                    f"{self.path}: chunk {_name(index)} is damaged ({error})"
                ) from error
        return whole if within is None else whole[within]

    def _open(self, mode: str) -> Any:
        if not self.exists:
            raise RunStoreError(f"{self.path}: there is no such array")
        with explained(self.path), _settings():
            try:
                return zarr.open_array(LocalStore(self.path, read_only=mode == "r"), mode=mode)
            except (ValueError, KeyError) as error:  # zarr.json cut short or changed
                raise RunStoreError(
                    f"{self.path}: zarr.json is damaged ({error}); remove the array and make it "
                    "again"
                ) from error


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of the file system into errors that say what the operator does next."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"{path}: the disk is full; free some space there, then resume"
            ) from error
        raise RunStoreError(f"{path}: {error.strerror or error}") from error


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


def _name(index: tuple[int, ...]) -> str:
    return ".".join(map(str, index))
