"""Moments of frames in Gaussian windows, and where windows come to rest."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.surfaces import clear

#: Where a window ends, in sigma: beyond, it is less than the rounding of its middle.
_REACH_SIGMA = 5.5
#: A step is cut to this part of the window's width: farther Newton's method knows nothing.
_LONGEST_STEP = 0.5
#: A response below this part of the window's flux is that of noise, or of a flat top.
_LEAST_RESPONSE = 0.1
#: The power of a window itself, and of its square, typed: a number that is written out makes a
#: function of its own.
ONCE, _TWICE = cast(int, np.int64(1)), cast(int, np.int64(2))


@compiled
def centred(
    values: Float32Array,
    begin: FloatArray,
    width_px: FloatArray,
    limits: tuple[float, float, int],
) -> FloatArray:
    """Return where ``sum g u f`` is 0, shape (n, 2); NaN where steps do not end near the begin.

    Parameters
    ----------
    values : float32 array, shape (n, side, side)
    width_px : float64 array, shape (n,)
        Sigma of the windows g; u is the distance in units of it.
    begin : float64 array, shape (n, 2)
        x and y.
    limits : tuple
        Length of the last step, pixels; how far from the begin, in widths or pixels if those are
        less; and how many steps.
    """
    tolerance_px, reach, max_iterations = limits
    n, side = values.shape[0], values.shape[1]
    found, at = np.full((n, 2), np.nan), np.empty(2)
    sums, room = np.empty((3, 3)), np.empty((3, 3, side), np.float32)
    response = np.empty((2, 2))
    for i in range(n):
        width = width_px[i]
        at[0], at[1] = begin[i, 0], begin[i, 1]
        for _ in range(max_iterations):
            fill_moments(values[i], at, (width, ONCE), room, sums)
            if not _fill_response(sums, response):
                break
            determinant = response[0, 0] * response[1, 1] - response[0, 1] ** 2
            x = (response[1, 1] * sums[0, 1] - response[0, 1] * sums[1, 0]) / determinant
            y = (response[0, 0] * sums[1, 0] - response[0, 1] * sums[0, 1]) / determinant
            shorter = _LONGEST_STEP / max(np.hypot(x, y), _LONGEST_STEP) * width
            at[0] += x * shorter
            at[1] += y * shorter
            away = np.hypot(at[0] - begin[i, 0], at[1] - begin[i, 1])
            if not away <= reach * max(width, 1.0):
                break
            if np.hypot(x, y) * shorter <= tolerance_px:
                found[i, 0], found[i, 1] = at[0], at[1]
                break
    return found


class WindowWorth(NamedTuple):
    """What centroids of windows are worth.

    Parameters
    ----------
    flux : float64 array, shape (n,)
        In the window.
    covariance : float64 array, shape (n, 2, 2)
        Of the centroid, px^2.
    sound : bool array, shape (n,)
        Whether the window answers to a move as over a source; where not, the covariance is of no
        use.
    """

    flux: FloatArray
    covariance: FloatArray
    sound: BoolArray


def window_worth(
    values: Float32Array, variance: Float32Array, at: FloatArray, width_px: FloatArray
) -> WindowWorth:
    """Return what centroids at some points are worth.

    The error of c is ``R^-1 sum g u n``, with R how ``sum g u f`` answers to c.

    Parameters
    ----------
    values, variance : float32 arrays, shape (n, side, side)
    at : float64 array, shape (n, 2)
        x and y.
    width_px : float64 array, shape (n,)
    """
    return WindowWorth(*_worth(values, variance, at, width_px))


@compiled
def _worth(
    values: Float32Array, variance: Float32Array, at: FloatArray, width_px: FloatArray
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Return the fields of `WindowWorth`."""
    n, side = values.shape[0], values.shape[1]
    flux, covariance, sound = np.empty(n), np.empty((n, 2, 2)), np.empty(n, np.bool_)
    sums, room = np.empty((3, 3)), np.empty((3, 3, side), np.float32)
    response, noise = np.empty((2, 2)), np.empty((2, 2))
    for i in range(n):
        fill_moments(values[i], at[i], (width_px[i], ONCE), room, sums)
        flux[i], sound[i] = sums[0, 0], _fill_response(sums, response)
        fill_moments(variance[i], at[i], (width_px[i], _TWICE), room, sums)
        noise[0, 0], noise[1, 1] = sums[0, 2], sums[2, 0]
        noise[0, 1] = noise[1, 0] = sums[1, 1]
        _fill_covariance(response, noise, width_px[i], covariance[i])
    return flux, covariance, sound


