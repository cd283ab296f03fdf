"""What the phase of the pixel makes lopsided, taken off before it is drizzled.

A grid pixel between two chip pixels, p beyond the first, is drizzled to ``(1 - p) first + p
second``. That moves nothing, but has a third moment, ``p (1 - p) (1 - 2 p)``: it adds a sixth of
that times the third derivative. A lopsided template places a symmetric star of FWHM 4 px wrongly
by 4 mpx, one of 3 px by 15. With the phases of many exposures it averages out; of two that differ
by a shift all sources have it alike, and in opposite senses in the two. So a sixth of the third
moment times the third difference is subtracted from the chip's pixels.
"""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: Third difference, right to the fourth order: coefficients of the pixels 1, 2, 3 ahead.
_AHEAD = np.array([-13.0, 8.0, -1.0], np.float32) / 8
_REACH = len(_AHEAD)
#: Where a step of one chip pixel differs by more from one of a grid pixel, phases go round within
#: a source, and average out; the subtraction fades on the way there.
_MOST_CHANGE = 0.1


def skew_of_phases(
    chip: CalibratedChip, positions: FloatArray, rows: tuple[int, int], turn: FloatArray
) -> Float32Array:
    """Return what to subtract from a chip's rows so that drizzled they are not lopsided.

    For drops of the chip pixel's own size, along the grid's axes.

    Parameters
    ----------
    chip : CalibratedChip
    positions : float64 array, shape (rows, nx, 2)
        Grid x and y of the pixels of these rows.
    rows : tuple of int
        The first, and one beyond the last.
    turn : float64 array, shape (2, 2)
        d(grid)/d(chip) in the middle: grid x, y along chip x, y.

    Returns
    -------
    float32 array, shape (rows, nx)
        Per chip pixel; 0 where the third difference needs a pixel without weight.
    """
    found = np.zeros(positions.shape[:2], np.float32)
    for chip_axis in (0, 1):
        along = turn[:, chip_axis]
        grid_axis = int(np.abs(along).argmax())
        change = max(abs(abs(along[grid_axis]) - 1.0), abs(along[1 - grid_axis]))
        strength = max(0.0, 1.0 - change / _MOST_CHANGE)
        if strength:
            phase = (positions[:, :, grid_axis] % 1.0).astype(np.float32)
            # The grid pixel lies 1 - phase beyond the chip's, or phase where the axes oppose.
            sense = np.float32(-np.sign(along[grid_axis]) * strength / 6.0)
            moment = sense * phase * (1 - phase) * (1 - 2 * phase)
            found += moment * _third_difference(chip, rows, chip_axis)
    return found


def _third_difference(chip: CalibratedChip, rows: tuple[int, int], axis: int) -> Float32Array:
    """Return the third difference along chip x (0) or y (1); 0 where a pixel has no weight."""
    y0, y1 = rows
    ny = chip.shape[0]
    first, last = max(0, y0 - _REACH), min(ny, y1 + _REACH)
    whole = np.zeros((last - first, chip.shape[1]), np.float32)
    pixels, good = chip.pixels[first:last], chip.weight[first:last] > 0
    if axis:
        pixels, good, target = pixels.T, good.T, whole.T
    else:
        target = whole
    n = target.shape[1] - 2 * _REACH
    if n > 0:
        inner = target[:, _REACH:-_REACH]
        sound = _window(good, 0, n).copy()
        for distance, coefficient in enumerate(_AHEAD, start=1):
            ahead, behind = (_window(pixels, step, n) for step in (distance, -distance))
            inner += coefficient * (ahead - behind)
            sound &= _window(good, distance, n) & _window(good, -distance, n)
        inner[~sound] = 0
    return whole[y0 - first : y1 - first]


def _window(plane: Float32Array | BoolArray, step: int, n: int) -> np.ndarray:
    return plane[:, _REACH + step : _REACH + step + n]
