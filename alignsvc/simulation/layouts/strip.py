"""Exposures side by side in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Aim, Extent, Pointing


@LAYOUTS.register("strip")
@dataclass(frozen=True, slots=True)
class Strip:
    """A row of exposures along the camera's x axis, each overlapping the next.

    Parameters
    ----------
    count : int
        Number of exposures.
    ra, dec : float
        Centre of the first exposure, ICRS degrees.
    position_angle_deg, position_angle_scatter_deg : float
        Of the camera; the scatter is a standard deviation.
    overlap : float
        Fraction of the camera's width common to neighbours.
    """

    count: int = 24
    ra: float = 150.1
    dec: float = 2.2
    position_angle_deg: float = 0.0
    position_angle_scatter_deg: float = 0.0
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 <= self.overlap < 1:
            raise ConfigError(
                f"layout strip: count is {self.count}, overlap {self.overlap}; "
                "wanted 1 or more, and a fraction"
            )

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return self.count

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points."""
        along = index * (1.0 - self.overlap) * extent.width_arcsec
        turn_deg = generator.standard_normal() * self.position_angle_scatter_deg
        return Aim(self.ra, self.dec, self.position_angle_deg).moved(along, 0.0, turn_deg)
