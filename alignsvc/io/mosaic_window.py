"""A box of the mosaic as it lies in the tiles that a process keeps: views, of which parts are cut.

To copy all of a box out of its tiles takes new memory of the size of the box, and longer than what
is done with it. Who works on it strip by strip needs no more than a strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import read_only
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution


@dataclass(frozen=True, slots=True, eq=False)
class PlaneWindow:
    """One plane of the mosaic within a box.

    Parameters
    ----------
    box : PixelBox
    dtype : numpy.dtype
    parts : tuple of (PixelBox, array)
        Disjoint boxes, which together are `box`, and what lies in each, read-only.
    """

    box: PixelBox
    dtype: np.dtype[Any]
    parts: tuple[tuple[PixelBox, NDArray[Any]], ...]

    def cut(self, box: PixelBox) -> NDArray[Any]:
        """Return the part within `box`, read-only; 0 where `box` reaches beyond."""
        for of, part in self.parts:
            if of.intersect(box) == box:
                return part[box.slices_in(of)]
        is_within = box.intersect(self.box) == box
        found = (np.empty if is_within else np.zeros)(box.shape, self.dtype)
        for of, part in self.parts:
            common = of.intersect(box)
            if not common.is_empty:
                found[common.slices_in(box)] = part[common.slices_in(of)]
        return read_only(found)


@dataclass(frozen=True, slots=True, eq=False)
class MosaicWindow:
    """The sums of the mosaic within a box.

    Parameters
    ----------
    numerator, weight : PlaneWindow
        Of the same box.
    """

    numerator: PlaneWindow
    weight: PlaneWindow

    @property
    def box(self) -> PixelBox:
        """In pixels of the grid."""
        return self.weight.box

    def cut(self, box: PixelBox) -> Contribution:
        """Return the part within `box`; nothing (weight 0) where `box` reaches beyond."""
        return Contribution(box, self.numerator.cut(box), self.weight.cut(box))
