"""Cutouts beside blots, and in them the boxes about the sources that are compared.

Every step of a measurement costs as much as it has pixels, and most pixels of a cutout are room for
the displacement. So the correlation sees the box that holds the apertures where the sources
should lie, and what refines it, a box moved by whole pixels to where the correlation found them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.blots import BlotStack
from alignsvc.numerics.displacement.windows.cutouts import CutoutStack, boxes, middles
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel
from alignsvc.numerics.displacement.windows.sizes import Sides

_Number = TypeVar("_Number", np.float32, np.bool_)


class _BoxOf(Protocol):
    """What cuts a box out of each frame of a stack, of cutouts or of the larger blots."""

    def __call__(self, plane: NDArray[_Number], /) -> NDArray[_Number]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Cutouts of equal sources beside their blots, the middle of one on that of the other.

    Parameters
    ----------
    cutouts : CutoutStack
    blots : BlotStack
    spline : TemplateSpline
        Through the blots.
    centre : Points, shape (n,)
        Where the source should lie in the cutout by the present WCS.
    aperture_px : float64 array, shape (n,)
        Radius within which the source stands out.
    sides : Sides
    gain : float or None
        Electrons per unit of the exposure's pixels.
    kernel : MatchingKernel
        With which `spline` has been convolved.
    """

    cutouts: CutoutStack
    blots: BlotStack
    spline: TemplateSpline
    centre: Points
    aperture_px: FloatArray
    sides: Sides
    gain: float | None
    kernel: MatchingKernel = field(default_factory=MatchingKernel)

    def matched(self, kernel: MatchingKernel) -> Frames:
        """Return the frames with their templates, not yet convolved, convolved by `kernel`."""
        return replace(self, spline=kernel.applied(self.spline), kernel=kernel)

    def middles(self) -> PairStack:
        """Return the boxes where the sources should lie."""
        none = np.zeros(len(self.cutouts))
        return self._pairs(lambda plane: middles(plane, self.sides.box), Points(none, none))

    def about(self, shift: Points) -> PairStack:
        """Return the boxes about the sources as displaced by `shift`, within the cutouts."""
        box = self.sides.box
        last, middle = self.cutouts.side - box, (self.cutouts.side - box) // 2
        column, row = (
            np.clip(np.rint(at - moved - 0.5 * (box - 1)), 0, last).astype(np.int64) - middle
            for at, moved in ((self.centre.x, shift.x), (self.centre.y, shift.y))
        )

        def moved(plane: NDArray[_Number]) -> NDArray[_Number]:
            first = (plane.shape[-1] - box) // 2
            return boxes(plane, first + row, first + column, box)

        return self._pairs(moved, Points(-column.astype(np.float64), -row.astype(np.float64)))

    def _pairs(self, box_of: _BoxOf, whole: Points) -> PairStack:
        """Return the boxes that a function cuts; the templates stay where they are."""
        cutouts, blots = self.cutouts, self.blots
        middle = (self.sides.cutout - self.sides.box) // 2
        return PairStack(
            pixels=box_of(cutouts.pixels),
            weight=box_of(cutouts.weight),
            good=box_of(cutouts.good) & ~box_of(blots.others),
            spline=self.spline,
            template_good=blots.good,
            template_variance=box_of(blots.variance),
            texture=blots.texture,
            share=box_of(blots.share),
            centre=Points(self.centre.x - middle, self.centre.y - middle),
            whole=whole,
            aperture_px=self.aperture_px,
            gain=self.gain,
            kernel=self.kernel,
        )
