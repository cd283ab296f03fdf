"""Templates as correlators see them: four half-pixel blots, given as frames or as splines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack


@dataclass(frozen=True, slots=True, eq=False)
class SplineStack:
    """Half-pixel blots of splines, each four with one mask; sampled when they are asked for.

    Parameters
    ----------
    spline : TemplateSpline
        At least `REACH` wider than the blots, on each side.
    good : bool array, shape (n, side, side)
        True = the blots count there. Centre on centre with the splines.
    """

    spline: TemplateSpline
    good: BoolArray

    @property
    def side(self) -> int:
        """Pixels along a blot's side."""
        return int(self.good.shape[-1])

    @property
    def values(self) -> Float32Array:
        """The blots, shape (n, 4, side, side), in order of `PHASES`: made anew each time."""
        return self.spline.half_pixel(self.side)

    @property
    def counted(self) -> Float32Array:
        """The values, 0 where not good."""
        return MaskedStack(self.values, self.good).counted

    def select(self, which: BoolArray) -> SplineStack:
        """Return the blots of the splines that a mask names."""
        return SplineStack(self.spline.select(which), self.good[which])


#: What a correlator is given beside an image.
Template: TypeAlias = MaskedStack | SplineStack
