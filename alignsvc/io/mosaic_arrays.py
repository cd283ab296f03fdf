"""The arrays of a generation of the mosaic: their names, their types, and how they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.io.codec import json_from
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tiled_arrays import TiledArray
from alignsvc.io.zarr_metadata import METADATA, create_group

SUMS = ("numerator", "weight")
SEGMENTATION = "segmentation"
PLANES = (*SUMS, SEGMENTATION)
#: A source's id is 1 + the number of its peak's pixel, which mostly is below 2^31.
SourceIds: TypeAlias = NDArray[np.int32] | NDArray[np.int64]
GENERATION = "generation-"


def generation_name(generation: int) -> str:
    """Return the name of a generation's group in the store."""
    return f"{GENERATION}{generation:04d}"


def component_name(generation: int, component: int) -> str:
    """Return the name of the group of one component's arrays."""
    return f"{generation_name(generation)}/c{component}"


def array_of(objects: ObjectStore, generation: int, component: int, plane: str) -> TiledArray:
    """Return one plane of a component."""
    return TiledArray(objects, f"{component_name(generation, component)}/{plane}")


def make_arrays(objects: ObjectStore, generation: int, grids: Iterable[MosaicGrid]) -> None:
    """Make all of a generation but what makes it exist."""
    objects.delete_below(f"{generation_name(generation)}/")  # what a killed driver may have left
    if not objects.exists(METADATA):
        create_group(objects, "", {})
    for grid in grids:
        name = component_name(generation, grid.component)
        create_group(objects, name, {"grid": json_from(grid, MosaicGrid)})
        for plane in PLANES:
            array = array_of(objects, generation, grid.component, plane)
            array.create(grid.shape, grid.tile_shape, _stored_dtype(plane, grid))


def copy_chunk(source: TiledArray, there: TileId, target: TiledArray, tile: TileId) -> None:
    """Make a tile's chunk of one array that of a tile of another too."""
    target.objects.copy(
        source.objects,
        source.chunk_name(there.row, there.column),
        target.chunk_name(tile.row, tile.column),
    )


def _stored_dtype(plane: str, grid: MosaicGrid) -> str:
    """Return the type of a plane's pixels."""
    if plane in SUMS:
        return "float64"
    return "int32" if math.prod(grid.shape) <= np.iinfo(np.int32).max else "int64"
