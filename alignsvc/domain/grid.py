"""The mosaic's grid of pixels and its tiles: index algebra only, no pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints, TangentPlane


@dataclass(frozen=True, slots=True, order=True)
class TileId:
    """Address of a tile: the component's number, then row and column of the tile."""

    component: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"c{self.component}/{self.row}.{self.column}"


#: How far from 1 rounding may take the area of a pixel.
_UNIT_AREA = 1e-9


@dataclass(frozen=True, slots=True)
class GridAxes:
    """Which way a grid's axes run on the sky: a step of one pixel along each, in pixels.

    Parameters
    ----------
    x_east, x_north : float
        Of the step along x.
    y_east, y_north : float
        Of the step along y.
    """

    x_east: float
    x_north: float
    y_east: float
    y_north: float

    def __post_init__(self) -> None:
        if not abs(abs(self.determinant) - 1.0) <= _UNIT_AREA:
            raise ValueError(f"grid axes: a pixel of unit area is wanted, got {self.determinant}")

    @property
    def determinant(self) -> float:
        """Signed area of a pixel: 1, or -1 where east is to the left of north."""
        return self.x_east * self.y_north - self.y_east * self.x_north


#: As FITS has them by default.
NORTH_UP_EAST_LEFT = GridAxes(-1.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class MosaicGrid:
    """A tangent-plane grid of square pixels, cut into tiles.

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
    axes : GridAxes
        North up and east left, unless the grid was given.
    """

    component: int
    plane: TangentPlane
    scale_arcsec: float
    origin_x: float
    origin_y: float
    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    axes: GridAxes = NORTH_UP_EAST_LEFT

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

    @property
    def plane_jacobian(self) -> FloatArray:
        """d(east, north; arcsec) / d(x, y; px), shape ``(2, 2)``."""
        axes = self.axes
        directions = np.array([[axes.x_east, axes.y_east], [axes.x_north, axes.y_north]])
        return self.scale_arcsec * directions

    def plane_from_pixel(self, pixel: Points) -> Points:
        """Return plane coordinates (east, north; arcsec) of 0-based pixel coordinates."""
        axes, scale = self.axes, self.scale_arcsec
        u = np.asarray(pixel.x, float) - self.origin_x
        v = np.asarray(pixel.y, float) - self.origin_y
        return Points(
            (axes.x_east * u + axes.y_east * v) * scale,
            (axes.x_north * u + axes.y_north * v) * scale,
        )

    def pixel_from_plane(self, plane: Points) -> Points:
        """Return 0-based pixel coordinates of plane coordinates (east, north; arcsec)."""
        axes = self.axes
        east = np.asarray(plane.x, float) / (self.scale_arcsec * axes.determinant)
        north = np.asarray(plane.y, float) / (self.scale_arcsec * axes.determinant)
        return Points(
            self.origin_x + (axes.y_north * east - axes.y_east * north),
            self.origin_y + (axes.x_east * north - axes.x_north * east),
        )

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        """Return ICRS degrees of 0-based pixel coordinates."""
        return self.plane.to_sky(self.plane_from_pixel(pixel))

    def pixel_from_sky(self, sky: SkyPoints) -> Points:
        """Return 0-based pixel coordinates of ICRS degrees."""
        return self.pixel_from_plane(self.plane.from_sky(sky))
