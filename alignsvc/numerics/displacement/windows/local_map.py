"""The pixel map near each source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.sky.pixel_map import PixelMap

#: The points about a source that a map is expanded from, and what gives the terms of their values.
_V, _U = read_only(np.mgrid[-1.0:2.0, -1.0:2.0].reshape(2, 9))
_FIT = read_only(np.linalg.pinv(np.stack([_U**0, _U, _V, _U**2, _U * _V, _V**2], axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Square windows of chip pixels, all of one size.

    Parameters
    ----------
    corner_x, corner_y : int64 arrays, shape (n,)
        First chip pixel.
    side : int
    """

    corner_x: IntArray
    corner_y: IntArray
    side: int


@dataclass(frozen=True, slots=True, eq=False)
class LocalMap:
    """Chip pixels to grid pixels near each source: a quadratic expansion of the pixel map.

    Parameters
    ----------
    centre : Points, shape (n,)
        Chip pixels.
    reach_px : float
        Unit of the expansion's arguments, chip pixels.
    terms : float64 array, shape (n, 2, 6)
        Of grid x, y: coefficients of 1, u, v, u^2, uv, v^2 with ``u = (x - centre) / reach``.
    """

    centre: Points
    reach_px: float
    terms: FloatArray

    @classmethod
    def expand(cls, pixel_map: PixelMap, centre: Points, reach_px: float) -> LocalMap:
        """Return the expansion about `centre`, fitted to 3 x 3 points `reach_px` apart."""
        grid = pixel_map.to_grid(
            Points(centre.x[:, None] + reach_px * _U, centre.y[:, None] + reach_px * _V)
        )
        # About the middle point, so that the fit works on tens of pixels, not thousands.
        values = np.stack([grid.x, grid.y], axis=1)
        middle = values[:, :, 4:5]
        terms = (values - middle) @ _FIT.T
        terms[:, :, :1] += middle
        return cls(centre, reach_px, terms)

    @property
    def area(self) -> FloatArray:
        """Grid pixels per chip pixel at the centre."""
        slope = self.terms[:, :, 1:3] / self.reach_px
        area: FloatArray = np.abs(np.linalg.det(slope))
        return area

    def moved(self, x: float, y: float) -> LocalMap:
        """Return the maps to coordinates that count from grid pixel (x, y)."""
        terms = self.terms.copy()
        terms[:, :, 0] -= (x, y)
        return LocalMap(self.centre, self.reach_px, terms)

    def within(self, windows: Windows) -> FloatArray:
        """Return the maps by column i and row j of windows, counted from their first pixels.

        Returns
        -------
        float64 array, shape (n, 2, 6)
            Of grid x, y: coefficients of 1, i, j, i^2, ij, j^2.
        """
        u = ((windows.corner_x - self.centre.x) / self.reach_px)[:, None]
        v = ((windows.corner_y - self.centre.y) / self.reach_px)[:, None]
        one, by_u, by_v, by_uu, by_uv, by_vv = np.moveaxis(self.terms, 2, 0)
        return np.stack(
            [
                one + by_u * u + by_v * v + by_uu * u**2 + by_uv * u * v + by_vv * v**2,
                (by_u + 2 * by_uu * u + by_uv * v) / self.reach_px,
                (by_v + 2 * by_vv * v + by_uv * u) / self.reach_px,
                by_uu / self.reach_px**2,
                by_uv / self.reach_px**2,
                by_vv / self.reach_px**2,
            ],
            axis=2,
        )
