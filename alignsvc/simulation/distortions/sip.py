"""Distortion in pixels, before the CD matrix."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.simulation.distortions import DISTORTIONS, Card


@DISTORTIONS.register("sip")
@dataclass(frozen=True, slots=True)
class SipDistortion:
    """Cubic distortion about the optical axis, with a decentred quadratic part (SIP).

    Parameters
    ----------
    amplitude_px : float
        Radial displacement at the corner of the camera.
    decentring_px : float
        Size of the quadratic part there.

    Notes
    -----
    Shupe et al. (2005): ``u' = u + A(u, v)``, ``v' = v + B(u, v)``, pixels from CRPIX.
    """

    amplitude_px: float = 3.0
    decentring_px: float = 0.5

    @property
    def projection(self) -> str:
        """What follows the dashes of CTYPE."""
        return "TAN-SIP"

    def cards(self, radius_px: float, scale_deg: float) -> tuple[Card, ...]:
        """Return the coefficients for a camera of this half diagonal and pixel side."""
        # dr = k r^3 along (u, v) / r is k u (u^2 + v^2), k v (u^2 + v^2).
        cubic = self.amplitude_px / radius_px**3
        square = self.decentring_px / radius_px**2
        return (
            ("A_ORDER", 3),
            ("A_3_0", cubic),
            ("A_1_2", cubic),
            ("A_2_0", square),
            ("A_1_1", -0.5 * square),
            ("B_ORDER", 3),
            ("B_0_3", cubic),
            ("B_2_1", cubic),
            ("B_0_2", -0.7 * square),
            ("B_1_1", 0.4 * square),
        )
