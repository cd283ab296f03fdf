"""Simple polygons in a plane: do they come near each other, and what do they share?"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
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
    ax, ay = polygon.x[:, None], polygon.y[:, None]
    bx, by = np.roll(ax, -1, axis=0), np.roll(ay, -1, axis=0)
    x, y = np.ravel(points.x), np.ravel(points.y)
    spans = (ay > y) != (by > y)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        crossing = ax + (y - ay) * (bx - ax) / (by - ay)
    inside: BoolArray = np.count_nonzero(spans & (x < crossing), axis=0) % 2 == 1
    return inside.reshape(np.shape(points.x))


def shared_area(first: Points, second: Points) -> float:
    """Return the area common to two polygons, counted on a lattice: good to a few per cent."""
    x0, x1 = max(first.x.min(), second.x.min()), min(first.x.max(), second.x.max())
    y0, y1 = max(first.y.min(), second.y.min()), min(first.y.max(), second.y.max())
    if x1 <= x0 or y1 <= y0:
        return 0.0
    along = (np.arange(_LATTICE) + 0.5) / _LATTICE
    lattice = Points(*np.meshgrid(x0 + along * (x1 - x0), y0 + along * (y1 - y0)))
    share = float((contains(first, lattice) & contains(second, lattice)).mean())
    return share * float((x1 - x0) * (y1 - y0))


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
    return start, np.roll(start, -1, axis=0)


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
