"""Standard errors of a correction, from its covariance."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.correction import Correction


def shift_error_arcsec(correction: Correction) -> FloatArray:
    """Return the errors of the shift, (east, north)."""
    return np.sqrt(np.diag(correction.covariance)[:2])


def rotation_error_deg(correction: Correction) -> float:
    """Return the error of the rotation, ``atan2(-m21, m11)``, to first order."""
    (m11, _), (m21, _) = correction.matrix.tolist()
    slope = np.zeros(len(correction.covariance))
    # Parameters: shift, then m11, m12, m21, m22.
    slope[2], slope[4] = m21, -m11
    variance = float(slope @ correction.covariance @ slope) / (m11**2 + m21**2) ** 2
    return float(np.degrees(np.sqrt(max(variance, 0.0))))
