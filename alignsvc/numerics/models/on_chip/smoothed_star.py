"""Where a star is brightest when it is smoothed, and how light beside it moves that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import Surface
from alignsvc.numerics.displacement.stars.star_fit import Psf

#: The narrowest window that a place is read with, in widths of the star: narrower ones are noise.
_NARROWEST = 0.3
#: How often the interval of windows is halved.
_HALVINGS = 30
#: Windows end at so many of their widths.
_REACH = 4.5


def reach_px(sigma_px: float) -> int:
    """Return how far from its middle a Gaussian has light that counts, pixels."""
    return int(np.ceil(_REACH * sigma_px))


@dataclass(frozen=True, slots=True, eq=False)
class SmoothedStar:
    """A symmetric star as a Gaussian window sees it.

    Parameters
    ----------
    window_px : float
    surface : Surface
    half : int
    """

    window_px: float
    surface: Surface
    half: int

    @classmethod
    def of(cls, symmetric: Psf, width_px: float, smoothed_px: float) -> SmoothedStar:
        """Return the star in the window that makes it as wide as wanted, where one can."""
        half = reach_px(max(smoothed_px, width_px))
        middle = Points(np.array([float(half)]), np.array([float(half)]))
        surface = symmetric.at(middle, 2 * half + 1)
        lowest, highest = _NARROWEST * width_px, max(smoothed_px, _NARROWEST * width_px)
        for _ in range(_HALVINGS):
            star = cls(0.5 * (lowest + highest), surface, half)
            if star.width_px > smoothed_px:
                highest = star.window_px
            else:
                lowest = star.window_px
        return cls(lowest, surface, half)

    @property
    def width_px(self) -> float:
        """How wide the smoothed star is, by its curvature where it is brightest."""
        light = np.sum(self._window[0] * self.surface.value[0])
        return self.window_px * float(np.sqrt(light / np.mean(np.diag(self.response))))

    @property
    def response(self) -> FloatArray:
        """How the window's moments answer to a star that moves, (2, 2)."""
        slopes = -np.stack([self.surface.along_x[0], self.surface.along_y[0]]).astype(np.float64)
        found: FloatArray = np.einsum("ayx,byx->ab", self._window[1:], slopes)
        return found

    @property
    def middle(self) -> Points:
        """Where its frame has it."""
        return Points(np.array([float(self.half)]), np.array([float(self.half)]))

    @property
    def side(self) -> int:
        """Of its frame."""
        return 2 * self.half + 1

    def moved_by(self, light: FloatArray) -> FloatArray:
        """Return how far light that is added moves where it is brightest, px: (k, 2), x and y.

        In the first order: what the light gives to the window's moments, over how these answer.

        Parameters
        ----------
        light : float64 array, shape (k, side, side)
            Beside a star of unit flux.
        """
        given = np.einsum("ayx,cyx->ac", self._window[1:], light)
        found: FloatArray = np.linalg.solve(self.response, given).T
        return found

    @property
    def _window(self) -> FloatArray:
        """The window and its moments along x and y, (3, side, side)."""
        step = np.arange(-self.half, self.half + 1)
        along = np.exp(-0.5 * (step / self.window_px) ** 2)
        return np.stack(
            [np.outer(along, along), np.outer(along, along * step), np.outer(along * step, along)]
        )
