"""The equations of sources one by one: what is left of their sums when noise is off, and steps."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.bands import fill_band
from alignsvc.numerics.displacement.surface_sums import (
    Boxes,
    BoxTuple,
    boxes_laid_out,
    doubled,
    sums_at,
    workband,
    workspace,
)

#: A template of whose power less than this part is signal says nothing.
LEAST_SIGNAL = 0.05
#: Part of the power that is taken for noise at most while iterating: steps stay finite.
MOST_NOISE = 0.5
#: A step is cut to this: farther the template's slopes say nothing.
_LONGEST_STEP_PX = 0.5
#: Unknowns: a dx, a dy, a, b.
_N, _VALUE, _ONE = 4, 2, 3
#: Typed: a constant that is written out makes a function of its own.
_FREE = cast(bool, np.bool_(True))


class Limits(NamedTuple):
    """When a source is done, or lost.

    Parameters
    ----------
    tolerance_px, reach_px, largest_px : float
        Of the next step, of the way from the start, and of the shift along an axis.
    max_iterations : int
    """

    tolerance_px: float
    reach_px: float
    largest_px: float
    max_iterations: int


class Stepped(NamedTuple):
    """Where Gauss and Newton have led.

    Parameters
    ----------
    place : float64 array, shape (n, 2)
        x and y; NaN where they lead nowhere.
    trial : float64 array, shape (n, 2)
        The last shift at which the equations were posed; the start where they lead nowhere.
    """

    place: FloatArray
    trial: FloatArray


_Limits: TypeAlias = tuple[float, float, float, int]


def stepped(
    start: FloatArray,
    splines: tuple[Float32Array, Float32Array],
    boxes: Boxes,
    expected: FloatArray,
    limits: Limits,
) -> Stepped:
    """Return where steps of Gauss and Newton lead, each source until it is done.

    Parameters
    ----------
    start : float64 array, shape (n, 2)
        x and y, pixels.
    splines : tuple of float32 arrays, shape (n, template side, template side)
        Coefficients of instruments and templates.
    boxes : Boxes
    expected : float64 array, shape (n, 4)
        Products of the template's noise with the instruments'.
    limits : Limits
    """
    return Stepped(*_stepped(start, splines, (*boxes,), expected, (*limits,)))


@compiled
def _stepped(
    start: FloatArray,
    splines: tuple[Float32Array, Float32Array],
    boxes: BoxTuple,
    expected: FloatArray,
    limits: _Limits,
) -> tuple[FloatArray, FloatArray]:
    """Return the fields of `Stepped`."""
    instrument, template = splines
    tolerance_px, reach_px, largest_px, max_iterations = limits
    n, side = boxes[0].shape[0], boxes[0].shape[1]
    margin = (template.shape[1] - side) // 2
    place, last = np.full((n, 2), np.nan), start.copy()
    work, matrix, found = workspace(side), np.empty((_N, _N)), np.zeros((_N, _N + 1), np.float32)
    band, sums = workband(), np.empty((_N, _N + 1))
    for i in range(n):
        x, y, before = start[i, 0], start[i, 1], np.nan
        box = boxes[2][i], boxes_laid_out(boxes, i, work[1])
        for iteration in range(max_iterations):
            fill_band(x, y, margin, band)
            sums_at(band, (instrument[i], template[i]), box, work, found)
            doubled(found, sums)
            if not pose(sums, expected[i], (MOST_NOISE, _FREE), matrix):
                break
            solution = sums[:, _N].copy()
            eliminate(matrix, solution)
            if not solution[_VALUE] > 0:
                break
            step_x, step_y = solution[0] / solution[_VALUE], solution[1] / solution[_VALUE]
            shorter = _LONGEST_STEP_PX / max(np.hypot(step_x, step_y), _LONGEST_STEP_PX)
            length = shorter * np.hypot(step_x, step_y)
            at_x, at_y = x, y
            x, y = x + shorter * step_x, y + shorter * step_y
            away = np.hypot(x - start[i, 0], y - start[i, 1])
            if not (away <= reach_px and max(abs(x), abs(y)) <= largest_px):
                break
            # Steps shrink by a factor: two of them tell the next, which need not be taken.
            if length**2 <= tolerance_px * max(before, length, tolerance_px) and iteration > 0:
                place[i, 0], place[i, 1] = x, y
                last[i, 0], last[i, 1] = at_x, at_y
                break
            before = length
    return place, last


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
