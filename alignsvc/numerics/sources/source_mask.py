"""Parts of the sky whose sources are not used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, read_only
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import SkyPoints


@dataclass(frozen=True, slots=True, eq=False)
class SourceMask:
    """An image of the sky that is True where sources are not to be used.

    Parameters
    ----------
    hidden : bool array, shape (ny, nx)
    wcs : CelestialWcs
        Of that image.
    """

    hidden: BoolArray
    wcs: CelestialWcs

    def __post_init__(self) -> None:
        if self.hidden.shape != self.wcs.shape:
            raise ValueError(
                f"source mask: {self.hidden.shape} pixels and a WCS for {self.wcs.shape}"
            )
        object.__setattr__(self, "hidden", read_only(self.hidden))

    def hides(self, sky: SkyPoints) -> BoolArray:
        """Return which places lie in a hidden pixel; beside the image nothing is hidden."""
        x, y = self.wcs.pixel_from_sky(sky)
        ny, nx = self.hidden.shape
        inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
        found = np.zeros(np.shape(x), bool)
        column, row = (np.floor(c[inside] + 0.5).astype(np.int64) for c in (x, y))
        found[inside] = self.hidden[row, column]
        return found
