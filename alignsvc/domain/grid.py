"""The mosaic's grid of pixels and its tiles: index algebra only, no pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.geometry import PixelBox, Points, SkyPoints, TangentPlane


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """Address of a tile: the component's number, then row and column of the tile."""

    component: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"c{self.component}/{self.row}.{self.column}"


@dataclass(frozen=True, slots=True)
class MosaicGrid:
    """A tangent-plane grid of square pixels, north up and east left, cut into tiles.

    Parameters
    ----------
    component : int
        Number of the connected component of exposures that the grid serves.
    plane : TangentPlane
        Plane in which the grid lies.
    scale_arcsec : float
        Side of a pixel.
    origin_x, origin_y : float
        0-based pixel coordinates of the tangent point.
    shape : tuple of int
        ``(ny, nx)`` pixels.
    tile_shape : tuple of int
        ``(ny, nx)`` pixels of a tile; tiles of the last row and column may be cut short.
    """

    component: int
    plane: TangentPlane
    scale_arcsec: float
    origin_x: float
    origin_y: float
    shape: tuple[int, int]
    tile_shape: tuple[int, int]

    def __post_init__(self) -> None:
        if not self.scale_arcsec > 0:
            raise ValueError(f"a grid's scale must be positive, got {self.scale_arcsec}")
        if min(*self.shape, *self.tile_shape) < 1:
            raise ValueError(f"empty grid: shape {self.shape}, tile shape {self.tile_shape}")

    @property
    def box(self) -> PixelBox:
        """All pixels of the grid."""
        return PixelBox(0, 0, self.shape[1], self.shape[0])

    @property
    def n_tiles(self) -> tuple[int, int]:
        """``(rows, columns)`` of tiles."""
        return (
            -(-self.shape[0] // self.tile_shape[0]),
            -(-self.shape[1] // self.tile_shape[1]),
        )

    def tile_box(self, tile: TileId) -> PixelBox:
        """Return the pixels of `tile` (its half-open core, no halo)."""
        ny, nx = self.tile_shape
        whole = PixelBox(
            tile.column * nx, tile.row * ny, (tile.column + 1) * nx, (tile.row + 1) * ny
        )
        return whole.intersect(self.box)

    def tiles(self) -> Iterator[TileId]:
        """Yield every tile, row by row."""
        yield from self.tiles_touching(self.box)

    def tiles_touching(self, box: PixelBox) -> Iterator[TileId]:
        """Yield the tiles that share a pixel with `box`, row by row."""
        inside = box.intersect(self.box)
        if inside.is_empty:
            return
        ny, nx = self.tile_shape
        for row in range(inside.y0 // ny, (inside.y1 - 1) // ny + 1):
            for column in range(inside.x0 // nx, (inside.x1 - 1) // nx + 1):
                yield TileId(self.component, row, column)

    def block_box(self, box: PixelBox) -> PixelBox:
        """Return the smallest box of whole tiles that holds `box`, cut to the grid."""
        inside = box.intersect(self.box)
        if inside.is_empty:
            return PixelBox(0, 0, 0, 0)
        ny, nx = self.tile_shape
        return PixelBox(
            inside.x0 // nx * nx,
            inside.y0 // ny * ny,
            -(-inside.x1 // nx) * nx,
            -(-inside.y1 // ny) * ny,
        ).intersect(self.box)

    def tile_of(self, x: float, y: float) -> TileId:
        """Return the tile whose core holds the pixel nearest to ``(x, y)``."""
        column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        return TileId(self.component, row // self.tile_shape[0], column // self.tile_shape[1])

    def plane_from_pixel(self, pixel: Points) -> Points:
        """Return plane coordinates (east, north; arcsec) of 0-based pixel coordinates."""
        return Points(
            (self.origin_x - np.asarray(pixel.x, float)) * self.scale_arcsec,
            (np.asarray(pixel.y, float) - self.origin_y) * self.scale_arcsec,
        )

    def pixel_from_plane(self, plane: Points) -> Points:
        """Return 0-based pixel coordinates of plane coordinates (east, north; arcsec)."""
        return Points(
            self.origin_x - np.asarray(plane.x, float) / self.scale_arcsec,
            self.origin_y + np.asarray(plane.y, float) / self.scale_arcsec,
        )

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        """Return ICRS degrees of 0-based pixel coordinates."""
        return self.plane.to_sky(self.plane_from_pixel(pixel))

    def pixel_from_sky(self, sky: SkyPoints) -> Points:
        """Return 0-based pixel coordinates of ICRS degrees."""
        return self.pixel_from_plane(self.plane.from_sky(sky))
