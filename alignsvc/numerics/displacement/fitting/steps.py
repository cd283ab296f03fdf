"""Steps of Gauss and Newton, one source after another, and what the estimates are worth."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, cast

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.fitting.informed import (
    Desk,
    Informed,
    Known,
    PixelNoise,
    Source,
    Splines,
    Told,
    look,
    nothing_told,
    room_of,
    tell,
)
from alignsvc.numerics.displacement.splines.posed import MOST_NOISE, eliminate, pose
from alignsvc.numerics.displacement.splines.surface_sums import (
    Boxes,
    boxes_laid_out,
    workband,
)

#: A step is cut to this: farther the template's slopes say nothing.
_LONGEST_STEP_PX = 0.5
#: Unknowns: a dx, a dy, a, b.
_N, _VALUE = 4, 2
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
    worth : Informed
        At the last shift at which the equations were posed; at the start where they lead nowhere.
    """

    place: FloatArray
    worth: Informed


_Limits: TypeAlias = tuple[float, float, float, int]


def stepped(
    start: FloatArray,
    splines: Splines,
    of: tuple[Boxes, PixelNoise],
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
    of : tuple
        Boxes, and the noise of their pixels.
    expected : float64 array, shape (n, 4)
        Products of the template's noise with the instruments'.
    limits : Limits
    """
    boxes, noise = of
    place, told = _stepped(
        start, splines, ((*boxes,), (*noise,), expected, bool(_FREE)), (*limits,)
    )
    return Stepped(place, Informed(*told))


@compiled
def _stepped(
    start: FloatArray, splines: Splines, known: Known, limits: _Limits
) -> tuple[FloatArray, Told]:
    """Return places, and the fields of `Informed`."""
    boxes, (instrument, template) = known[0], splines
    n, side = boxes[0].shape[0], boxes[0].shape[1]
    margin = (template.shape[1] - side) // 2
    place, told, room = np.full((n, 2), np.nan), nothing_told(n), room_of(side)
    posed = workband(), np.zeros((_N, _N + 1), np.float32), np.empty((_N, _N + 1))
    for i in range(n):
        box = boxes[2][i], boxes_laid_out(boxes, i, room[0][1])
        source = (instrument[i], template[i]), box, margin, known[2][i]
        if not _follow(start[i], source, (room[0], posed), limits, place[i]):
            look(start[i, 0], start[i, 1], source, (room[0], posed))
        tell(i, posed[2], known, room, told)
    return place, told


@compiled
def _follow(
    start: FloatArray, source: Source, desk: Desk, limits: _Limits, place: FloatArray
) -> bool:
    """Write where a source's steps lead, and return whether they lead anywhere.

    Surfaces and sums are then those of the last shift but the place itself.
    """
    tolerance_px, reach_px, largest_px, max_iterations = limits
    sums, matrix = desk[1][2], np.empty((_N, _N))
    x, y, before = start[0], start[1], np.nan
    for iteration in range(max_iterations):
        look(x, y, source, desk)
        if not pose(sums, source[3], (MOST_NOISE, _FREE), matrix):
            return False
        solution = sums[:, _N].copy()
        eliminate(matrix, solution)
        if not solution[_VALUE] > 0:
            return False
        step_x, step_y = solution[0] / solution[_VALUE], solution[1] / solution[_VALUE]
        shorter = _LONGEST_STEP_PX / max(np.hypot(step_x, step_y), _LONGEST_STEP_PX)
        length = shorter * np.hypot(step_x, step_y)
        x, y = x + shorter * step_x, y + shorter * step_y
        away = np.hypot(x - start[0], y - start[1])
        if not (away <= reach_px and max(abs(x), abs(y)) <= largest_px):
            return False
        # Steps shrink by a factor: two of them tell the next, which need not be taken.
        if length**2 <= tolerance_px * max(before, length, tolerance_px) and iteration > 0:
            place[0], place[1] = x, y
            return True
        before = length
    return False
