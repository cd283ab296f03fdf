"""The correction of one exposure: a linear map of its tangent plane."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.geometry import Points, TangentPlane

N_PARAMETERS = 6
#: Order of the parameters of a correction wherever they stand in a vector.
PARAMETERS = ("shift_x", "shift_y", "m11", "m12", "m21", "m22")


class Geometry(StrEnum):
    """How free a correction is."""

    SHIFT = "shift"  #: 2 parameters
    RSHIFT = "rshift"  #: shift and rotation, 3 parameters
    RSCALE = "rscale"  #: shift, rotation and one scale, 4 parameters
    GENERAL = "general"  #: any linear map, 6 parameters

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return {"shift": 2, "rshift": 3, "rscale": 4, "general": 6}[self.value]

    @property
    def min_sources(self) -> int:
        """Sources needed to determine it (each gives two numbers)."""
        return {"shift": 1, "rshift": 2, "rscale": 2, "general": 3}[self.value]

    @property
    def basis(self) -> FloatArray:
        """Free directions, shape ``(6, n_parameters)``, in the order of `PARAMETERS`.

        About the identity: a rotation by a small angle w from north through east adds
        ``w (y, -x)`` to ``(x, y)``; a scale s adds ``s (x, y)``.
        """
        columns = np.eye(N_PARAMETERS)
        if self is Geometry.GENERAL:
            return columns
        rotation = np.array([0.0, 0.0, 0.0, 1.0, -1.0, 0.0])
        scale = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 1.0])
        linear = {Geometry.SHIFT: [], Geometry.RSHIFT: [rotation]}.get(self, [rotation, scale])
        return np.stack([columns[0], columns[1], *linear], axis=1)

    @property
    def stiffer(self) -> Geometry:
        """The next less free geometry; a shift has none and returns itself."""
        order = list(Geometry)
        return order[max(order.index(self) - 1, 0)]


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """``new = M old + shift`` in the gnomonic plane about a tangent point.

    Parameters
    ----------
    plane : TangentPlane
    matrix : array, shape (2, 2)
        M, acting on (east, north).
    shift : array, shape (2,)
        arcsec, (east, north).
    geometry : Geometry
        What was free when it was fitted.
    covariance : array, shape (6, 6)
        Of (shift_x, shift_y, m11, m12, m21, m22), arcsec and 1; 0 for what was not fitted.
    """

    plane: TangentPlane
    matrix: FloatArray
    shift: FloatArray
    geometry: Geometry
    covariance: FloatArray

    def __post_init__(self) -> None:
        for name, shape in (("matrix", (2, 2)), ("shift", (2,)), ("covariance", (6, 6))):
            array = np.array(getattr(self, name), dtype=float)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"correction: {name} must be finite with shape {shape}")
            if name == "covariance":
                array = 0.5 * (array + array.T)  # tables keep its upper triangle only
            object.__setattr__(self, name, read_only(array))
        if not np.linalg.det(self.matrix) > 0:
            raise ValueError(f"correction: the matrix {self.matrix.tolist()} mirrors or collapses")

    @classmethod
    def identity(cls, plane: TangentPlane, geometry: Geometry) -> Correction:
        """Return the correction that changes nothing."""
        return cls(plane, np.eye(2), np.zeros(2), geometry, np.zeros((6, 6)))

    @classmethod
    def from_parameters(
        cls,
        plane: TangentPlane,
        parameters: FloatArray,
        geometry: Geometry,
        covariance: FloatArray | None = None,
    ) -> Correction:
        """Return the correction with these `PARAMETERS` (matrix elements, not increments)."""
        values = np.asarray(parameters, float)
        zero = np.zeros((N_PARAMETERS, N_PARAMETERS))
        return cls(
            plane,
            values[2:].reshape(2, 2),
            values[:2],
            geometry,
            zero if covariance is None else covariance,
        )

    @property
    def parameters(self) -> FloatArray:
        """The six numbers in the order of `PARAMETERS`."""
        return np.concatenate([self.shift, self.matrix.ravel()])

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing at all."""
        return bool((self.matrix == np.eye(2)).all() and not self.shift.any())

    @property
    def is_rigid(self) -> bool:
        """Whether M is a rotation to 1e-12: no scale, no skew."""
        return bool(np.abs(self.matrix @ self.matrix.T - np.eye(2)).max() < 1e-12)

    @property
    def rotation_deg(self) -> float:
        """Rotation from north through east, of ``M = R [[sx, sx tan k], [0, sy]]``."""
        # R's first column is (cos, -sin): M's first column is that times the x scale.
        return math.degrees(math.atan2(-self.matrix[1, 0], self.matrix[0, 0]))

    @property
    def scale_x(self) -> float:
        """Scale of the x axis: length of M's first column."""
        return float(math.hypot(self.matrix[0, 0], self.matrix[1, 0]))

    @property
    def scale_y(self) -> float:
        """Scale of the y axis: area over the x scale."""
        return float(np.linalg.det(self.matrix)) / self.scale_x

    @property
    def skew_deg(self) -> float:
        """Skew: how far the y axis leans toward x."""
        # (R^T M)[0, 1] = sx tan k, and R^T's first row is M's first column over sx.
        along = float(self.matrix[:, 0] @ self.matrix[:, 1]) / self.scale_x
        return math.degrees(math.atan2(along, self.scale_x))

    def apply(self, plane: Points) -> Points:
        """Return corrected plane coordinates (east, north; arcsec)."""
        m, s = self.matrix, self.shift
        return Points(
            m[0, 0] * plane.x + m[0, 1] * plane.y + s[0],
            m[1, 0] * plane.x + m[1, 1] * plane.y + s[1],
        )

    def after(self, first: Correction) -> Correction:
        """Return the correction that applies `first`, then this one; this one's covariance.

        Raises
        ------
        ValueError
            The two are about different tangent points.
        """
        if self.plane != first.plane:
            raise ValueError(f"corrections about {first.plane} and {self.plane} do not compose")
        return replace(
            self,
            matrix=self.matrix @ first.matrix,
            shift=self.matrix @ first.shift + self.shift,
        )

    def restricted(self, geometry: Geometry) -> Correction:
        """Return the nearest correction that `geometry` can express, with the same shift.

        Nearest in the sum of squares of M's elements. The covariance is kept as it is.
        """
        a = 0.5 * (self.matrix[0, 0] + self.matrix[1, 1])
        b = 0.5 * (self.matrix[0, 1] - self.matrix[1, 0])
        length = math.hypot(a, b)
        nearest = {
            Geometry.SHIFT: np.eye(2),
            Geometry.RSHIFT: np.array([[a, b], [-b, a]]) / length,
            Geometry.RSCALE: np.array([[a, b], [-b, a]]),
            Geometry.GENERAL: self.matrix,
        }
        return replace(self, matrix=nearest[geometry], geometry=geometry)

    def inverse(self) -> Correction:
        """Return the correction that undoes this one; its covariance is dropped (zero)."""
        inverse: FloatArray = np.linalg.inv(self.matrix).astype(np.float64)
        return Correction(
            self.plane, inverse, -inverse @ self.shift, self.geometry, np.zeros((6, 6))
        )


def stiffest(geometries: Iterable[Geometry]) -> Geometry:
    """Return the least free of some geometries: each expresses all that it can."""
    return min(geometries, key=lambda geometry: geometry.n_parameters)


def rotation_matrix(rotation_deg: float) -> FloatArray:
    """Return R for a rotation from north through east, acting on (east, north)."""
    angle = math.radians(rotation_deg)
    return np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
