"""What the phase of the pixel makes lopsided, taken off before it is drizzled.

A grid pixel between two chip pixels, p beyond the first, is drizzled to ``(1 - p) first + p
second``. That moves nothing, but has a third moment, ``p (1 - p) (1 - 2 p)``: it adds a sixth of
that times the third derivative. A lopsided template places a symmetric star of FWHM 4 px wrongly
by 4 mpx, one of 3 px by 15. With the phases of many exposures it averages out; of two that differ
by a shift all sources have it alike, and in opposite senses in the two. So a sixth of the third
moment times the third difference is subtracted from the chip's pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: Third difference, right to the fourth order: coefficients of the pixels 1, 2, 3 ahead.
_AHEAD = np.array([-13.0, 8.0, -1.0], np.float32) / 8
_REACH = len(_AHEAD)
#: Pixels on either side, in x and in y, by which what is subtracted of a pixel is decided.
SKEW_REACH = _REACH
#: Where a step of one chip pixel differs by more from one of a grid pixel, phases go round within
#: a source, and average out; the subtraction fades on the way there.
_MOST_CHANGE = 0.1
#: Pixels taken together, so that what lies between stays in the processor's cache.
_PIXELS_AT_ONCE = 1 << 15


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
    moments = [_Moment.of(turn, chip_axis) for chip_axis in (0, 1)]
    height = max(1, _PIXELS_AT_ONCE // positions.shape[1])
    for start in range(0, len(found), height):
        part = slice(start, min(start + height, len(found)))
        for chip_axis, moment in enumerate(moments):
            if moment.strength:
                skew = _third_difference(
                    chip, (rows[0] + part.start, rows[0] + part.stop), chip_axis
                )
                skew *= moment(positions[part])
                found[part] += skew
    return found


@dataclass(frozen=True, slots=True)
class _Moment:
    """A sixth of the third moment, by the phase along one axis of the grid."""

    grid_axis: int
    sense: float
    strength: float

    @classmethod
    def of(cls, turn: FloatArray, chip_axis: int) -> _Moment:
        along = turn[:, chip_axis]
        grid_axis = int(np.abs(along).argmax())
        change = max(abs(abs(along[grid_axis]) - 1.0), abs(along[1 - grid_axis]))
        # The grid pixel lies 1 - phase beyond the chip's, or phase where the axes oppose.
        sense = -float(np.sign(along[grid_axis]))
        return cls(grid_axis, sense, max(0.0, 1.0 - change / _MOST_CHANGE))

    def __call__(self, positions: FloatArray) -> Float32Array:
        place = positions[:, :, self.grid_axis]
        whole = np.floor(place)
        phase = np.subtract(place, whole, out=whole).astype(np.float32)
        moment: Float32Array = np.float32(self.sense * self.strength / 6.0) * phase
        moment *= 1 - phase
        phase *= 2
        moment *= np.subtract(1, phase, out=phase)
        return moment


def _third_difference(chip: CalibratedChip, rows: tuple[int, int], axis: int) -> Float32Array:
    """Return the third difference along chip x (0) or y (1); 0 where a pixel has no weight."""
    y0, y1 = rows
    ny, nx = chip.shape
    found = np.zeros((y1 - y0, nx), np.float32)
    if axis:
        first, last = max(y0, _REACH), min(y1, ny - _REACH)
        taken = slice(first - _REACH, last + _REACH)
        pixels, weight = chip.pixels[taken].T, chip.weight[taken].T
        inner = found[first - y0 : max(last - y0, 0)].T
    else:
        pixels, weight = chip.pixels[y0:y1], chip.weight[y0:y1]
        inner = found[:, _REACH:-_REACH]
    if not inner.size:
        return found
    n = inner.shape[1]
    ahead, behind = (_window(pixels, step, n) for step in (1, -1))
    np.multiply(_AHEAD[0], np.subtract(ahead, behind, out=inner), out=inner)
    work = np.empty_like(inner)
    for distance, coefficient in enumerate(_AHEAD[1:], start=2):
        ahead, behind = (_window(pixels, step, n) for step in (distance, -distance))
        np.multiply(coefficient, np.subtract(ahead, behind, out=work), out=work)
        inner += work
    good = weight > 0
    if not good.all():
        np.copyto(inner, 0, where=~_seven_in_a_row(good))
    return found


def _seven_in_a_row(good: BoolArray) -> BoolArray:
    """Return where a pixel and the three on either side are good, six columns fewer."""
    two = good[:, :-1] & good[:, 1:]
    four = two[:, :-2] & two[:, 2:]
    found: BoolArray = four[:, :-3] & four[:, 3:]
    return found


def _window(plane: Float32Array, step: int, n: int) -> Float32Array:
    return plane[:, _REACH + step : _REACH + step + n]
