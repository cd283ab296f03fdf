"""Drizzle (Fruchter & Hook 2002, PASP 114, 144), by the library of its authors' institute."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from drizzle.resample import Drizzle

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.grid_units import chip_box, in_grid_units
from alignsvc.numerics.resampling.phase_skew import SKEW_REACH, skew_of_phases
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.resampling.windows import ChipWindows, boxes_around
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Half width of each kernel's footprint, chip pixels at pixfrac 1.
_KERNEL_REACH = {"point": 0.5, "turbo": 0.5, "square": 1.0, "gaussian": 1.2, "lanczos3": 3.0}
#: Chip pixels drizzled in one go: bounds the full-resolution map to 16 MB.
_PIXELS_AT_ONCE = 1 << 20
#: Pixels around a window whose values and places its own follow from: the library looks at the next
#: ones for the corners of a pixel, and third differences reach three.
_AROUND = SKEW_REACH + 1


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
        sums = self._sums(pixel_map)
        self._drop(sums, chip, PixelBox(0, 0, nx, ny))
        return sums.contribution(sums.box).cut(sums.box.intersect(grid.box))

    def touched(self, pixel_map: PixelMap, pixels: Points) -> list[PixelBox]:
        """Return boxes of the grid beyond which nothing changes with some pixels of the chip."""
        spread = SKEW_REACH if self.unskewed else 0
        return boxes_around(pixel_map, pixels, spread, self._reach(_middle_jacobian(pixel_map)))

    def within(
        self,
        chip: CalibratedChip,
        pixel_map: PixelMap,
        grid: MosaicGrid,
        boxes: Sequence[PixelBox],
    ) -> list[Contribution]:
        """Return the chip's contribution within each box, as far as it reaches there.

        Bit for bit those of the whole: a grid pixel gets the same chip pixels in the same order,
        dropped on planes of the same geometry. Of these only what is reached is ever touched.
        """
        sums = self._sums(pixel_map)
        windows = ChipWindows.of(pixel_map, self._reach(sums.turn))
        found = []
        for box in boxes:
            common = box.intersect(sums.box).intersect(grid.box)
            window = PixelBox(0, 0, 0, 0) if common.is_empty else windows.feeding(common)
            if window.is_empty:
                found.append(Contribution.empty(common).narrowed())
                continue
            self._drop(sums, chip, window)
            part = sums.contribution(common)
            found.append(Contribution(common, part.numerator.copy(), part.weight.copy()))
            sums.clear(windows.reached(window))
        return found

    def _sums(self, pixel_map: PixelMap) -> _Sums:
        turn = _middle_jacobian(pixel_map)
        return _Sums.of(self.kernel, pixel_map, turn, chip_box(pixel_map, self._reach(turn)))

    def _reach(self, turn: FloatArray) -> int:
        """Return how far a chip pixel reaches on the grid, grid pixels."""
        return 2 + math.ceil(_KERNEL_REACH[self.kernel] * _scale(turn))

    def _drop(self, sums: _Sums, chip: CalibratedChip, window: PixelBox) -> None:
        """Add the pixels of a window of the chip, in bands that are those of the whole chip."""
        ny, nx = chip.shape
        scale = _scale(sums.turn)
        x0, x1 = max(window.x0 - _AROUND, 0), min(window.x1 + _AROUND, nx)
        columns = chip if (x0, x1) == (0, nx) else chip.columns(x0, x1)
        for band in _bands(ny, max(2, _PIXELS_AT_ONCE // nx)):
            first, last = max(window.y0, band[0]), min(window.y1, band[1])
            if first >= last:
                continue
            y0, y1 = max(first - _AROUND, band[0]), min(last + _AROUND, band[1])
            rows = in_grid_units(columns, sums.pixel_map, y0, y1, x0)
            positions = sums.pixel_map.rows(y0, y1, x0, x1)
            for axis, origin in enumerate((sums.box.x0, sums.box.y0)):
                positions[:, :, axis] -= origin
            pixels = rows.pixels
            if self.unskewed:
                skew = skew_of_phases(columns, positions, (y0, y1), sums.turn)
                skew /= rows.area
                pixels = np.subtract(pixels, skew, out=skew)
            with _known_warnings_silenced():
                sums.drizzle.add_image(
                    pixels,
                    exptime=1.0,
                    pixmap=positions,
                    weight_map=rows.weight,
                    # The library normalises all kernels to 1 but this one, to the scale squared.
                    wht_scale=1.0 / scale**2 if self.kernel == "lanczos3" else 1.0,
                    pixfrac=self.pixfrac,
                    pixel_scale_ratio=1.0 / scale,  # the library's: grid pixel over chip pixel
                    in_units="cps",  # as they are: not divided by the exposure time
                    xmin=window.x0 - x0,
                    xmax=window.x1 - 1 - x0,
                    ymin=first - y0,
                    ymax=last - 1 - y0,
                )


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """What a chip is dropped on: planes of its box, and the library's hold on them.

    Parameters
    ----------
    pixel_map : PixelMap
        Of the chip.
    turn : float64 array, shape (2, 2)
        d(grid)/d(chip) in its middle.
    box : PixelBox
        All that the chip reaches, in the grid's plane, not cut to the grid.
    mean, weight : float32 arrays
        Of that box.
    drizzle : Drizzle
    """

    pixel_map: PixelMap
    turn: FloatArray
    box: PixelBox
    mean: Float32Array
    weight: Float32Array
    drizzle: Drizzle

    @classmethod
    def of(cls, kernel: str, pixel_map: PixelMap, turn: FloatArray, box: PixelBox) -> _Sums:
        """Return sums of nothing."""
        mean, weight = np.zeros(box.shape, np.float32), np.zeros(box.shape, np.float32)
        drizzle = Drizzle(kernel=kernel, out_img=mean, out_wht=weight, disable_ctx=True)
        return cls(pixel_map, turn, box, mean, weight, drizzle)

    def contribution(self, box: PixelBox) -> Contribution:
        """Return what was summed within a part of the planes, which hold it from now on."""
        inside = box.slices_in(self.box)
        mean, weight = self.mean[inside], self.weight[inside]
        hole = ~(weight > 0)
        for plane in (mean, weight):
            np.copyto(plane, 0, where=hole)
        mean *= weight
        return Contribution(box, mean, weight)

    def clear(self, box: PixelBox) -> None:
        """Forget what was summed within `box`."""
        inside = box.intersect(self.box).slices_in(self.box)
        self.mean[inside] = 0
        self.weight[inside] = 0


@contextmanager
def _known_warnings_silenced() -> Iterator[None]:
    """Silence what the docstring of `DrizzleResampler` says of gaussian and lanczos3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Kernel '.*' is not a flux-conserving kernel")
        warnings.filterwarnings("ignore", message="In lanczos kernel, pixel_fraction is ignored")
        yield


def _scale(turn: FloatArray) -> float:
    """Return the side of a chip pixel in grid pixels."""
    return math.sqrt(abs(float(np.linalg.det(turn))))


def _middle_jacobian(pixel_map: PixelMap) -> FloatArray:
    """Return d(grid)/d(chip) at the chip's centre, shape (2, 2)."""
    ny, nx = pixel_map.shape
    return pixel_map.jacobian(Points(np.asarray((nx - 1) / 2), np.asarray((ny - 1) / 2)))


def _bands(ny: int, height: int) -> list[tuple[int, int]]:
    """Return bands of nearly equal height, `height` rows at most, that make up `ny` rows."""
    n_bands = -(-ny // height)
    edges = [ny * k // n_bands for k in range(n_bands + 1)]
    return list(itertools.pairwise(edges))
