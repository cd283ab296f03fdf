"""Interpolation at the centres of grid pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astropy.wcs.wcsapi import BaseLowLevelWCS
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.interpolate import contribution_by
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.sky.pixel_map import PixelMap


@RESAMPLERS.register("interp")
@dataclass(frozen=True, slots=True)
class InterpolationResampler:
    """Interpolates value x weight and weight.

    Parameters
    ----------
    order : int
        0 nearest, 1 bilinear (the default). Splines of order 2 and 3 ring about bad pixels,
        whose weight is 0, and are not offered.
    """

    order: int = 1

    def __post_init__(self) -> None:
        if self.order not in (0, 1):
            raise ConfigError(f"resampler interp: order {self.order}, wanted 0 or 1")

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32."""
        return contribution_by(self._resample, chip, pixel_map, grid)

    def patches(self) -> None:
        """Return None: contributions are made whole."""

    def for_templates(self) -> InterpolationResampler:
        """Return it as it is."""
        return self

    def _resample(
        self, planes: Float32Array, chip: BaseLowLevelWCS, box: BaseLowLevelWCS
    ) -> NDArray[Any]:
        # Importing the package brings dask with it: only those who ask for it pay.
        from reproject import reproject_interp

        out: NDArray[Any] = reproject_interp(
            (planes, chip),
            box,
            shape_out=(2, *box.array_shape),
            order=self.order,
            roundtrip_coords=False,
            return_footprint=False,
        )
        return out
