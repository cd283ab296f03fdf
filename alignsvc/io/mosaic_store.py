"""The mosaic on disk: a zarr group of generations, one of which is the current one.

::

    mosaic.zarr/
      current                     name of the published generation
      generation-0002/            one per pass; a zarr group
        c0/                       one per component; its grid is an attribute
          numerator, weight       float64, chunk = tile
          segmentation            int64, chunk = tile, on passes that detect

A generation is written beside the published one, verified, and published by moving the pointer.
Tiles that did not change are hard links to the older generation's chunks: zarr replaces files,
it never writes into them, so a link shares bytes and not fate.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from alignsvc.domain.arrays import IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import RunStoreError
from alignsvc.io.codec import json_from, value_from
from alignsvc.io.objects import PARTIAL, LocalObjects
from alignsvc.io.tiled_arrays import TiledArray, explained
from alignsvc.numerics.resampling.coadd import Contribution

_SUMS = ("numerator", "weight")
_SEGMENTATION = "segmentation"
_DTYPES = {"numerator": "float64", "weight": "float64", _SEGMENTATION: "int64"}
_CURRENT = "current"


@dataclass(frozen=True, slots=True)
class MosaicStore:
    """Generations of the mosaic.

    Parameters
    ----------
    root : Path
        ``mosaic.zarr`` of the run; made with the first generation.
    """

    root: Path

    def create(self, generation: int, grids: Iterable[MosaicGrid]) -> None:
        """Make a generation without tiles; nothing happens if it exists with these grids.

        Raises
        ------
        RunStoreError
            It exists with other grids.
        """
        grids = tuple(grids)
        if self.exists(generation):
            if self.grids(generation) != grids:
                raise RunStoreError(
                    f"mosaic store {self.root}: generation {generation} exists with other grids; "
                    "remove it first"
                )
            return
        final = self._path(generation)
        partial = self.root / f"{PARTIAL}{uuid.uuid4().hex}"
        with explained(final):
            _group(self.root, {})
            _group(partial, {"n_components": len(grids)})
            for grid in grids:
                component = partial / f"c{grid.component}"
                _group(component, {"grid": json_from(grid, MosaicGrid)})
                for name, dtype in _DTYPES.items():
                    TiledArray.create(component / name, grid.shape, grid.tile_shape, dtype, {})
            partial.rename(final)

    def exists(self, generation: int) -> bool:
        """Whether the generation has been created."""
        return (self._path(generation) / "zarr.json").is_file()

    def generations(self) -> tuple[int, ...]:
        """Return the generations that exist, in order."""
        return tuple(
            sorted(int(path.name.split("-")[1]) for path in self.root.glob("generation-*"))
        )

    def grids(self, generation: int) -> tuple[MosaicGrid, ...]:
        """Return the grids that the generation was created with, in order of component."""
        n_components = int(self._attributes(self._path(generation))["n_components"])
        return tuple(self.grid(generation, component) for component in range(n_components))

    def grid(self, generation: int, component: int) -> MosaicGrid:
        """Return the grid of one component."""
        attributes = self._attributes(self._path(generation) / f"c{component}")
        return value_from(attributes["grid"], MosaicGrid)

    def write_tile(self, generation: int, tile: TileId, sums: Contribution) -> str:
        """Write a tile's numerator and weight (as float64); return their checksum.

        Raises
        ------
        ValueError
            `sums` is not exactly on the tile.
        """
        for name, plane in zip(_SUMS, (sums.numerator, sums.weight), strict=True):
            self._array(generation, tile.component, name).write(
                (tile.row, tile.column), plane.astype(np.float64, copy=False)
            )
        return tile_checksum(sums)

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

    def read_tile(self, generation: int, tile: TileId) -> Contribution:
        """Return a whole tile; RunStoreError if it is missing or damaged."""
        box = self.grid(generation, tile.component).tile_box(tile)
        return self.read(generation, tile.component, box)

    def verify_tile(self, generation: int, tile: TileId, checksum: str) -> None:
        """Raise RunStoreError unless the tile is what had this checksum when written."""
        found = tile_checksum(self.read_tile(generation, tile))
        if found != checksum:
            raise RunStoreError(
                f"mosaic generation {generation}, tile {tile}: checksum {found}, {checksum} was "
                "written; merge the tile again"
            )

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

    def link_segmentation(self, source: int, target: int, tile: TileId) -> None:
        """Make a tile's map of source ids that of another generation too.

        Raises
        ------
        RunStoreError
            Generation `source` has none.
        """
        old = self._array(source, tile.component, _SEGMENTATION)
        if not old.has_chunk(tile.row, tile.column):
            raise _missing(source, tile, "segmentation is missing")
        new = self._array(target, tile.component, _SEGMENTATION)
        with explained(old.path):
            _link(old.chunk_path(tile.row, tile.column), new.chunk_path(tile.row, tile.column))

    def write_segmentation(self, generation: int, tile: TileId, labels: IntArray) -> None:
        """Write a tile's map of source ids (0 = sky)."""
        self._array(generation, tile.component, _SEGMENTATION).write(
            (tile.row, tile.column), labels.astype(np.int64, copy=False)
        )

    def read_segmentation(self, generation: int, component: int, box: PixelBox) -> IntArray:
        """Return source ids within `box`, cut to the grid.

        Raises
        ------
        RunStoreError
            A tile's map is missing or damaged; the tile is named.
        """
        box = box.intersect(self.grid(generation, component).box)
        return self._plane(generation, component, _SEGMENTATION, box)

    def link_tile(self, source: int, target: int, tile: TileId) -> None:
        """Make the tile of generation `source` that of generation `target` too.

        The planes that exist are hard-linked, or copied where the file system has no links;
        the target's own tile, if any, is replaced.
        """
        for name in _DTYPES:
            index = (tile.row, tile.column)
            old = self._array(source, tile.component, name)
            if not old.has_chunk(*index):
                if name in _SUMS:
                    raise _missing(source, tile, f"{name} is missing")
                continue
            with explained(old.path):
                _link(
                    old.chunk_path(*index),
                    self._array(target, tile.component, name).chunk_path(*index),
                )

    def adopt(self, other: MosaicStore, source: int, target: int) -> None:
        """Make a generation of another store one of this store too, without its sources.

        Chunks are linked, or copied where the disk allows no links; the other store stays as
        it is. Nothing happens if the target exists.
        """
        if self.exists(target):
            return
        partial = self.root / f"{PARTIAL}{uuid.uuid4().hex}"
        with explained(self.root):
            _group(self.root, {})
            shutil.copytree(
                other._path(source), partial, copy_function=_copy_linked, ignore=_all_but_sums
            )
            partial.rename(self._path(target))

    def link_earlier(self, source: int, there: TileId, target: int, tile: TileId) -> None:
        """Make a tile of an adopted generation, perhaps of another number, one of `target`.

        No source is known in it.

        Raises
        ------
        RunStoreError
            The adopted generation lacks the tile.
        """
        for name in _SUMS:
            old = self._array(source, there.component, name)
            if not old.has_chunk(there.row, there.column):
                raise _missing(source, there, f"{name} is missing")
            new = self._array(target, tile.component, name)
            with explained(old.path):
                _link(
                    old.chunk_path(there.row, there.column),
                    new.chunk_path(tile.row, tile.column),
                )
        box = self.grid(target, tile.component).tile_box(tile)
        self.write_segmentation(target, tile, np.zeros(box.shape, np.int64))

    def publish(self, generation: int) -> None:
        """Make a generation the current one, once all its tiles are there.

        Raises
        ------
        RunStoreError
            A tile is missing: the pointer stays.
        """
        for grid in self.grids(generation):
            for tile in grid.tiles():
                if not self.has_tile(generation, tile):
                    raise _missing(generation, tile, "not written")
        LocalObjects(self.root).put(_CURRENT, self._path(generation).name.encode())

    def current(self) -> int | None:
        """Return the published generation, or None."""
        name = LocalObjects(self.root).find(_CURRENT)
        return None if name is None else int(name.decode().split("-")[1])

    def withdraw(self) -> None:
        """Have no current generation any more; nothing happens if there is none."""
        LocalObjects(self.root).delete(_CURRENT)

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
        path = self._path(generation)
        if not path.exists():
            return
        partial = self.root / f"{PARTIAL}{uuid.uuid4().hex}"
        with explained(path):
            path.rename(partial)  # gone at once, whatever happens to the deletion
        shutil.rmtree(partial, ignore_errors=True)

    def remove_partial(self) -> None:
        """Remove what killed writers left; only while nobody writes."""
        for path in self.root.glob(f"{PARTIAL}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _plane(self, generation: int, component: int, name: str, box: PixelBox) -> NDArray[Any]:
        grid = self.grid(generation, component)
        array = self._array(generation, component, name)
        plane = np.zeros(box.shape, _DTYPES[name])
        for tile in grid.tiles_touching(box):
            tile_box = grid.tile_box(tile)
            common = tile_box.intersect(box)
            try:
                part = array.read((tile.row, tile.column), common.slices_in(tile_box))
            except RunStoreError as error:
                raise _missing(generation, tile, str(error)) from error
            plane[common.slices_in(box)] = part
        return plane

    def _array(self, generation: int, component: int, name: str) -> TiledArray:
        return TiledArray(self._path(generation) / f"c{component}" / name)

    def _path(self, generation: int) -> Path:
        return self.root / f"generation-{generation:04d}"

    def _attributes(self, path: Path) -> dict[str, Any]:
        if not (path / "zarr.json").is_file():
            raise RunStoreError(f"mosaic store {self.root}: there is no {path.name}")
        with explained(path):
            return dict(zarr.open_group(LocalStore(path, read_only=True), mode="r").attrs)


def tile_checksum(sums: Contribution) -> str:
    """Return the sha256 of a tile's float64 numerator, then its weight."""
    digest = hashlib.sha256()
    for plane in (sums.numerator, sums.weight):
        digest.update(np.ascontiguousarray(plane, dtype="<f8").data)
    return digest.hexdigest()


def _missing(generation: int, tile: TileId, what: str) -> RunStoreError:
    return RunStoreError(
        f"mosaic generation {generation}, tile {tile}: {what}; merge the tile again"
    )


def _group(path: Path, attributes: dict[str, Any]) -> None:
    """Make a zarr group unless there is one."""
    if not (path / "zarr.json").is_file():
        zarr.create_group(LocalStore(path), attributes=attributes)


def _link(old: Path, new: Path) -> None:
    """Make `new` the same file as `old`, in one step; a copy where links are not to be had."""
    new.parent.mkdir(parents=True, exist_ok=True)
    if new.exists() and new.samefile(old):
        return
    partial = new.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
    try:
        try:
            os.link(old, partial)
        except OSError:  # another device, or a file system without links
            shutil.copyfile(old, partial)
        partial.replace(new)
    finally:
        partial.unlink(missing_ok=True)


def _all_but_sums(folder: str, names: list[str]) -> set[str]:
    """Name what of a generation is not taken over: maps of sources, and what is half written."""
    partial = {name for name in names if name.startswith(PARTIAL)}
    return partial | {"c"} & set(names) if Path(folder).name == _SEGMENTATION else partial


def _copy_linked(old: str, new: str) -> str:
    _link(Path(old), Path(new))
    return new
