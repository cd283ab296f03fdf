"""Drizzle (Fruchter & Hook 2002, PASP 114, 144)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.drizzle_library import LibraryDrops
from alignsvc.numerics.resampling.drops import PlacedPart, SumPlanes
from alignsvc.numerics.resampling.grid_units import (
    PartInGridUnits,
    bands,
    drops_box,
    in_grid_units,
    middle_jacobian,
    middle_scale,
)
from alignsvc.numerics.resampling.patches import TurboPatches
from alignsvc.numerics.resampling.phase_skew import skew_of_phases
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.resampling.turbo_rows import TurboDrops
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Half width of each kernel's footprint, chip pixels at pixfrac 1.
_KERNEL_REACH = {"point": 0.5, "turbo": 0.5, "square": 1.0, "gaussian": 1.2, "lanczos3": 3.0}


@RESAMPLERS.register("drizzle")
@dataclass(frozen=True, slots=True)
class DrizzleResampler:
    """Drops each chip pixel, shrunk, on the grid.

    Parameters
    ----------
    kernel : str
        Shape of the drop: ``turbo`` (a square along the grid's axes: the default, no worse for
        alignment), ``square`` (the pixel's true quadrilateral, at four times the cost), ``point``,
        ``gaussian`` or ``lanczos3`` (these two do not conserve flux exactly; lanczos3 ignores
        pixfrac, and pixels whose weights cancel are holes).
    pixfrac : float
        Side of the drop in chip pixels, above 0 up to 1. Below 1 a grid of the chip's own scale
        gets holes, unless many exposures fill them.
    unskewed : bool
        Whether what the phase of the pixel makes lopsided is taken off: for templates, and only
        where it is known, for square drops of pixfrac 1.

    Notes
    -----
    Turbo is our own (`turbo_rows`); the others are the library's (`drizzle_library`).
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

    def patches(self) -> TurboPatches | None:
        """Return what finds single pixels of a contribution; None unless the kernel is turbo."""
        if self.kernel != "turbo":
            return None
        return TurboPatches(self.pixfrac, _KERNEL_REACH[self.kernel], self.unskewed)

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid, float32.

        The whole chip is dropped, and what falls beyond the grid is lost: the grid's border
        loses no weight.
        """
        whole = drops_box(pixel_map, _KERNEL_REACH[self.kernel])
        # Weights of some of the library's kernels depend on a drop's part beyond its planes.
        sums = SumPlanes.zeros(whole.intersect(grid.box) if self.kernel == "turbo" else whole)
        self.add(chip, pixel_map, pixel_map.box, sums)
        return Contribution(*sums).cut(whole.intersect(grid.box))

    def add(
        self, chip: CalibratedChip, pixel_map: PixelMap, part: PixelBox, sums: SumPlanes
    ) -> None:
        """Add the pixels of a box of the chip to sums over a box of the grid.

        With turbo, all pixels of the chip that reach a grid pixel, added in however many boxes
        in order of their rows, give the bits that the whole chip gives.
        """
        if sums.box.is_empty:
            return
        if self.kernel == "turbo":
            TurboDrops(self.pixfrac, self.unskewed)(chip, pixel_map, part, sums)
        else:
            drops = LibraryDrops(self.kernel, self.pixfrac, middle_scale(pixel_map))
            drops(self._placed(chip, pixel_map, part), sums)

    def _placed(
        self, chip: CalibratedChip, pixel_map: PixelMap, part: PixelBox
    ) -> Iterator[PlacedPart]:
        """Yield a box of the chip in bands of rows, which stay in the processor's cache."""
        turn = middle_jacobian(pixel_map)
        room = _Room.of(PixelBox(0, 0, 0, 0))
        for band in bands(part):
            # Used again and again: memory new to the process costs more than all the sums.
            room = room if room.has(band) else _Room.of(band)
            positions = pixel_map.positions(band, room.positions)
            less = skew_of_phases(chip, positions, band, turn, room.skew) if self.unskewed else None
            yield PlacedPart(in_grid_units(chip, pixel_map, band, less, room.part), positions)


class _Room(NamedTuple):
    """Where a band of rows is worked on."""

    positions: FloatArray
    skew: Float32Array
    part: PartInGridUnits

    @classmethod
    def of(cls, band: PixelBox) -> _Room:
        """Return room for a band."""
        empty = PartInGridUnits.empty(band)
        return cls(np.empty((2, *band.shape)), np.empty(band.shape, np.float32), empty)

    def has(self, band: PixelBox) -> bool:
        """Whether it is made for bands of this shape."""
        return self.skew.shape == band.shape
