"""The family of distortions: what the optics add to the tangent projection, as header cards."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from alignsvc.registry import Registry

#: A header keyword and its value.
Card: TypeAlias = tuple[str, int | float | str]


class Distortion(Protocol):
    """Settings that know how a header says them."""

    @property
    def projection(self) -> str:
        """What follows the dashes of CTYPE: ``TAN``, ``TAN-SIP``, ``TPV``."""
        ...

    def cards(self, radius_px: float, scale_deg: float) -> tuple[Card, ...]:
        """Return the coefficients for a camera of this half diagonal and pixel side."""
        ...


DISTORTIONS: Registry[Distortion] = Registry("distortion", "alignsvc.simulation.distortions")
