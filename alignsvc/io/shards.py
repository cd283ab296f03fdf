"""A tile of an array as one object: parts, each encoded and with a checksum, and where they lie.

As zarr's codec ``sharding_indexed`` has it (zarr specification, version 3): parts one after the
other, then where each begins and how long it is, and the CRC-32C of that. A part of zeros is not
there. A part is small enough to stay in the processor's cache while it is read, checked, decoded
and put where it belongs: with whole tiles each of these steps waits for the memory.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from alignsvc.io.closing_checksums import (
    CHECKSUM_BYTES,
    Content,
    as_bytes,
    check_closed,
    checksum_of,
    closing,
)
from alignsvc.io.open_objects import OpenObject

#: Of a part, at most; a tile that cannot be cut so is one part. A quarter of a MB, or half of one
#: in float64, stays in the cache, and takes long beside the calls: twice and half of it are slower.
_MOST_PIXELS, _MOST_COLUMNS = 1 << 16, 512
# Measured (ms for 4 MB, one core: to encode, to decode, part of the size left): weights of drizzle
# 2.0, 0.7, 0.3, of a tenth of a tile 0.4, 0.14, 0.05; sums in float64 2.5, 0.8, 0.46; noise in
# float32 3.2, 0.7, 0.92, without shuffling 0.7, 0.3, 0.97. zstd takes 7 and 6 for 0.93 of noise.
_SQUEEZED = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
#: For noise with holes: only what is empty gets smaller. Whoever decodes one decodes the others.
_WITHOUT_HOLES = Blosc(cname="lz4", clevel=1, shuffle=Blosc.NOSHUFFLE)
#: For noise without: as it is.
_AS_IT_IS = Blosc(cname="lz4", clevel=0, shuffle=Blosc.NOSHUFFLE)
#: Of a frame of Blosc: its head, in which a flag says that pixels follow as they are.
_HEAD_BYTES, _FLAGS, _IS_AS_IT_IS = 16, 2, 2
_CHECKSUM = "<u4"
_WHERE, _WHERE_BYTES = "<u8", 16
#: Where a part begins that is not there, and how long it is.
_ABSENT = 2**64 - 1
#: Pixels that are looked at as they are stored begin where a line of the cache does, or in it.
_LINE = 64


class PackedShard(NamedTuple):
    """A tile as it is stored: `content` piece by piece, its `checksum`, and if all of it is 0."""

    content: list[bytes | memoryview]
    checksum: int
    is_empty: bool


class Part(NamedTuple):
    """A part of a tile: its rows and columns, and the pixels of each plane, None = all are 0.

    The pixels are there until the next part is asked for.
    """

    within: tuple[slice, slice]
    planes: tuple[NDArray[Any] | None, ...]


@dataclass(frozen=True, slots=True)
class Shards:
    """How the tiles of an array are stored.

    Parameters
    ----------
    n_planes : int
        Of a tile.
    tile, part : tuple of int
        Rows and columns; those of a part divide those of a tile.
    dtype : numpy.dtype
        Little-endian.
    """

    n_planes: int
    tile: tuple[int, int]
    part: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def _grid(self) -> tuple[int, int, int]:
        """Planes, and rows and columns of parts."""
        (ny, nx), (height, width) = self.tile, self.part
        return (self.n_planes, ny // height, nx // width)

    @property
    def _index_bytes(self) -> int:
        return math.prod(self._grid) * _WHERE_BYTES + CHECKSUM_BYTES

    def packed(
        self, planes: Sequence[NDArray[Any]], within: tuple[slice, slice], noise: Collection[int]
    ) -> PackedShard:
        """Return a tile as it is stored.

        Parameters
        ----------
        planes : sequence of array
        within : tuple of slice
            The rows and columns of the tile that they cover; elsewhere it is 0.
        noise : collection of int
            Planes of which only what is 0 is worth the time to make it smaller.
        """
        where = np.full((*self._grid, 2), _ABSENT, _WHERE)
        checksums = np.zeros(self._grid, _CHECKSUM)
        content, end = list[bytes | memoryview](), 0
        for plane, row, column in np.ndindex(self._grid):
            given = self._given(planes[plane], within, (row, column))
            if given is None:
                continue
            packed = self._packed(given, is_noise=plane in noise)
            checksum = checksum_of(packed)
            content += [packed if isinstance(packed, bytes) else packed.data, as_bytes(checksum)]
            size = len(packed) + CHECKSUM_BYTES
            where[plane, row, column] = end, size
            checksums[plane, row, column] = checksum
            end += size
        index = where.tobytes()
        mark = as_bytes(checksum_of(index))
        of_all = _checksum_of_all(where, checksums)
        return PackedShard([*content, index, mark], of_all, is_empty=not content)

    def _given(
        self, plane: NDArray[Any], within: tuple[slice, slice], at: tuple[int, int]
    ) -> _Given | None:
        """Return what a plane has of a part; None if all of that is 0."""
        there, here = [], []
        for k, size, of in zip(at, self.part, within, strict=True):
            first, last = max(k * size, of.start), min((k + 1) * size, of.stop)
            if first >= last:
                return None
            there.append(slice(first - of.start, last - of.start))
            here.append(slice(first - k * size, last - k * size))
        pixels = plane[tuple(there)]
        # A row across the middle spares looking at all pixels of most parts.
        is_empty = not (pixels[len(pixels) // 2].any() or pixels.any())
        return None if is_empty else _Given(pixels, tuple(here))

    def _packed(self, given: _Given, *, is_noise: bool) -> Content:
        """Return a part as a frame of Blosc, 0 where nothing is given."""
        pixels, here = given
        is_whole = pixels.shape == self.part
        if is_noise and is_whole and _has_no_hole(pixels):
            frame = np.empty(_HEAD_BYTES + pixels.size * self.dtype.itemsize, np.uint8)
            frame[:_HEAD_BYTES] = np.frombuffer(_head_of_noise(self.part, self.dtype), np.uint8)
            frame[_HEAD_BYTES:].view(self.dtype).reshape(self.part)[...] = pixels
            return frame
        if is_whole:
            whole = np.ascontiguousarray(pixels, self.dtype)
        else:
            whole = np.zeros(self.part, self.dtype)
            whole[here] = pixels
        packed: bytes = (_WITHOUT_HOLES if is_noise else _SQUEEZED).encode(whole)
        return packed


class _Given(NamedTuple):
    """Pixels of a part, and their rows and columns in it."""

    pixels: NDArray[Any]
    rows_and_columns: tuple[slice, ...]


class PartRoom:
    """Room for a part of each plane, as it is stored and as it was: used again and again."""

    def __init__(self, shards: Shards) -> None:
        most = math.prod(shards.part) * shards.dtype.itemsize + _HEAD_BYTES + CHECKSUM_BYTES
        self.packed = np.empty((shards.n_planes, -(-most // _LINE) * _LINE), np.uint8)
        self.unpacked = np.empty((shards.n_planes, *shards.part), shards.dtype)


class OpenShard:
    """A tile that is read, part by part.

    Parameters
    ----------
    shards : Shards
    stored : OpenObject
    room : PartRoom

    Raises
    ------
    ValueError
        It is damaged: so do all of the methods.
    """

    def __init__(self, shards: Shards, stored: OpenObject, room: PartRoom) -> None:
        self._shards = shards
        self._stored = stored
        self._room = room
        start = stored.size - shards._index_bytes
        if start < 0:
            raise ValueError(f"{stored.size} bytes")
        index = np.empty(shards._index_bytes, np.uint8)
        stored.read_into(index, start)
        check_closed(index)
        self._end = start
        self._where = index[:-CHECKSUM_BYTES].view(_WHERE).reshape(*shards._grid, 2)

    def parts(self, within: tuple[slice, slice]) -> Iterator[Part]:
        """Yield the parts that have pixels in some rows and columns."""
        height, width = self._shards.part
        rows = range(within[0].start // height, -(-within[0].stop // height))
        columns = range(within[1].start // width, -(-within[1].stop // width))
        for row, column in product(rows, columns):
            y0, x0 = row * height, column * width
            planes = (self._pixels((k, row, column)) for k in range(self._shards.n_planes))
            yield Part((slice(y0, y0 + height), slice(x0, x0 + width)), tuple(planes))

    def checksum(self) -> int:
        """Return the checksum of the tile, all of which is read."""
        checksums = np.zeros(self._shards._grid, _CHECKSUM)
        for at in np.ndindex(self._shards._grid):
            packed = self._read(at)
            if packed is not None:
                checksums[at] = closing(packed)
        return _checksum_of_all(self._where, checksums)

    def _pixels(self, at: tuple[int, int, int]) -> NDArray[Any] | None:
        """Return the pixels of a part."""
        packed = self._read(at)
        if packed is None:
            return None
        room: NDArray[Any] = self._room.unpacked[at[0]]
        frame = packed[:-CHECKSUM_BYTES]
        if frame[_FLAGS] & _IS_AS_IT_IS and len(frame) == _HEAD_BYTES + room.nbytes:
            as_it_is: NDArray[Any] = frame[_HEAD_BYTES:].view(room.dtype).reshape(room.shape)
            return as_it_is
        try:
            _SQUEEZED.decode(frame, room)
        except RuntimeError as error:  # of another size than the parts of this array
            raise ValueError(str(error)) from error
        return room

    def _read(self, at: tuple[int, int, int]) -> NDArray[np.uint8] | None:
        """Return a part as it is stored, with its checksum, which fits; None if it is not there."""
        start, size = (int(one) for one in self._where[at])
        if start == _ABSENT:
            return None
        room = self._room.packed[at[0]]
        if not (_HEAD_BYTES + CHECKSUM_BYTES <= size <= len(room) and start + size <= self._end):
            raise ValueError(f"a part of {size} bytes from {start} on")
        packed: NDArray[np.uint8] = room[:size]
        self._stored.read_into(packed, start)
        check_closed(packed)
        return packed


def part_of(tile: tuple[int, int]) -> tuple[int, int]:
    """Return the rows and columns of the parts in which a tile is stored."""
    columns = _divisor(tile[1], _MOST_COLUMNS)
    return (_divisor(tile[0], max(1, _MOST_PIXELS // columns)), columns)


def _divisor(size: int, most: int) -> int:
    """Return the largest divisor that is not above `most`; the whole if that is less than half."""
    if size <= most:
        return size
    found = max(n for n in range(1, most + 1) if size % n == 0)
    return found if 2 * found >= most else size


def _has_no_hole(pixels: NDArray[Any]) -> bool:
    """Whether none of the outermost pixels is 0: where an exposure ends, or nothing is known."""
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return all(edge.all() for edge in edges)


@lru_cache(maxsize=8)
def _head_of_noise(part: tuple[int, int], dtype: np.dtype[Any]) -> bytes:
    """Return how a frame of Blosc begins in which all pixels of a part follow as they are.

    Then they need not be gathered for Blosc, which would copy them once more.
    """
    packed: bytes = _AS_IT_IS.encode(np.zeros(part, dtype))
    return packed[:_HEAD_BYTES]


def _checksum_of_all(where: NDArray[Any], checksums: NDArray[Any]) -> int:
    """Return the checksum of a tile: of those of its parts and where they lie."""
    return checksum_of(where.tobytes() + checksums.tobytes())
