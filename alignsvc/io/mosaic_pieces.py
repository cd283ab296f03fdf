"""What of a mosaic's tiles lies within a box, and which of them is damaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct
from alignsvc.io.tiled_arrays import DamagedChunk, OpenTiles, Piece
from alignsvc.numerics.resampling.coadd import Contribution


def whole_tile(tile: TileId, box: PixelBox) -> Piece:
    """Return all of a tile, which has this box."""
    return Piece((tile.row, tile.column), box.slices_in(box))


def pieces_of_tiles(grid: MosaicGrid, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return the parts of tiles that a box consists of, by where they lie."""
    pieces = {}
    for tile in grid.tiles_touching(box):
        tile_box = grid.tile_box(tile)
        common = tile_box.intersect(box)
        pieces[common] = Piece((tile.row, tile.column), common.slices_in(tile_box))
    return pieces


def rows_of_tiles(grid: MosaicGrid, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return the rows of tiles that a box lies on, by where they lie, beyond the grid's end too."""
    width = grid.tile_shape[1]
    pieces = {}
    for common, piece in pieces_of_tiles(grid, box).items():
        x0 = piece.index[1] * width
        rows = PixelBox(x0, common.y0, x0 + width, common.y1)
        pieces[rows] = Piece(piece.index, (piece.within[0], slice(0, width)))
    return pieces


@contextmanager
def naming_tile(generation: int, component: int) -> Iterator[None]:
    """Say of which tile a damaged chunk is."""
    try:
        yield
    except DamagedChunk as error:
        raise missing_tile(generation, TileId(component, *error.index), str(error)) from error


def missing_tile(generation: int, tile: TileId, what: str) -> DamagedProduct:
    """Return the error that a tile is missing or damaged."""
    return DamagedProduct(
        f"mosaic generation {generation}, tile {tile}: {what}; it is to be made again"
    )


@dataclass(frozen=True, slots=True, eq=False)
class OpenPlanes:
    """Planes of a component of a generation whose metadata is read.

    Parameters
    ----------
    grid : MosaicGrid
    arrays : sequence of OpenTiles
    """

    grid: MosaicGrid
    arrays: Sequence[OpenTiles]

    def sums(self, box: PixelBox) -> Contribution:
        """Return numerator and weight, which these planes must be, within a box cut to the grid."""
        box = box.intersect(self.grid.box)
        numerator, weight = (self.cut(array, box) for array in self.arrays)
        return Contribution(box, numerator, weight)

    def cut(self, array: OpenTiles, box: PixelBox) -> NDArray[Any]:
        """Return what one of them has within a box of the grid."""
        pieces = pieces_of_tiles(self.grid, box)
        plane = np.empty(box.shape, array.dtype)
        array.copy_each(pieces.values(), [plane[common.slices_in(box)] for common in pieces])
        return plane
