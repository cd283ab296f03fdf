"""Distortion in the tangent plane, after the CD matrix."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.simulation.distortions import DISTORTIONS, Card


@DISTORTIONS.register("tpv")
@dataclass(frozen=True, slots=True)
class TpvDistortion:
    """Cubic distortion about the optical axis, with a decentred quadratic part (TPV).

    Parameters
    ----------
    amplitude_px : float
        Radial displacement at the corner of the camera.
    decentring_px : float
        Size of the quadratic part there.

    Notes
    -----
    The TPV convention of the FITS registry: axis 1 is a polynomial in (xi, eta) with terms
    1, xi, eta, r, xi^2, xi eta, eta^2, xi^3, xi^2 eta, xi eta^2, eta^3, ...; axis 2 is the
    same with xi and eta exchanged. Degrees.
    """

    amplitude_px: float = 3.0
    decentring_px: float = 0.5

    @property
    def projection(self) -> str:
        """What follows the dashes of CTYPE."""
        return "TPV"

    def cards(self, radius_px: float, scale_deg: float) -> tuple[Card, ...]:
        """Return the coefficients for a camera of this half diagonal and pixel side."""
        radius_deg = radius_px * scale_deg
        cubic = self.amplitude_px * scale_deg / radius_deg**3
        square = self.decentring_px * scale_deg / radius_deg**2
        return (
            ("PV1_0", 0.0),
            ("PV1_1", 1.0),
            ("PV1_4", square),
            ("PV1_5", -0.5 * square),
            ("PV1_7", cubic),
            ("PV1_9", cubic),
            ("PV2_0", 0.0),
            ("PV2_1", 1.0),
            ("PV2_4", -0.7 * square),
            ("PV2_5", 0.4 * square),
            ("PV2_7", cubic),
            ("PV2_9", cubic),
        )
