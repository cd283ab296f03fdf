"""The known map of a model fit that a header gives: from a tangent plane to pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.numerics.models.scene.geometry import MappedPoints

#: Pixels to each side over which derivatives are differences: distortions bend over hundreds.
_STEP_PX = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class SkyMap:
    """A `PlaneMap` by a WCS with all its distortions.

    Parameters
    ----------
    plane : TangentPlane
        Whose coordinates (arcsec, east and north) are mapped.
    wcs : CelestialWcs
    """

    plane: TangentPlane
    wcs: CelestialWcs
    _step: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_step", _STEP_PX * self.wcs.pixel_scale_arcsec)

    def __call__(self, plane: Points) -> MappedPoints:
        """Return the pixels of points, NaN where there is none."""
        h = self._step
        away_x = np.array([0.0, h, -h, 0.0, 0.0])[:, None]
        away_y = np.array([0.0, 0.0, 0.0, h, -h])[:, None]
        around = Points(np.ravel(plane.x) + away_x, np.ravel(plane.y) + away_y)
        pixel = np.stack(self.wcs.pixel_from_sky(self.plane.to_sky(around)), axis=-1)
        slopes = np.stack([pixel[1] - pixel[2], pixel[3] - pixel[4]], axis=-1) / (2 * h)
        return MappedPoints(Points(pixel[0, :, 0], pixel[0, :, 1]), slopes)
