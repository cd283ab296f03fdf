"""Second differences of pixels: noise without what lies under it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array
from alignsvc.numerics.compiled import compiled

#: Pixels between those whose differences are taken: those that were interpolated share noise with
#: their neighbours.
APART = 2


class Differences(NamedTuple):
    """Second differences, in the noise of a pixel, and which of them tell of it."""

    values: Float32Array
    tell: BoolArray


def second_differences(pixels: Float32Array, good: BoolArray, brightest: float) -> Differences:
    """Return second differences in both directions.

    The product of ``(1, -2, 1)`` over `APART` pixels in x and in y: the squares sum to 36.

    Parameters
    ----------
    pixels : float32 array, shape (ny, nx)
        Those that are not good may hold anything.
    good : bool array
    brightest : float
        Differences whose nine pixels add up to more do not tell of the noise.

    Returns
    -------
    Differences
        Shape (ny - 4, nx - 4): there are none in the outermost `APART` rows and columns.
    """
    shape = tuple(max(0, n - 2 * APART) for n in pixels.shape)
    found = Differences(np.empty(shape, np.float32), np.empty(shape, bool))
    if found.values.size:
        _difference(
            (np.ascontiguousarray(pixels), np.ascontiguousarray(good)),
            np.float32(brightest),
            (found.values, found.tell),
        )
    return found


@compiled
def _difference(
    given: tuple[Float32Array, BoolArray],
    brightest: np.float32,
    out: tuple[Float32Array, BoolArray],
) -> None:
    pixels, good = given
    n = pixels.shape[1]
    bend, light, sound = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.bool_)
    known = np.empty((2 * APART + 1, n), np.float32)
    for r in range(2 * APART):
        _known_row(pixels[r], good[r], known[r])
    for r in range(out[0].shape[0]):
        ahead = r + 2 * APART
        _known_row(pixels[ahead], good[ahead], known[ahead % len(known)])
        rows = known[r % len(known)], known[(r + APART) % len(known)], known[ahead % len(known)]
        _combine(rows, bend, light)
        for c in range(n):
            sound[c] = good[r, c] & good[r + APART, c] & good[ahead, c]
        values, tell = out[0][r], out[1][r]
        _bend_along((bend[: len(values)], bend[APART:-APART], bend[2 * APART :]), values)
        _told((light, sound), brightest, tell)


@compiled
def _known_row(pixels: Float32Array, good: BoolArray, out: Float32Array) -> None:
    for c in range(len(out)):
        out[c] = pixels[c] if good[c] else np.float32(0.0)


@compiled
def _combine(
    rows: tuple[Float32Array, Float32Array, Float32Array], bend: Float32Array, light: Float32Array
) -> None:
    behind, middle, ahead = rows
    two = np.float32(2.0)
    for c in range(len(bend)):
        bend[c] = (ahead[c] - two * middle[c]) + behind[c]
        light[c] = (ahead[c] + middle[c]) + behind[c]


@compiled
def _bend_along(
    bend: tuple[Float32Array, Float32Array, Float32Array], values: Float32Array
) -> None:
    behind, middle, ahead = bend
    two, of_noise = np.float32(2.0), np.float32(6.0)
    for c in range(len(values)):
        values[c] = ((ahead[c] - two * middle[c]) + behind[c]) / of_noise


@compiled
def _told(rows: tuple[Float32Array, BoolArray], brightest: np.float32, tell: BoolArray) -> None:
    light, sound = rows
    for c in range(len(tell)):
        total = (light[c + 2 * APART] + light[c + APART]) + light[c]
        is_sound = sound[c] & sound[c + APART] & sound[c + 2 * APART]
        tell[c] = is_sound & (total <= brightest)
