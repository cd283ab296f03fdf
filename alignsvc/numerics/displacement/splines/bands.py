"""Weights of a quintic spline's coefficients at shifted pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled

#: Coefficients that a value needs along an axis.
KNOTS = 6


class Bands(NamedTuple):
    """What makes surfaces of coefficients at shifted pixels.

    Parameters
    ----------
    first : int64 array, shape (n, 2)
        Row and column of the first coefficient that a box's first pixel needs.
    weights : float32 array, shape (n, 2, 2, 6)
        Along y and x, of the value and of the slope.
    """

    first: IntArray
    weights: Float32Array


@compiled
def bands_at(shift: FloatArray, margin: int) -> tuple[IntArray, Float32Array]:
    """Return the fields of `Bands` for shifts along x and y, shape (n, 2).

    Parameters
    ----------
    shift : float64 array, shape (n, 2)
        No larger than ``margin - 2``.
    margin : int
        Coefficients beyond the box on each side.
    """
    first = np.empty((len(shift), 2), np.int64)
    weights = np.empty((len(shift), 2, 2, KNOTS), np.float32)
    for i in range(len(shift)):
        fill_band(shift[i, 0], shift[i, 1], margin, (first[i], weights[i]))
    return first, weights


@compiled
def fill_band(x: float, y: float, margin: int, band: tuple[IntArray, Float32Array]) -> None:
    """Fill the first coefficient and the weights of one shift, along y and along x.

    Weights of degree d at a fraction t above a knot, from those of the degree below (de Boor):
    ``d w_d[k] = (t + d - k) w_(d-1)[k-1] + (1 - t + k) w_(d-1)[k]``; the slope is
    ``w_(d-1)[k-1] - w_(d-1)[k]``.
    """
    first, weights = band
    of_degree = np.empty(KNOTS + 1)
    for axis in range(2):
        shift = y if axis == 0 else x
        whole = min(np.floor(shift), float(margin - KNOTS // 2))
        t = shift - whole
        first[axis] = margin + np.int64(whole) + 1 - KNOTS // 2
        of_degree[:] = 0
        of_degree[1] = 1.0  # place k + 1 is that of knot k: place 0 stays 0
        for d in range(1, KNOTS - 1):
            for k in range(d, -1, -1):
                below, at = of_degree[k], of_degree[k + 1]
                of_degree[k + 1] = ((t + d - k) * below + (1 - t + k) * at) / d
        d = KNOTS - 1
        for k in range(KNOTS):
            below, at = of_degree[k], of_degree[k + 1]
            weights[axis, 0, k] = ((t + d - k) * below + (1 - t + k) * at) / d
            weights[axis, 1, k] = below - at
