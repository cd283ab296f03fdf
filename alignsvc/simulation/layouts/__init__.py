"""The family of layouts: where each exposure of a simulation points."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.registry import Registry


@dataclass(frozen=True, slots=True)
class Pointing:
    """Where the optical axis of an exposure points.

    Parameters
    ----------
    ra_deg, dec_deg : float
        ICRS.
    position_angle_deg : float
        Of the camera's y axis, from north through east.
    """

    ra_deg: float
    dec_deg: float
    position_angle_deg: float


@dataclass(frozen=True, slots=True)
class Extent:
    """Size of the camera on the sky, arcsec."""

    width_arcsec: float
    height_arcsec: float


class Layout(Protocol):
    """Settings that say how many exposures there are and where each one points."""

    @property
    def n_exposures(self) -> int:
        """Number of exposures."""
        ...

    def __call__(self, index: int, extent: Extent, generator: np.random.Generator) -> Pointing:
        """Return where exposure `index` points: a function of it alone, not of the number."""
        ...


@dataclass(frozen=True, slots=True)
class Aim:
    """Centre of a layout on the sky, with the angle that its x and y axes are turned by."""

    ra_deg: float
    dec_deg: float
    position_angle_deg: float

    def moved(self, x_arcsec: float, y_arcsec: float, turn_deg: float = 0.0) -> Pointing:
        """Return the pointing at an offset along the turned axes (x to the west at angle 0).

        The camera keeps its orientation in the tangent plane about the centre, so that it is
        the same beside a pole as elsewhere: its y axis there is the image of a short step.
        """
        angle = math.radians(self.position_angle_deg)
        east = -x_arcsec * math.cos(angle) + y_arcsec * math.sin(angle)
        north = x_arcsec * math.sin(angle) + y_arcsec * math.cos(angle)
        plane = TangentPlane(self.ra_deg, self.dec_deg)
        ends = plane.to_sky(
            Points(
                np.array([east, east + math.sin(angle)]), np.array([north, north + math.cos(angle)])
            )
        )
        here = TangentPlane(float(ends.ra[0]), float(ends.dec[0]))
        step = here.from_sky(ends)
        local = math.degrees(math.atan2(step.x[1], step.y[1]))
        return Pointing(here.ra_deg, here.dec_deg, local + turn_deg)


LAYOUTS: Registry[Layout] = Registry("layout", "alignsvc.simulation.layouts")
