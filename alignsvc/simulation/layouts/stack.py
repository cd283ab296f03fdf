"""Exposures on top of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Aim, Extent, Pointing


@LAYOUTS.register("stack")
@dataclass(frozen=True, slots=True)
class Stack:
    """The same field again and again, each time a little beside it.

    Parameters
    ----------
    count : int
        Number of exposures.
    ra, dec : float
        Centre, ICRS degrees.
    position_angle_deg, position_angle_scatter_deg : float
        Of the camera; the scatter is a standard deviation.
    jitter_arcsec : float
        Standard deviation of the offsets per axis.
    """

    count: int = 4
    ra: float = 150.1
    dec: float = 2.2
    position_angle_deg: float = 0.0
    position_angle_scatter_deg: float = 0.0
    jitter_arcsec: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"layout stack: count is {self.count}; wanted 1 or more")

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return self.count

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points."""
        x, y, turn = generator.standard_normal(3)
        aim = Aim(self.ra, self.dec, self.position_angle_deg)
        turn_deg = turn * self.position_angle_scatter_deg
        return aim.moved(x * self.jitter_arcsec, y * self.jitter_arcsec, turn_deg)
