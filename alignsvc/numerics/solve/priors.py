"""What is known of corrections and sources before the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, read_only
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.measurement import Factors


@dataclass(frozen=True, slots=True)
class ShapePrior:
    """How far the linear part of an exposure's *total* correction may stray from the identity.

    Standard deviations; None = nothing is known. It serves the geometry that is too stiff (a
    free but small scale) as well as the one that is too free (a strip of thin overlaps).

    Parameters
    ----------
    rotation_deg : float or None
    scale : float or None
        Of each axis: 1e-5 is a part in a hundred thousand.
    skew_deg : float or None

    Notes
    -----
    To first order in ``M = R(w) [[sx, sx tan k], [0, sy]]``: w = -m21, k = m12 + m21,
    sx = m11, sy = m22.
    """

    rotation_deg: float | None = None
    scale: float | None = None
    skew_deg: float | None = None

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "scale", "skew_deg"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"prior: {name} must be positive, got {value}")

    def information(self, geometry: Geometry) -> FloatArray:
        """Return the (6, 6) information on the departure from the identity.

        A geometry without free skew gets no prior on it: rscale's one scale counts once.
        """
        rows: list[tuple[list[float], float | None]] = [
            ([0, 0, 0, 0, -1, 0], _radians(self.rotation_deg)),
            ([0, 0, 1, 0, 0, 0], self.scale),
        ]
        if geometry is Geometry.GENERAL:
            rows.append(([0, 0, 0, 0, 0, 1], self.scale))
            rows.append(([0, 0, 0, 1, 1, 0], _radians(self.skew_deg)))
        information = np.zeros((N_PARAMETERS, N_PARAMETERS))
        for direction, deviation in rows:
            if deviation is not None:
                information += np.outer(direction, direction) / deviation**2
        return information


@dataclass(frozen=True, slots=True, eq=False)
class CatalogOffsets:
    """Where a catalogue puts sources of the mosaic: a prior on their offsets.

    Parameters
    ----------
    source : int64, shape (n,)
        Source ids.
    offset : array, shape (n, 2)
        arcsec in the component's plane: measured position in the mosaic minus the catalogue's
        position, at the epoch of the mosaic.
    information : array, shape (n, 2, 2)
        Inverse covariance of `offset` (the catalogue's error, proper motion included), arcsec^-2.
    """

    source: IntArray
    offset: FloatArray
    information: FloatArray

    def __post_init__(self) -> None:
        for name in ("source", "offset", "information"):
            object.__setattr__(self, name, read_only(getattr(self, name)))

    def as_factors(self, exposure: int) -> Factors:
        """Return the catalogue as an exposure that cannot move.

        ``offset = c + noise`` is the factor of an exposure whose correction has no effect.
        """
        n = len(self.source)
        return Factors(
            exposure=exposure,
            source=self.source,
            residual=self.offset,
            jacobian=np.zeros((n, 2, N_PARAMETERS)),
            information=self.information,
            weight_share=np.zeros(n),
            use=np.ones(n, bool),
            held_out=np.zeros(n, bool),
        )


def _radians(angle_deg: float | None) -> float | None:
    return None if angle_deg is None else math.radians(angle_deg)
