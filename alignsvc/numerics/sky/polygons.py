"""Simple polygons in a plane: do they come near each other, and what do they share?"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points

#: Points along each side of the lattice that measures a shared area.
_LATTICE = 24


def are_within(first: Points, second: Points, distance: float) -> bool:
    """Return whether two closed polygons overlap or come within `distance` of each other.

    Vertices are in order, the last is joined to the first; they need not be convex.
    """
    if contains(first, second).any() or contains(second, first).any():
        return True
    if _edges_cross(first, second):
        return True
    return distance > 0 and min(_gap(first, second), _gap(second, first)) <= distance


def contains(polygon: Points, points: Points) -> BoolArray:
    """Return, for each point, whether it lies within the polygon (even-odd rule)."""
    x, y = np.ravel(points.x), np.ravel(points.y)
    met = _crossings(polygon, y)
    crossed = np.bincount(met.of[x[met.of] < met.x], minlength=len(x))
    inside: BoolArray = crossed % 2 == 1
    return inside.reshape(np.shape(points.x))


def shared_area(first: Points, second: Points) -> float:
    """Return the area common to two polygons, counted on a lattice: good to a few per cent."""
    x0, x1 = max(first.x.min(), second.x.min()), min(first.x.max(), second.x.max())
    y0, y1 = max(first.y.min(), second.y.min()), min(first.y.max(), second.y.max())
    if x1 <= x0 or y1 <= y0:
        return 0.0
    along = (np.arange(_LATTICE) + 0.5) / _LATTICE
    lattice = Points(x0 + along * (x1 - x0), y0 + along * (y1 - y0))
    share = float((_covers(first, lattice) & _covers(second, lattice)).mean())
    return share * float((x1 - x0) * (y1 - y0))


class _Crossings(NamedTuple):
    """Where edges of a polygon cross lines of one height: the line's number, and x."""

    of: IntArray
    x: FloatArray


def _crossings(polygon: Points, heights: FloatArray) -> _Crossings:
    """Return where a polygon crosses horizontal lines: few edges reach any one of them."""
    above = polygon.y[:, None] > heights
    edge, of = np.nonzero(above != _following(above))
    ax, ay = polygon.x[edge], polygon.y[edge]
    bx, by = _following(polygon.x)[edge], _following(polygon.y)[edge]
    with np.errstate(over="ignore", invalid="ignore"):
        return _Crossings(of, ax + (heights[of] - ay) * (bx - ax) / (by - ay))


def _covers(polygon: Points, lattice: Points) -> BoolArray:
    """Return ``[y, x]``, whether a polygon contains each point of a lattice.

    The lattice is given by its axes, x ascending.
    """
    met = _crossings(polygon, lattice.y)
    n_rows, n_columns = len(lattice.y), len(lattice.x)
    # As many points of the row lie left of a crossing; a crossing at no number is right of none.
    n_left = np.where(np.isnan(met.x), 0, np.searchsorted(lattice.x, met.x))
    ends = np.bincount(met.of * (n_columns + 1) + n_left, minlength=n_rows * (n_columns + 1))
    to_the_right = np.cumsum(ends.reshape(n_rows, -1)[:, :0:-1], axis=1)[:, ::-1]
    inside: BoolArray = to_the_right % 2 == 1
    return inside


_Array = TypeVar("_Array", FloatArray, BoolArray)


def _following(values: _Array) -> _Array:
    """Return for each vertex what the next one has."""
    return np.concatenate([values[1:], values[:1]])


def _edges_cross(first: Points, second: Points) -> bool:
    """Return whether an edge of one crosses an edge of the other, touching not counted."""
    a, b = _edges(first)
    c, d = _edges(second)
    a, b = a[:, None], b[:, None]
    # Each edge's ends lie on different sides of the other edge's line.
    across_second = _side(a, b, c) * _side(a, b, d) < 0
    across_first = _side(c, d, a) * _side(c, d, b) < 0
    return bool((across_first & across_second).any())


def _edges(polygon: Points) -> tuple[FloatArray, FloatArray]:
    start = np.stack(polygon, axis=-1)
    return start, _following(start)


def _side(a: FloatArray, b: FloatArray, point: FloatArray) -> FloatArray:
    """Return the sign (and twice the area) of the triangle a, b, point."""
    u, v = b - a, point - a
    side: FloatArray = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return side


def _gap(polygon: Points, points: Points) -> float:
    """Return the least distance of the points from the polygon's edges."""
    a, b = _edges(polygon)
    along = b - a
    to_point = np.stack(points, axis=-1)[:, None] - a
    length2 = np.maximum((along**2).sum(axis=-1), np.finfo(float).tiny)
    t = np.clip((to_point * along).sum(axis=-1) / length2, 0.0, 1.0)
    return float(np.sqrt(((to_point - t[..., None] * along) ** 2).sum(axis=-1)).min())
