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
from alignsvc.numerics.models.light.profile import ShapeParameter


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


@dataclass(frozen=True, slots=True, eq=False)
class MappedShapes:
    """Sizes and ellipticities in another frame.

    Parameters
    ----------
    shape : float64 array, shape (n, 3)
        ``ln size``, e1, e2.
    by_shape : float64 array, shape (n, 3, 3)
        Their derivatives by those in the first frame.
    by_jacobian : float64 array, shape (n, 3, 2, 2)
        And by the elements of the Jacobian.
    """

    shape: FloatArray
    by_shape: FloatArray
    by_jacobian: FloatArray


def mapped_shapes(shape: FloatArray, jacobian: FloatArray) -> MappedShapes:
    """Return how ellipses look in another frame: a galaxy on the sky in an exposure's pixels.

    Parameters
    ----------
    shape : float64 array, shape (n, 3)
        ``ln size``, e1, e2; the size is the geometric mean of the axes.
    jacobian : float64 array, shape (n, 2, 2)
        Of the new coordinates (rows: x, y) by the old ones; not singular. May mirror.

    Notes
    -----
    A covariance C becomes ``J C J^T``. Of a matrix E of determinant 1 the ellipticity is
    ``((E_xx - E_yy) / 2, E_xy) / (tr E / 2 + 1)``.
    """
    ellipse = ellipses(shape[:, 1], shape[:, 2])
    area = np.abs(np.linalg.det(jacobian))
    turned = jacobian.swapaxes(1, 2)
    plain, d_e1, d_e2 = map(_square, (ellipse.matrix, ellipse.d_e1, ellipse.d_e2))

    def through(matrix: FloatArray) -> FloatArray:
        image: FloatArray = jacobian @ matrix @ turned / area[:, None, None]
        return image

    image = through(plain)
    e1, e2, rest = _parts(image)
    mapped = np.stack([shape[:, 0] + 0.5 * np.log(area), e1 / rest, e2 / rest], axis=1)

    def ellipticity_by(change: FloatArray) -> FloatArray:
        c_e1, c_e2, c_rest = _parts(change)
        c_rest = c_rest - 1
        return np.stack(
            [(c_e1 - mapped[:, 1] * c_rest) / rest, (c_e2 - mapped[:, 2] * c_rest) / rest], axis=1
        )

    by_shape = np.zeros((len(shape), 3, 3))
    by_shape[:, 0, 0] = 1
    by_shape[:, 1:, 1] = ellipticity_by(through(d_e1))
    by_shape[:, 1:, 2] = ellipticity_by(through(d_e2))
    by_jacobian = np.empty((len(shape), 3, 2, 2))
    inverse = np.linalg.inv(jacobian)
    for i in range(2):
        for j in range(2):
            unit = np.zeros((2, 2))
            unit[i, j] = 1
            half = unit @ plain @ turned / area[:, None, None]
            widening = inverse[:, j, i]  # d ln |det J| / d J_ij
            change = half + half.swapaxes(1, 2) - image * widening[:, None, None]
            by_jacobian[:, 0, i, j] = 0.5 * widening
            by_jacobian[:, 1:, i, j] = ellipticity_by(change)
    return MappedShapes(mapped, by_shape, by_jacobian)


def _square(elements: FloatArray) -> FloatArray:
    """Return symmetric matrices (n, 2, 2) from (xx, xy, yy)."""
    return elements[:, [[0, 1], [1, 2]]]


def _parts(matrix: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return half the difference of the diagonal, the other diagonal, and half the trace + 1."""
    xx, yy = matrix[:, 0, 0], matrix[:, 1, 1]
    return 0.5 * (xx - yy), matrix[:, 0, 1], 0.5 * (xx + yy) + 1
