"""Anti-aliased resampling with a kernel that follows the local Jacobian (DeForest 2004)."""

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

_KERNELS = ("gaussian", "hann")


@RESAMPLERS.register("adaptive")
@dataclass(frozen=True, slots=True)
class AdaptiveResampler:
    """Averages chip pixels under a kernel of about one grid pixel's size.

    Parameters
    ----------
    kernel : str
        ``gaussian`` (smooths by 1.3 grid pixels FWHM) or ``hann`` (narrower).
    """

    kernel: str = "gaussian"

    def __post_init__(self) -> None:
        if self.kernel not in _KERNELS:
            raise ConfigError(
                f"resampler adaptive: kernel {self.kernel!r}, wanted one of {', '.join(_KERNELS)}"
            )

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32."""
        return contribution_by(self._resample, chip, pixel_map, grid)

    def patches(self) -> None:
        """Return None: contributions are made whole."""

    def for_templates(self) -> AdaptiveResampler:
        """Return it as it is."""
        return self

    def _resample(
        self, planes: Float32Array, chip: BaseLowLevelWCS, box: BaseLowLevelWCS
    ) -> NDArray[Any]:
        # Importing the package brings dask with it: only those who ask for it pay.
        from reproject import reproject_adaptive

        out: NDArray[Any] = reproject_adaptive(
            (planes.astype(float), chip),
            box,
            shape_out=(2, *box.array_shape),
            kernel=self.kernel,
            boundary_mode="constant",  # nothing beyond the chip: the edge counts in part
            boundary_fill_value=0.0,
            return_footprint=False,
        )
        return out
