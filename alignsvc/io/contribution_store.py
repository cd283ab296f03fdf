"""What each exposure gives to the mosaic, kept for one generation.

A folder each: a zarr array of numerator and weight, in one object a tile, and beside its metadata
``saturated.npy``, the grid pixels that the exposure's saturated pixels lie on, and
``contribution.json``, what is known of it, which is written last and makes the contribution exist.

One that differs from another in a few pixels is laid over it: its folder holds these alone, an
object ``patch/ROW/COLUMN`` for each tile that has any, and its record names the other, its base.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.contribution_parts import FetchedContribution
from alignsvc.io.contribution_patches import (
    checksum_over,
    patch_checksum,
    read_patch,
    write_patches,
)
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.shards import part_of
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.io.stores import objects_at
from alignsvc.io.tiled_arrays import OpenTiles, Piece, TiledArray
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.patches import Patch

_SATURATED = "saturated.npy"
_RECORD = "contribution.json"
#: Planes of the array; sky is noise, of which no codec saves a tenth.
_NUMERATOR, _N_PLANES, _DTYPE = 0, 2, "float32"
#: Chunks that are sent at once, where each takes its time.
_AT_ONCE = 4
#: Contributions that are read at once there: each takes its room.
_READ_AT_ONCE = 3


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
        there = self._there_whole(key, grid)
        if there is not None:
            return there
        given = contribution.narrowed()
        block = grid.block_box(given.box)
        objects = self.objects
        array = self._array(key).create((_N_PLANES, *block.shape), grid.tile_shape, _DTYPE)
        described = StoredContribution(key, block, grid.tile_shape, (), "")
        checksums = self._write_chunks(array, described, given, grid)
        described = replace(described, tiles=tuple(checksums))
        found = replace(described, checksum=_checksum(described, saturated, checksums.values()))
        listed = io.BytesIO()
        np.save(listed, saturated.astype(np.int32), allow_pickle=False)
        objects.put(f"{key}/{_SATURATED}", listed.getvalue())
        record = sealed({"contribution": json_from(found, StoredContribution)})
        objects.put(f"{key}/{_RECORD}", record)
        return found

    def lay_over(
        self, key: str, base: StoredContribution, patch: Patch, grid: MosaicGrid
    ) -> StoredContribution:
        """Store under `key` what differs from a whole contribution in some pixels.

        As `write`: unless it is there and whole, and existing once its record is written.

        Parameters
        ----------
        key : str
        base : StoredContribution
            In this store, and it has to stay as long as this one.
        patch : Patch
        grid : MosaicGrid

        Raises
        ------
        ValueError
            It has a pixel in a tile in which the base has no weight.
        """
        there = self._there_whole(key, grid)
        if there is not None:
            return there
        parts = {tile: patch.cut(base.tile_box(tile)) for tile in base.tiles}
        parts = {tile: part for tile, part in parts.items() if len(part.at)}
        if sum(len(part.at) for part in parts.values()) != len(patch.at):
            raise ValueError(f"contribution {key}: a patch reaches beyond the tiles of {base.name}")
        found = replace(base, name=key, base=base.name, patched=tuple(parts))
        checksums = write_patches(self.objects, key, parts)
        found = replace(found, checksum=checksum_over(base.checksum, found.patched, checksums))
        record = sealed({"contribution": json_from(found, StoredContribution)})
        self.objects.put(f"{key}/{_RECORD}", record)
        return found

    def exists(self, key: str) -> bool:
        """Whether there is a contribution under `key`."""
        return self.objects.exists(f"{key}/{_RECORD}")

    def is_whole(self, key: str, grid: MosaicGrid) -> bool:
        """Whether there is a contribution under `key` whose pixels, all read, have its checksum."""
        try:
            stored = self.stored(key)
            if stored.base:
                return self.is_whole(stored.base, grid) and self._is_over(stored)
            chunks = [stored.chunk_of(tile) for tile in stored.tiles]
            checksums = self._array(key).opened().checksums(chunks)
            found = _checksum(stored, self.saturated(key), checksums)
        except DamagedProduct:
            return False
        return stored.tile_shape == grid.tile_shape and found == stored.checksum

    def find(self, key: str) -> StoredContribution | None:
        """Return what is known of a contribution; None if there is none, or nothing readable."""
        try:
            return self.stored(key)
        except DamagedProduct:
            return None

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

    def stored_each(self, keys: Iterable[str]) -> Iterator[StoredContribution]:
        """Yield what `stored` returns for each key in turn; some are asked for at once."""
        return self.objects.each(self.stored, keys, _AT_ONCE)

    def read(self, key: str, box: PixelBox) -> Contribution:
        """Return the part within `box`, float32; nothing (weight 0) where it has no weight.

        Raises
        ------
        DamagedProduct
            There is none under `key`, or a chunk of it is missing or damaged: its tile is named.
        """
        planes = np.empty((_N_PLANES, *box.shape), np.float32)
        for _ in self._bands(self.stored(key), box, lambda band: planes[:, *band.slices_in(box)]):
            pass
        return Contribution(box, planes[0], planes[1])

    def bands(self, key: str, box: PixelBox) -> Iterator[Contribution]:
        """Yield what `read` returns in bands of whole rows, from the first to the last.

        The pixels of a band are there until the next is asked for: they stay in the processor's
        cache, and no plane of the box is made.

        Raises
        ------
        DamagedProduct
            As of `read`, when the first is asked for or that band.
        """
        stored = self.stored(key)
        height, _ = part_of(stored.tile_shape)
        room = np.empty((_N_PLANES, height, box.shape[1]), np.float32)
        for band, planes in self._bands(stored, box, lambda band: room[:, : band.shape[0]]):
            yield Contribution(band, planes[0], planes[1])

    def patch(self, stored: StoredContribution, tile: TileId) -> Patch:
        """Return what a contribution has otherwise than its base in a tile, over that tile.

        Raises
        ------
        DamagedProduct
            It is missing or damaged.
        """
        box = stored.tile_box(tile)
        if tile not in stored.patched:
            return Patch.empty(box)
        return read_patch(self.objects, stored.name, tile, box)

    def patch_each(self, stored: Iterable[StoredContribution], tile: TileId) -> Iterator[Patch]:
        """Yield what `patch` returns for each contribution in turn; some are asked for at once."""
        return self.objects.each(lambda one: self.patch(one, tile), stored, _AT_ONCE)

    def read_each(
        self, each: Iterable[StoredContribution], box: PixelBox
    ) -> Iterator[Contribution]:
        """Yield what the contributions' arrays hold within `box`, one after the other, in parts.

        Parts of a contribution do not overlap, and may reach beyond the box; their pixels are
        there until the next is asked for. In a bucket the next contributions are on their way.

        Parameters
        ----------
        each : iterable of StoredContribution
            Of one that is laid over another, that one is read.
        box : PixelBox

        Raises
        ------
        DamagedProduct
            As of `read`, when it is a contribution's turn.
        """
        fetched_each = self.objects.each(lambda one: self._fetched(one, box), each, _READ_AT_ONCE)
        for fetched in fetched_each:
            yield from fetched.parts()

    def saturated(self, key: str) -> IntArray:
        """Return x and y of the grid pixels on which the exposure is saturated, shape (n, 2).

        Raises
        ------
        DamagedProduct
            There is no such list, or it cannot be read.
        """
        content = self.objects.find(f"{self.stored(key).whole}/{_SATURATED}")
        if content is None:
            raise DamagedProduct(f"contribution {key}: {_SATURATED} is missing; resume")
        try:
            pixels: IntArray = np.load(io.BytesIO(content), allow_pickle=False).astype(np.int64)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedProduct(
                f"contribution {key}: {_SATURATED} cannot be read ({error}); resume"
            ) from error
        return pixels

    def saturated_each(self, keys: Iterable[str]) -> Iterator[IntArray]:
        """Yield what `saturated` returns for each key in turn; some are asked for at once."""
        return self.objects.each(self.saturated, keys, _AT_ONCE)

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

    def _there_whole(self, key: str, grid: MosaicGrid) -> StoredContribution | None:
        """Return what is there under a key; None if nothing is, or what was damaged is removed."""
        if not self.exists(key):
            return None
        if self.is_whole(key, grid):
            return self.stored(key)
        self.remove(key)
        return None

    def _write_chunks(
        self,
        array: OpenTiles,
        described: StoredContribution,
        given: Contribution,
        grid: MosaicGrid,
    ) -> dict[TileId, int]:
        """Write all chunks; return the checksum of each that holds anything, sorted."""

        def write(tile: TileId) -> int | None:
            box = grid.tile_box(tile)
            inside = box.intersect(given.box)
            part = given.cut(inside)
            piece = Piece(described.chunk_of(tile), inside.slices_in(box))
            planes = [part.numerator, part.weight]
            return array.write_unless_empty(piece, planes, noise=(_NUMERATOR,))

        tiles = sorted(grid.tiles_touching(given.box))
        written = zip(tiles, self.objects.each(write, tiles, _AT_ONCE), strict=True)
        return {tile: checksum for tile, checksum in written if checksum is not None}

    def _bands(
        self, stored: StoredContribution, box: PixelBox, place: Callable[[PixelBox], Float32Array]
    ) -> Iterator[tuple[PixelBox, Float32Array]]:
        """Yield bands of a box as `FetchedContribution.bands`, with the patches laid over them."""
        n_columns = box.shape[1]
        over = [self.patch(stored, tile).cut(box) for tile in stored.patched]
        for band, planes in self._fetched(stored, box).bands(box, place):
            first, last = ((y - box.y0) * n_columns for y in (band.y0, band.y1))
            for patch in over:
                here = slice(*np.searchsorted(patch.at, (first, last)))
                for plane, values in zip(planes, patch.after, strict=True):
                    plane.reshape(-1)[patch.at[here] - first] = values[here]
            yield band, planes

    def _fetched(self, stored: StoredContribution, box: PixelBox) -> FetchedContribution:
        # Its record says what the metadata of its array says, which would be another trip.
        shape = (_N_PLANES, *stored.block.shape)
        array = self._array(stored.whole).known(shape, stored.tile_shape, _DTYPE)
        return FetchedContribution.of(stored, array, box)

    def _array(self, key: str) -> TiledArray:
        return TiledArray(self.objects, key)

    def _is_over(self, stored: StoredContribution) -> bool:
        """Whether a contribution is its base with these patches, all read; or DamagedProduct."""
        checksums = [patch_checksum(self.patch(stored, tile)) for tile in stored.patched]
        base = self.stored(stored.base)
        return checksum_over(base.checksum, stored.patched, checksums) == stored.checksum


def _checksum(stored: StoredContribution, saturated: IntArray, chunks: Iterable[int]) -> str:
    digest = hashlib.sha256(repr((stored.tile_shape, stored.block, stored.tiles)).encode())
    digest.update(np.ascontiguousarray(saturated, np.int64).data)
    digest.update(np.fromiter(chunks, "<u4").data)
    return digest.hexdigest()
