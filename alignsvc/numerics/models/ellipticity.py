"""Ellipses of constant area: ``(e1, e2)`` as a reduced shear, with derivatives.

The shear ``S = [[1 + e1, e2], [e2, 1 - e1]] / sqrt(1 - e^2)`` keeps areas and takes circles to
ellipses of axis ratio ``(1 - e) / (1 + e)``, the long axis at half the angle of (e1, e2) from x
(Bartelmann & Schneider 2001, Phys. Rep. 340, 291). A round profile of variance s^2 along each
axis gets the covariance ``s^2 S S^T``. Nothing is singular at e = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.profile import ShapeParameter


@dataclass(frozen=True, slots=True, eq=False)
class Ellipses:
    """Symmetric 2x2 matrices of determinant 1, as (xx, xy, yy), and their derivatives.

    Parameters
    ----------
    matrix : float64 array, shape (n, 3)
    d_e1, d_e2 : float64 array, shape (n, 3)
    """

    matrix: FloatArray
    d_e1: FloatArray
    d_e2: FloatArray

    def inverse(self) -> Ellipses:
        """Return the inverses: at determinant 1, the same numbers in other places."""
        return Ellipses(*(_adjugate(each) for each in (self.matrix, self.d_e1, self.d_e2)))


def ellipses(e1: FloatArray, e2: FloatArray) -> Ellipses:
    """Return ``S S^T`` for ellipticities (n,), ``|e| < 1``."""
    square = e1**2 + e2**2
    rest = 1 - square
    plain = np.stack([1 + square + 2 * e1, 2 * e2, 1 + square - 2 * e1], axis=-1)
    matrix = plain / rest[:, None]
    zero, two = np.zeros_like(e1), np.full_like(e1, 2.0)
    d_e1 = np.stack([2 * e1 + 2, zero, 2 * e1 - 2], axis=-1) + 2 * e1[:, None] * matrix
    d_e2 = np.stack([2 * e2, two, 2 * e2], axis=-1) + 2 * e2[:, None] * matrix
    return Ellipses(matrix, d_e1 / rest[:, None], d_e2 / rest[:, None])


def ellipticity_parameters(largest: float) -> tuple[ShapeParameter, ShapeParameter]:
    """Return e1 and e2, each within ``+- largest`` (at most 0.7: both together stay below 1)."""
    return (
        ShapeParameter("e1", -largest, largest, 0.2),
        ShapeParameter("e2", -largest, largest, 0.2),
    )


def _adjugate(matrix: FloatArray) -> FloatArray:
    return np.stack([matrix[:, 2], -matrix[:, 1], matrix[:, 0]], axis=-1)
