"""What the resamplers built on the reproject package share.

reproject asks a WCS for positions, pixel by pixel. Here the chip's WCS is answered from the
pixel map (its error is tested, it is fast, and it knows distortions that the package does not),
and the grid's from the grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.coordinates import ICRS, SkyCoord
from astropy.wcs.wcsapi import BaseLowLevelWCS
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.grid_units import chip_box, in_grid_units
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Resamples planes, shape (2, ny, nx), of the first WCS onto the second's shape; NaN outside.
PlaneResampler = Callable[[Float32Array, BaseLowLevelWCS, BaseLowLevelWCS], NDArray[Any]]


def contribution_by(
    resample: PlaneResampler, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid
) -> Contribution:
    """Return the chip's contribution, its planes put on the grid by `resample`.

    With R the resampling, linear, the weighted mean that lets bad pixels change nothing is
    ``R[w v] / R[w]``: both planes are resampled, not the values. As R averages over area, w is
    taken per grid pixel's area (over a): then the sum of ``R[w / a]`` over grid pixels is the
    sum of w over chip pixels.
    """
    box = chip_box(pixel_map, 2).intersect(grid.box)
    if box.is_empty:
        return Contribution.empty(PixelBox(0, 0, 0, 0)).narrowed()
    rows = in_grid_units(chip, pixel_map, pixel_map.box)
    weight = rows.weight / rows.area
    planes = np.stack([rows.pixels * weight, weight])
    out = resample(planes, _ChipSky(pixel_map), _BoxSky(grid, box))
    numerator, weight = np.nan_to_num(out).astype(np.float32)
    hole = ~(weight > 0)
    numerator[hole], weight[hole] = 0.0, 0.0
    return Contribution(box, numerator, weight)


class _SkyWcs(BaseLowLevelWCS):  # type: ignore[misc]  # astropy has no types
    """Two pixel axes, ICRS right ascension and declination in degrees."""

    @property
    def pixel_n_dim(self) -> int:
        return 2

    @property
    def world_n_dim(self) -> int:
        return 2

    @property
    def world_axis_physical_types(self) -> list[str]:
        return ["pos.eq.ra", "pos.eq.dec"]

    @property
    def world_axis_units(self) -> list[str]:
        return ["deg", "deg"]

    @property
    def world_axis_object_components(self) -> list[tuple[str, object, str]]:
        return [
            ("celestial", 0, "spherical.lon.degree"),
            ("celestial", 1, "spherical.lat.degree"),
        ]

    @property
    def world_axis_object_classes(self) -> dict[str, tuple[Any, ...]]:
        return {"celestial": (SkyCoord, (), {"frame": ICRS(), "unit": ("deg", "deg")})}


@dataclass(frozen=True, slots=True, eq=False)
class _ChipSky(_SkyWcs):
    """The pixels of a chip on the sky, by way of its map."""

    pixel_map: PixelMap

    @property
    def array_shape(self) -> tuple[int, int]:
        return self.pixel_map.shape

    def pixel_to_world_values(self, *pixel: NDArray[Any]) -> SkyPoints:
        return self.pixel_map.grid.sky_from_pixel(self.pixel_map.to_grid(Points(*pixel)))

    def world_to_pixel_values(self, *world: NDArray[Any]) -> Points:
        return self.pixel_map.to_chip(self.pixel_map.grid.pixel_from_sky(SkyPoints(*world)))


@dataclass(frozen=True, slots=True, eq=False)
class _BoxSky(_SkyWcs):
    """The pixels of a box of the grid on the sky."""

    grid: MosaicGrid
    box: PixelBox

    @property
    def array_shape(self) -> tuple[int, int]:
        return self.box.shape

    def pixel_to_world_values(self, *pixel: NDArray[Any]) -> SkyPoints:
        x, y = (np.asarray(axis, float) for axis in pixel)
        return self.grid.sky_from_pixel(Points(x + self.box.x0, y + self.box.y0))

    def world_to_pixel_values(self, *world: NDArray[Any]) -> Points:
        whole = self.grid.pixel_from_sky(SkyPoints(*world))
        return Points(whole.x - self.box.x0, whole.y - self.box.y0)
