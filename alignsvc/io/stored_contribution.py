"""What the store knows of a contribution, and where in its array its tiles are."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import TileId


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
        sha256 of where it lies, what is saturated, and the checksums of all chunks; of one that is
        laid over another, of that one's and of its patches'.
    base : str
        The contribution that it is laid over; empty = it is whole itself.
    patched : tuple of TileId
        Tiles in which it differs from its base, sorted.
    """

    name: str
    block: PixelBox
    tile_shape: tuple[int, int]
    tiles: tuple[TileId, ...]
    checksum: str
    base: str = ""
    patched: tuple[TileId, ...] = ()

    @property
    def whole(self) -> str:
        """The name of the contribution whose array it reads."""
        return self.base or self.name

    def chunk_of(self, tile: TileId) -> tuple[int, ...]:
        """Return the place of a tile's chunk in the array."""
        ny, nx = self.tile_shape
        return (0, tile.row - self.block.y0 // ny, tile.column - self.block.x0 // nx)

    def tile_of(self, chunk: tuple[int, ...]) -> TileId:
        """Return the tile of a chunk."""
        ny, nx = self.tile_shape
        _, row, column = chunk
        component = self.tiles[0].component
        return TileId(component, row + self.block.y0 // ny, column + self.block.x0 // nx)

    def tile_box(self, tile: TileId) -> PixelBox:
        """Return the box of a tile, cut at the grid's end."""
        ny, nx = self.tile_shape
        x0, y0 = tile.column * nx, tile.row * ny
        return PixelBox(x0, y0, x0 + nx, y0 + ny).intersect(self.block)
