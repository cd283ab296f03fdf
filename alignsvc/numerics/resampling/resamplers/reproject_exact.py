"""Resampling by the exact overlap of pixels' areas on the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from astropy.wcs.wcsapi import BaseLowLevelWCS
from numpy.typing import NDArray

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.grid import MosaicGrid
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.interpolate import contribution_by
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.sky.pixel_map import PixelMap


@RESAMPLERS.register("exact")
@dataclass(frozen=True, slots=True)
class ExactResampler:
    """Averages chip pixels by the area that they share with a grid pixel; slow."""

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32."""
        return contribution_by(_resample, chip, pixel_map, grid)

    def patches(self) -> None:
        """Return None: contributions are made whole."""

    def for_templates(self) -> ExactResampler:
        """Return it as it is."""
        return self


def _resample(planes: Float32Array, chip: BaseLowLevelWCS, box: BaseLowLevelWCS) -> NDArray[Any]:
    # Importing the package brings dask with it: only those who ask for it pay.
    from reproject import reproject_exact

    mean, covered = reproject_exact(
        (planes.astype(float), chip), box, shape_out=(2, *box.array_shape), parallel=False
    )
    # The mean is over the covered part of a grid pixel: at the chip's edge it counts in part.
    out: NDArray[Any] = mean * covered
    return out
