"""Sizes of the windows that a source is measured in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.numerics.displacement.splines.spline import REACH


@dataclass(frozen=True, slots=True)
class Sides:
    """Windows of one size class.

    Parameters
    ----------
    cutout : int
        Pixels along a side of the exposure's cutout.
    search_radius_px : int
        Largest displacement that is looked for.
    compared : int or None
        Side of the box of those of the cutout's pixels that are compared with the template: they
        hold every aperture. None: the whole cutout.
    """

    cutout: int
    search_radius_px: int
    compared: int | None = None

    def holding(self, radius_px: float) -> Sides:
        """Return the windows in which no more is compared than a disc about a source.

        Its middle is within half a pixel of the box's, which is of the cutout's parity, so that
        centre on centre is whole pixel on whole pixel.
        """
        wanted = 2 * ceil(radius_px) + 2
        wanted += (self.cutout - wanted) % 2
        return replace(self, compared=min(wanted, self.cutout))

    def templates(self, radius_px: FloatArray) -> IntArray:
        """Return the sides of templates whose boxes hold discs of some radii, shape (n,)."""
        whole, place = np.unique(np.ceil(radius_px), return_inverse=True)
        sides = np.array([self.holding(float(one)).template for one in whole], np.int64)
        return sides[place]

    @property
    def box(self) -> int:
        """Side of the box that is compared."""
        return self.cutout if self.compared is None else self.compared

    @property
    def max_lag(self) -> int:
        """Lags of the maps: one pixel more than the search, so that a peak has its flanks."""
        return self.search_radius_px + 1

    @property
    def correlated(self) -> int:
        """Side of the template that is correlated: it covers the box at every lag."""
        return self.box + 2 * self.max_lag

    @property
    def margin(self) -> int:
        """Template pixels beyond the box on each side: the lags, and the spline's reach."""
        return self.max_lag + REACH

    @property
    def template(self) -> int:
        """Side of the template that is blotted."""
        return self.box + 2 * self.margin


@dataclass(frozen=True, slots=True)
class SizeClasses:
    """Which cutout a source gets: the smallest class that holds it.

    Parameters
    ----------
    sides : tuple of int
        Ascending; few, so that equal cutouts can be worked on together. The last also takes
        what is larger.
    fwhm_per_side : float
        A cutout holds at least so many FWHM: 3.2 hold all but 0.2 % of a faint star's
        information, 4.5 of a bright one's; the rest is room for the displacement.
    search_radius_px : int or None
        None: 3, or a tenth of the side where that is more.
    """

    sides: tuple[int, ...] = (16, 24, 32, 48, 64, 96)
    fwhm_per_side: float = 6.0
    search_radius_px: int | None = None

    def __post_init__(self) -> None:
        if not self.sides or list(self.sides) != sorted(set(self.sides)) or min(self.sides) < 8:
            raise ValueError(f"cutout sides {self.sides}: wanted ascending, at least 8 px each")
        if self.search_radius_px is not None and self.search_radius_px < 1:
            raise ValueError(f"search radius {self.search_radius_px}: wanted at least 1 px")

    def of(self, fwhm_px: FloatArray, radius_px: FloatArray) -> IntArray:
        """Return the index of each source's class.

        Parameters
        ----------
        fwhm_px, radius_px : float64 arrays, shape (n,)
            FWHM, and half side of the box that holds the isophote, chip pixels.
        """
        wanted = np.maximum(self.fwhm_per_side * fwhm_px, 2.0 * radius_px)
        return np.minimum(np.searchsorted(self.sides, wanted), len(self.sides) - 1)

    def windows(self, index: int) -> Sides:
        """Return the windows of a class."""
        side = self.sides[index]
        radius = self.search_radius_px or max(3, side // 10)
        return Sides(side, min(radius, side // 2))
