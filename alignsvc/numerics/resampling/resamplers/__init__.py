"""The family of resamplers: ``(chip, pixel_map, grid) -> Contribution``, one file each.

The contract. The contribution covers the chip's whole bounding box in the grid (cut to the
grid), in float32. Its values are per *grid* pixel: the flux of a star summed over grid pixels is
its flux summed over chip pixels. Its weights are inverse variances of such values, and their
sum is that of the chip's weights, in the same units (`grid_units.in_grid_units`). What a pixel of
weight 0 holds changes nothing. The map belongs to the exposure, never to a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from alignsvc.domain.grid import MosaicGrid
from alignsvc.registry import Registry

if TYPE_CHECKING:
    from alignsvc.numerics.resampling.calibrate import CalibratedChip
    from alignsvc.numerics.resampling.coadd import Contribution
    from alignsvc.numerics.resampling.patches import ChipInTwoStates, Patch
    from alignsvc.numerics.sky.pixel_map import PixelMap


class Resampler(Protocol):
    """Puts one chip on the grid."""

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid."""
        ...

    def for_templates(self) -> Resampler:
        """Return what makes mosaics that sources are measured against, not looked at."""
        ...

    def patches(self) -> Patches | None:
        """Return what finds the pixels in which contributions differ; None = it makes all anew."""
        ...


class Patches(Protocol):
    """Finds the pixels in which contributions of an exposure in two states differ."""

    def __call__(self, chips: Sequence[ChipInTwoStates], grid: MosaicGrid) -> Patch:
        """Return them, bit for bit as whole contributions have them."""
        ...


RESAMPLERS: Registry[Resampler] = Registry("resampler", __name__)
