"""Exposures around a point, as around a pole."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Aim, Extent, Pointing


@LAYOUTS.register("ring")
@dataclass(frozen=True, slots=True)
class Ring:
    """Exposures evenly around a centre, the camera turning with them.

    Parameters
    ----------
    count : int
        Number of exposures.
    ra, dec : float
        Centre of the ring, ICRS degrees; by default the north pole.
    position_angle_deg, position_angle_scatter_deg : float
        Of the camera against the direction to the centre; the scatter is a standard deviation.
    reach : float
        Radius of the ring, as a fraction of the camera's width: below 0.5 the centre lies
        within every exposure.
    """

    count: int = 6
    ra: float = 0.0
    dec: float = 90.0
    position_angle_deg: float = 0.0
    position_angle_scatter_deg: float = 0.0
    reach: float = 0.25

    def __post_init__(self) -> None:
        if self.count < 1 or self.reach < 0:
            raise ConfigError(
                f"layout ring: count is {self.count}, reach {self.reach}; "
                "wanted 1 or more, and 0 or more"
            )

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        return self.count

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points."""
        # By the golden angle, not by 360 / count: so no pointing depends on how many follow.
        turned = math.degrees(index * math.pi * (3.0 - math.sqrt(5.0)))
        turn_deg = generator.standard_normal() * self.position_angle_scatter_deg
        outward = Aim(self.ra, self.dec, turned)
        pointing = outward.moved(0.0, self.reach * extent.width_arcsec, turn_deg)
        angle = pointing.position_angle_deg + self.position_angle_deg
        return Pointing(pointing.ra_deg, pointing.dec_deg, angle)
