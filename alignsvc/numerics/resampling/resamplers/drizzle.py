"""Drizzle (Fruchter & Hook 2002, PASP 114, 144), by the library of its authors' institute."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from drizzle.resample import Drizzle

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.grid_units import chip_box, in_grid_units
from alignsvc.numerics.resampling.phase_skew import skew_of_phases
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Half width of each kernel's footprint, chip pixels at pixfrac 1.
_KERNEL_REACH = {"point": 0.5, "turbo": 0.5, "square": 1.0, "gaussian": 1.2, "lanczos3": 3.0}
#: Chip pixels drizzled in one go: bounds the full-resolution map to 16 MB.
_PIXELS_AT_ONCE = 1 << 20


@RESAMPLERS.register("drizzle")
@dataclass(frozen=True, slots=True)
class DrizzleResampler:
    """Drops each chip pixel, shrunk, on the grid.

    Parameters
    ----------
    kernel : str
        Shape of the drop: ``turbo`` (a square along the grid's axes: the default, three times
        faster than the next and no worse for alignment), ``square`` (the pixel's true
        quadrilateral), ``point``, ``gaussian`` or ``lanczos3`` (these two do not conserve flux
        exactly; lanczos3 ignores pixfrac, and pixels whose weights cancel are holes).
    pixfrac : float
        Side of the drop in chip pixels, above 0 up to 1. Below 1 a grid of the chip's own scale
        gets holes, unless many exposures fill them.
    unskewed : bool
        Whether what the phase of the pixel makes lopsided is taken off: for templates, and only
        where it is known, for square drops of pixfrac 1.

    Notes
    -----
    The library keeps a running mean; numerator = mean x weight is the sum of value x weight to
    the rounding of float32.
    """

    kernel: str = "turbo"
    pixfrac: float = 1.0
    unskewed: bool = False

    def __post_init__(self) -> None:
        if self.kernel not in _KERNEL_REACH:
            raise ConfigError(
                f"resampler drizzle: kernel {self.kernel!r}, "
                f"wanted one of {', '.join(sorted(_KERNEL_REACH))}"
            )
        if not 0.0 < self.pixfrac <= 1.0:
            raise ConfigError(
                f"resampler drizzle: pixfrac {self.pixfrac}, wanted above 0, at most 1"
            )

    def for_templates(self) -> DrizzleResampler:
        """Return the same whose stars are symmetric whatever the phase of their pixels."""
        known = self.kernel in ("turbo", "square") and self.pixfrac == 1.0
        return replace(self, unskewed=known)

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32.

        The whole chip is dropped, then what lies beyond the grid is cut off: the grid's border
        loses no weight.
        """
        ny, nx = chip.shape
        turn = _middle_jacobian(pixel_map)
        scale = math.sqrt(abs(float(np.linalg.det(turn))))  # side of a chip pixel, grid pixels
        box = chip_box(pixel_map, 2 + math.ceil(_KERNEL_REACH[self.kernel] * scale))
        mean, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
        sums = Drizzle(kernel=self.kernel, out_img=mean, out_wht=weight, disable_ctx=True)
        for y0, y1 in _bands(ny, max(2, _PIXELS_AT_ONCE // nx)):
            rows = in_grid_units(chip, pixel_map, y0, y1)
            positions = pixel_map.rows(y0, y1)
            for axis, origin in enumerate((box.x0, box.y0)):
                positions[:, :, axis] -= origin
            pixels = rows.pixels
            if self.unskewed:
                skew = skew_of_phases(chip, positions, (y0, y1), turn)
                skew /= rows.area
                pixels = np.subtract(pixels, skew, out=skew)
            with _known_warnings_silenced():
                sums.add_image(
                    pixels,
                    exptime=1.0,
                    pixmap=positions,
                    weight_map=rows.weight,
                    # The library normalises all kernels to 1 but this one, to the scale squared.
                    wht_scale=1.0 / scale**2 if self.kernel == "lanczos3" else 1.0,
                    pixfrac=self.pixfrac,
                    pixel_scale_ratio=1.0 / scale,  # the library's: grid pixel over chip pixel
                    in_units="cps",  # as they are: not divided by the exposure time
                )
        hole = ~(weight > 0)
        for plane in (mean, weight):
            np.copyto(plane, 0, where=hole)
        mean *= weight
        return Contribution(box, mean, weight).cut(box.intersect(grid.box))


@contextmanager
def _known_warnings_silenced() -> Iterator[None]:
    """Silence what the docstring of `DrizzleResampler` says of gaussian and lanczos3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Kernel '.*' is not a flux-conserving kernel")
        warnings.filterwarnings("ignore", message="In lanczos kernel, pixel_fraction is ignored")
        yield


def _middle_jacobian(pixel_map: PixelMap) -> FloatArray:
    """Return d(grid)/d(chip) at the chip's centre, shape (2, 2)."""
    ny, nx = pixel_map.shape
    return pixel_map.jacobian(Points(np.asarray((nx - 1) / 2), np.asarray((ny - 1) / 2)))


def _bands(ny: int, height: int) -> list[tuple[int, int]]:
    """Return bands of nearly equal height, `height` rows at most, that make up `ny` rows."""
    n_bands = -(-ny // height)
    edges = [ny * k // n_bands for k in range(n_bands + 1)]
    return list(itertools.pairwise(edges))
