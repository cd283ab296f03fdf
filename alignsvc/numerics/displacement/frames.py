"""Cutouts beside blots, and in them the boxes about the sources that are compared.

Every step of a measurement costs as much as it has pixels, and most pixels of a cutout are room for
the displacement. So the correlation sees the box that holds the apertures where the sources
should lie, and what refines it, a box moved by whole pixels to where the correlation found them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.blots import BlotStack
from alignsvc.numerics.displacement.cutouts import CutoutStack, boxes
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.psf_matching import MatchingKernel
from alignsvc.numerics.displacement.sizes import Sides
from alignsvc.numerics.displacement.spline import TemplateSpline


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
        middle = np.full(len(self.cutouts), (self.cutouts.side - self.sides.box) // 2)
        return self._pairs(middle, middle)

    def about(self, shift: Points) -> PairStack:
        """Return the boxes about the sources as displaced by `shift`, within the cutouts."""
        last = self.cutouts.side - self.sides.box
        corner_x, corner_y = (
            np.clip(np.rint(at - moved - 0.5 * (self.sides.box - 1)), 0, last).astype(np.int64)
            for at, moved in ((self.centre.x, shift.x), (self.centre.y, shift.y))
        )
        return self._pairs(corner_y, corner_x)

    def _pairs(self, row: IntArray, column: IntArray) -> PairStack:
        """Return the boxes whose first pixels are given; the templates stay where they are."""
        cutouts, blots, box = self.cutouts, self.blots, self.sides.box
        outside = (self.sides.template - self.sides.cutout) // 2
        middle = (self.sides.cutout - box) // 2
        good = boxes(cutouts.good, row, column, box)
        others = boxes(blots.others, row + outside, column + outside, box)
        variance, share = (
            boxes(plane, row + outside, column + outside, box)
            for plane in (blots.variance, blots.share)
        )
        return PairStack(
            pixels=boxes(cutouts.pixels, row, column, box),
            weight=boxes(cutouts.weight, row, column, box),
            good=good & ~others,
            spline=self.spline,
            template_good=blots.good,
            template_variance=variance,
            texture=blots.texture,
            share=share,
            centre=Points(self.centre.x - middle, self.centre.y - middle),
            whole=Points(middle - column.astype(np.float64), middle - row.astype(np.float64)),
            aperture_px=self.aperture_px,
            gain=self.gain,
            kernel=self.kernel,
        )
