"""Whether measurements determine a geometry at all."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.correction import Geometry

#: Smallest ratio of spreads squared: sources on a strip 1000 times longer than wide do not
#: determine a general map, whatever their number.
_MIN_SPREAD_RATIO = 1e-6
#: Spread squared over distance to the tangent point squared, below which it is rounding error.
_MIN_RELATIVE_SPREAD = 1e-11


def degenerate(normal: FloatArray, geometry: Geometry) -> BoolArray:
    """Return True where normal matrices do not determine their geometry.

    Parameters
    ----------
    normal : array, shape (n, p, p)
        Weighted sums of products of the columns ``jacobian @ geometry.basis``.
    geometry : Geometry

    Notes
    -----
    The linear part about the sources' own centre is what is left after eliminating the shift,
    ``N_ll - N_ls N_ss^-1 N_sl``; its eigenvalues are weighted sums of squared coordinates.
    About the tangent point, which may be far away, the ratio would tell only how far.
    """
    shifts, rest = normal[:, :2, :2], normal[:, :2, 2:]
    no_shift = ~(np.linalg.det(shifts) > 0)
    if geometry is Geometry.SHIFT:
        return np.asarray(no_shift)
    shifts = np.where(no_shift[:, None, None], np.eye(2), shifts)
    linear = normal[:, 2:, 2:]
    centred = linear - np.swapaxes(rest, 1, 2) @ np.linalg.solve(shifts, rest)
    spread = np.linalg.eigvalsh(0.5 * (centred + np.swapaxes(centred, 1, 2)))
    whole = np.trace(linear, axis1=1, axis2=2)
    flat = spread[:, 0] <= _MIN_SPREAD_RATIO * spread[:, -1]
    pointlike = spread[:, -1] <= _MIN_RELATIVE_SPREAD * whole
    return np.asarray(no_shift | flat | pointlike)


def whitening(normal: FloatArray) -> FloatArray:
    """Return W with ``W^T N W = 1`` for positive definite matrices, shape ``(n, p, p)``.

    In the variables phi with theta = W phi every exposure's own information is the unit
    matrix, so that arcsec, radians and far tangent points do not spoil the joint system.
    """
    scale = 1.0 / np.sqrt(np.diagonal(normal, axis1=1, axis2=2))
    scaled = normal * scale[:, :, None] * scale[:, None, :]
    lower = np.linalg.cholesky(scaled)
    return np.asarray(scale[:, :, None] * np.swapaxes(np.linalg.inv(lower), 1, 2))