@compiled
def _fill_covariance(
    response: FloatArray, noise: FloatArray, width_px: float, covariance: FloatArray
) -> None:
    """Fill ``R^-1 N R^-T`` in pixels^2."""
    determinant = response[0, 0] * response[1, 1] - response[0, 1] ** 2
    scale = width_px / determinant
    inverse = np.empty((2, 2))
    inverse[0, 0], inverse[1, 1] = response[1, 1] * scale, response[0, 0] * scale
    inverse[0, 1] = inverse[1, 0] = -response[0, 1] * scale
    for j in range(2):
        for k in range(2):
            covariance[j, k] = 0.0
            for p in range(2):
                for q in range(2):
                    covariance[j, k] += inverse[j, p] * noise[p, q] * inverse[k, q]


@compiled
def window_means(values: Float32Array, at: FloatArray, width_px: FloatArray) -> FloatArray:
    """Return the means within windows, shape (n,); NaN where one lies outside of its frame."""
    n, side = values.shape[0], values.shape[1]
    means, sums = np.full(n, np.nan), np.empty((3, 3))
    room = np.empty((3, 3, side), np.float32)
    for i in range(n):
        fill_moments(values[i], at[i], (width_px[i], ONCE), room, sums)
        x = fill_window(at[i, 0], width_px[i], ONCE, room[0])
        y = fill_window(at[i, 1], width_px[i], ONCE, room[1])
        along_x = along_y = 0.0
        for pixel in range(x[0], x[1]):
            along_x += np.float64(room[0, 0, pixel])
        for pixel in range(y[0], y[1]):
            along_y += np.float64(room[1, 0, pixel])
        if along_x * along_y > 0:
            means[i] = sums[0, 0] / (along_x * along_y)
    return means


@compiled
def _fill_response(sums: FloatArray, response: FloatArray) -> bool:
    flux, across = sums[0, 0], -sums[1, 1]
    along_x, along_y = flux - sums[0, 2], flux - sums[2, 0]
    least = _LEAST_RESPONSE * flux
    sound = flux > 0 and along_x > least and along_y > least
    sound = sound and along_x * along_y - across**2 > least**2
    response[0, 0], response[1, 1] = (along_x, along_y) if sound else (1.0, 1.0)
    response[0, 1] = response[1, 0] = across if sound else 0.0
    return bool(sound)


@compiled
def fill_moments(
    values: Float32Array,
    at: FloatArray,
    window: tuple[float, int],
    room: Float32Array,
    sums: FloatArray,
) -> None:
    """Fill ``sum g^power f v^j u^i`` of one frame, shape (j, i), j and i from 0 to 2.

    `at` is the window's middle, x and y; `window` its sigma and the power; u and v are distances
    in units of the sigma. `room`, shape (3, 3, side), is for windows and sums of columns.
    """
    width, power = window
    x = fill_window(at[0], width, power, room[0])
    y = fill_window(at[1], width, power, room[1])
    across, along, columns = room[0], room[1], room[2]
    clear(columns.reshape(-1))
    for row in range(y[0], y[1]):
        by = along[0, row], along[1, row], along[2, row]
        _add_row(values[row], x, by, columns)
    for j in range(3):
        for i in range(3):
            sums[j, i] = window_product(columns[j], across[i], x)


@compiled
def fill_window(centre: float, width: float, power: int, weights: Float32Array) -> tuple[int, int]:
    """Fill g^power, times u, times u^2; return the first pixel of the window and the end.

    From one pixel to the next g grows by a factor, and that by another, which is always the same.
    """
    side = weights.shape[1]
    if not np.isfinite(centre) or not width > 0:
        weights[:] = np.nan
        return 0, side
    first = min(max(int(np.ceil(centre - _REACH_SIGMA * width)), 0), side)
    end = max(min(int(np.floor(centre + _REACH_SIGMA * width)) + 1, side), first)
    step = 1 / width
    u = (first - centre) * step
    g = np.exp(-0.5 * power * u * u)
    growth, change = np.exp(-power * step * (u + 0.5 * step)), np.exp(-power * step * step)
    for pixel in range(first, end):
        weights[0, pixel], weights[1, pixel], weights[2, pixel] = g, g * u, g * u * u
        g *= growth
        growth *= change
        u += step
    return first, end


@compiled_sums
def _add_row(
    values: Float32Array,
    part: tuple[int, int],
    by: tuple[np.float32, np.float32, np.float32],
    columns: Float32Array,
) -> None:
    """Add a part of a row times three numbers to sums of columns."""
    first, end = part
    (a, b, c), seen = by, values[first:end]
    one, two, three = columns[0][first:end], columns[1][first:end], columns[2][first:end]
    for j in range(len(seen)):
        one[j] += a * seen[j]
        two[j] += b * seen[j]
        three[j] += c * seen[j]


@compiled_sums
def window_product(
    values: Float32Array, weights: Float32Array, part: tuple[int, int]
) -> np.float32:
    """Return the sum of products over a part of a row."""
    total = np.float32(0)
    for j in range(part[0], part[1]):
        total += values[j] * weights[j]
    return total
