"""From the plane of the sky to the pixels of an exposure, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points


@dataclass(frozen=True, slots=True, eq=False)
class MappedPoints:
    """Pixels of points of a plane; NaN where a point has none.

    Parameters
    ----------
    pixel : Points, shape (n,)
    by_place : float64 array, shape (n, 2, 2)
        Derivative of the pixel (first axis) by the place on the plane (second).
    """

    pixel: Points
    by_place: FloatArray


class PlaneMap(Protocol):
    """A known map from a plane to pixels: a WCS about its tangent point, say."""

    def __call__(self, plane: Points) -> MappedPoints:
        """Return the pixels of points."""
        ...


@dataclass(frozen=True, slots=True)
class AffineMap:
    """``pixel = origin + matrix @ plane``.

    Parameters
    ----------
    matrix : tuple of tuples of float
        Pixels per unit of the plane.
    origin : tuple of float
        The pixel of the plane's (0, 0).
    """

    matrix: tuple[tuple[float, float], tuple[float, float]] = ((1.0, 0.0), (0.0, 1.0))
    origin: tuple[float, float] = (0.0, 0.0)

    def __call__(self, plane: Points) -> MappedPoints:
        """Return the pixels of points."""
        matrix = np.array(self.matrix)
        x = self.origin[0] + matrix[0, 0] * plane.x + matrix[0, 1] * plane.y
        y = self.origin[1] + matrix[1, 0] * plane.x + matrix[1, 1] * plane.y
        return MappedPoints(Points(x, y), np.broadcast_to(matrix, (*x.shape, 2, 2)))


@dataclass(frozen=True, slots=True, eq=False)
class PlacedSources:
    """Sources in an exposure; NaN where the geometry maps them to no pixel.

    Parameters
    ----------
    pixel : Points, shape (n,)
    by_place : float64 array, shape (n, 2, 2)
        Derivative of the pixel by the place on the plane.
    by_value : float64 array, shape (n, 2, p)
        Derivative of the pixel by the geometry's numbers.
    """

    pixel: Points
    by_place: FloatArray
    by_value: FloatArray


class Geometry(Protocol):
    """How an exposure maps the plane to its pixels, given some numbers."""

    @property
    def size(self) -> int:
        """How many numbers."""
        ...

    def __call__(self, plane: Points, values: FloatArray) -> PlacedSources:
        """Return where points of the plane lie, given the numbers, shape (size,)."""
        ...

    def turning(self, placed: PlacedSources, values: FloatArray) -> FloatArray:
        """Return the derivatives of `by_place` by the numbers, shape (n, 2, 2, size).

        They say how galaxies turn and stretch; what distortion changes on the way is left out.
        """
        ...


@dataclass(frozen=True, slots=True)
class CorrectedPlane:
    """A known map after a linear correction: six numbers, the shift and the matrix row by row.

    What the known map calls `old` lies at ``matrix @ old + shift``, as in a `Correction`; so a
    place is sought at ``matrix^-1 @ (place - shift)``. With the unit map `old` are pixels, and
    the matrix is a CD matrix.

    Parameters
    ----------
    known : PlaneMap
    """

    known: PlaneMap

    @property
    def size(self) -> int:
        """Six."""
        return 6

    def __call__(self, plane: Points, values: FloatArray) -> PlacedSources:
        """Return where points of the plane lie; NaN if the matrix has no inverse."""
        shift, matrix = values[:2], values[2:].reshape(2, 2)
        n = len(plane.x)
        determinant = float(matrix[0] @ _adjugate(matrix)[:, 0])
        if not abs(determinant) > 1e-12 * float(np.sum(matrix**2)):
            nan = np.full(n, np.nan)
            return PlacedSources(
                Points(nan, nan), np.full((n, 2, 2), np.nan), np.full((n, 2, 6), np.nan)
            )
        inverse = _adjugate(matrix) / determinant
        away = np.stack([plane.x - shift[0], plane.y - shift[1]], axis=1)
        old = away @ inverse.T
        mapped = self.known(Points(old[:, 0], old[:, 1]))
        by_place = np.asarray(mapped.by_place @ inverse)
        # d(M^-1 v) = -M^-1 dM M^-1 v: element (i, j) of M moves as column i, times old_j.
        by_value = np.empty((n, 2, 6))
        by_value[:, :, :2] = -by_place
        by_value[:, :, 2:] = -(by_place[:, :, :, None] * old[:, None, None, :]).reshape(n, 2, 4)
        return PlacedSources(mapped.pixel, by_place, by_value)

    def turning(self, placed: PlacedSources, values: FloatArray) -> FloatArray:
        """Return the derivatives of `by_place`: ``-K M^-1 dM M^-1`` with the known map's K."""
        matrix = values[2:].reshape(2, 2)
        inverse = _adjugate(matrix) / float(matrix[0] @ _adjugate(matrix)[:, 0])
        turning = np.zeros((len(placed.by_place), 2, 2, 6))
        changed = np.einsum("nai,jb->nabij", placed.by_place, inverse)
        turning[..., 2:] = -changed.reshape(-1, 2, 2, 4)
        return turning


def _adjugate(matrix: FloatArray) -> FloatArray:
    return np.array([[matrix[1, 1], -matrix[0, 1]], [-matrix[1, 0], matrix[0, 0]]])
