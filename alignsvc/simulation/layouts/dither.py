"""Exposures scattered about a centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Aim, Extent, Pointing


@LAYOUTS.register("dither")
@dataclass(frozen=True, slots=True)
class Dither:
    """Centres drawn uniformly from a box about the field's.

    Parameters
    ----------
    count : int
        Number of exposures.
    ra, dec : float
        Centre, ICRS degrees.
    position_angle_deg, position_angle_scatter_deg : float
        Of the camera; the scatter is a standard deviation.
    reach : float
        Half side of the box, as a fraction of the camera's width and height.
    """

    count: int = 20
    ra: float = 150.1
    dec: float = 2.2
    position_angle_deg: float = 0.0
    position_angle_scatter_deg: float = 1.0
    reach: float = 0.1

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.reach < 1:
            raise ConfigError(
                f"layout dither: count is {self.count}, reach {self.reach}; "
                "wanted 1 or more, and a fraction"
            )

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return self.count

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points."""
        x, y = self.reach * generator.uniform(-1.0, 1.0, 2)
        turn_deg = generator.standard_normal() * self.position_angle_scatter_deg
        aim = Aim(self.ra, self.dec, self.position_angle_deg)
        return aim.moved(x * extent.width_arcsec, y * extent.height_arcsec, turn_deg)
