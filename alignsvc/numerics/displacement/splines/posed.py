"""The equations of a source: what is left of its sums when noise is off, and their solution."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.compiled import compiled

#: A template of whose power less than this part is signal says nothing.
LEAST_SIGNAL = 0.05
#: Part of the power that is taken for noise at most while iterating: steps stay finite.
MOST_NOISE = 0.5
#: Unknowns: a dx, a dy, a, b.
_N, _ONE = 4, 3


@compiled
def pose(
    sums: FloatArray, expected: FloatArray, how: tuple[float, bool], matrix: FloatArray
) -> bool:
    """Fill a source's matrix with its equations without the expected products of noise.

    Parameters
    ----------
    sums : float64 array, shape (4, 5)
        See `sums_at`.
    expected : float64 array, shape (4,)
        Products of the template's noise with the instruments'.
    how : tuple
        Part of the power that is taken for noise at most, and whether b is an unknown; if not, it
        is 0.
    matrix : float64 array, shape (4, 4)
        The unit matrix where not informative.

    Returns
    -------
    bool
        Whether enough of the power is signal and the matrix is far from singular.
    """
    most_noise, frees_background = how
    informative = True
    for k in range(_N):
        power = abs(sums[k, k])
        for j in range(_N):
            matrix[k, j] = sums[k, j]
        matrix[k, k] -= min(expected[k], most_noise * power)
        if k < _ONE and not sums[k, k] - expected[k] > LEAST_SIGNAL * power:
            informative = False
    if not frees_background:
        matrix[_ONE, :] = 0
        matrix[:, _ONE] = 0
        matrix[_ONE, _ONE] = 1
    if informative and _is_regular(matrix):
        return True
    for k in range(_N):
        for j in range(_N):
            matrix[k, j] = 1.0 if k == j else 0.0
    return False


@compiled
def _is_regular(matrix: FloatArray) -> bool:
    """Return whether a matrix is far from singular, in units of its diagonal."""
    unit, none = np.empty((_N, _N)), np.zeros(_N)
    for k in range(_N):
        for j in range(_N):
            scale = np.sqrt(abs(matrix[k, k]) * abs(matrix[j, j]))
            if not (scale > 0 and np.isfinite(matrix[k, j])):
                return False
            unit[k, j] = matrix[k, j] / scale
    return abs(eliminate(unit, none)) > LEAST_SIGNAL**_N


@compiled
def eliminate(matrix: FloatArray, right: FloatArray) -> float:
    """Put the solution in place of the right side; use up the matrix, return its determinant."""
    determinant = 1.0
    for k in range(_N):
        best = k
        for j in range(k + 1, _N):
            if abs(matrix[j, k]) > abs(matrix[best, k]):
                best = j
        if best != k:
            determinant = -determinant
            for j in range(_N):
                matrix[k, j], matrix[best, j] = matrix[best, j], matrix[k, j]
            right[k], right[best] = right[best], right[k]
        determinant *= matrix[k, k]
        if matrix[k, k] == 0:
            return 0.0
        for j in range(k + 1, _N):
            factor = matrix[j, k] / matrix[k, k]
            for column in range(k, _N):
                matrix[j, column] -= factor * matrix[k, column]
            right[j] -= factor * right[k]
    for k in range(_N - 1, -1, -1):
        for j in range(k + 1, _N):
            right[k] -= matrix[k, j] * right[j]
        right[k] /= matrix[k, k]
    return determinant
