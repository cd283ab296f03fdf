"""Perfect optics: the tangent projection."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.simulation.distortions import DISTORTIONS, Card


@DISTORTIONS.register("none")
@dataclass(frozen=True, slots=True)
class Undistorted:
    """No distortion."""

    @property
    def projection(self) -> str:
        """What follows the dashes of CTYPE."""
        return "TAN"

    def cards(self, radius_px: float, scale_deg: float) -> tuple[Card, ...]:
        """Return no cards."""
        return ()
