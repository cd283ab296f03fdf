"""The family of resamplers: ``(chip, pixel_map, grid) -> Contribution``, one file each.

The contract. The contribution covers the chip's whole bounding box in the grid (cut to the
grid), in float32. Its values are per *grid* pixel: the flux of a star summed over grid pixels is
its flux summed over chip pixels. Its weights are inverse variances of such values, and their
sum is that of the chip's weights, in the same units (`grid_units.in_grid_units`). What a pixel of
weight 0 holds changes nothing. The map belongs to the exposure, never to a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.domain.grid import MosaicGrid
from alignsvc.registry import Registry

if TYPE_CHECKING:
    from alignsvc.numerics.resampling.calibrate import CalibratedChip
    from alignsvc.numerics.resampling.coadd import Contribution
    from alignsvc.numerics.sky.pixel_map import PixelMap


class Resampler(Protocol):
    """Puts one chip on the grid."""

    def __call__(self, chip: CalibratedChip, pixel_map: PixelMap, grid: MosaicGrid) -> Contribution:
        """Return the chip's contribution to its bounding box in the grid."""
        ...

    def for_templates(self) -> Resampler:
        """Return the same for mosaics that sources are measured against, not looked at."""
        ...


@runtime_checkable
class RemakesParts(Protocol):
    """A resampler that makes parts of a contribution at the cost of these parts.

    Who has the contribution of a chip of which few pixels have changed since makes again what they
    touch, and no more. A resampler without these methods makes the whole.
    """

    def touched(self, pixel_map: PixelMap, pixels: Points) -> Sequence[PixelBox] | None:
        """Return boxes of the grid beyond which nothing changes with some pixels of the chip.

        None if it cannot make parts, with the settings that it has.

        Parameters
        ----------
        pixel_map : PixelMap
        pixels : Points
            x and y, shape (n,), of chip pixels whose value, weight or mask is another.
        """
        ...

    def within(
        self,
        chip: CalibratedChip,
        pixel_map: PixelMap,
        grid: MosaicGrid,
        boxes: Sequence[PixelBox],
    ) -> Sequence[Contribution]:
        """Return the chip's contribution within each box, bit for bit a cut of the whole."""
        ...


RESAMPLERS: Registry[Resampler] = Registry("resampler", __name__)
