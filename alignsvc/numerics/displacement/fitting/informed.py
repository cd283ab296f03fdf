"""What the errors of pixels do to estimates: one source after another, in the cache."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.bands import fill_band
from alignsvc.numerics.displacement.splines.posed import eliminate, pose
from alignsvc.numerics.displacement.splines.surface_sums import (
    Boxes,
    BoxTuple,
    Workspace,
    boxes_laid_out,
    doubled,
    laid_out,
    sums_at,
    workband,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import SPARE, BandTuple, rows_apart

#: How well the power of the template's noise is known: over the pixels of an aperture, a few
#: hundred with neighbours that share noise, it scatters by a tenth, and its
#: texture is measured to another tenth or two.
_NOISE_DOUBT = 0.2
#: All that is expected is taken for noise.
_ALL = 1.0
#: Unknowns: a dx, a dy, a, b.
_N, _VALUE = 4, 2


class PixelNoise(NamedTuple):
    """What the noise of pixels is made of.

    Parameters
    ----------
    sky_weight, template_variance, share : float32 arrays, shape (n, side, side)
    per_gain : float
        One over the electrons per unit; 0: the sources' own noise is left out.
    """

    sky_weight: Float32Array
    template_variance: Float32Array
    share: Float32Array
    per_gain: np.float32


class Informed(NamedTuple):
    """What estimates are worth.

    Parameters
    ----------
    flux : float64 array, shape (n,)
        a; NaN where not informative.
    informative : bool array, shape (n,)
        Whether enough of the power is signal, and the flux is positive.
    doubt : float64 array, shape (n,)
        By how much covariances grow, as the signal is what the noise leaves.
    sums : float64 array, shape (n, 8)
        Covariance xx, xy, yy of a times the shift from the exposure's noise, and of the shift from
        the template's; the weighted power of the instrument's slopes, and the same times the
        exposure's share. Covariances are NaN where not informative.
    """

    flux: FloatArray
    informative: BoolArray
    doubt: FloatArray
    sums: FloatArray


def informed(
    shift: FloatArray,
    splines: Splines,
    of: tuple[Boxes, PixelNoise],
    expected: FloatArray,
    frees_background: bool,
) -> Informed:
    """Return what estimates that end at some shifts are worth.

    Parameters
    ----------
    shift : float64 array, shape (n, 2)
        x and y, pixels.
    splines : tuple of float32 arrays, shape (n, template side, template side)
        Coefficients of instruments and templates.
    of : tuple
        Boxes, and the noise of their pixels.
    expected : float64 array, shape (n, 4)
        Products of the template's noise with the instruments'.
    frees_background : bool
        Whether b is an unknown; if not, it is 0.
    """
    boxes, noise = of
    known = (*boxes,), (*noise,), expected, frees_background
    return Informed(*_informed(shift, splines, known))


NoiseTuple: TypeAlias = tuple[Float32Array, Float32Array, Float32Array, np.float32]
#: Boxes, the noise of their pixels, expected products, and whether b is an unknown.
Known: TypeAlias = tuple[BoxTuple, NoiseTuple, FloatArray, bool]
#: A `Workspace`, and room for the noise of a source's pixels.
Room: TypeAlias = tuple[Workspace, Float32Array]
#: The fields of `Informed`.
Told: TypeAlias = tuple[FloatArray, BoolArray, FloatArray, FloatArray]
#: Coefficients of instruments and templates, or of one of each.
Splines: TypeAlias = tuple[Float32Array, Float32Array]
#: Splines, extent and length of a box, margin about it, and expected products.
Source: TypeAlias = tuple[Splines, tuple[IntArray, int], int, FloatArray]
#: Where surfaces and sums are written.
Desk: TypeAlias = tuple[Workspace, tuple[BandTuple, Float32Array, FloatArray]]


@compiled
def _informed(shift: FloatArray, splines: Splines, known: Known) -> Told:
    """Return the fields of `Informed`."""
    boxes, (instrument, template) = known[0], splines
    n, side = boxes[0].shape[0], boxes[0].shape[1]
    margin = (template.shape[1] - side) // 2
    told, room = nothing_told(n), room_of(side)
    posed = workband(), np.zeros((_N, _N + 1), np.float32), np.empty((_N, _N + 1))
    for i in range(n):
        box = boxes[2][i], boxes_laid_out(boxes, i, room[0][1])
        source = (instrument[i], template[i]), box, margin, known[2][i]
        look(shift[i, 0], shift[i, 1], source, (room[0], posed))
        tell(i, posed[2], known, room, told)
    return told


@compiled
def look(x: float, y: float, source: Source, desk: Desk) -> None:
    """Write a source's surfaces and sums at a shift."""
    splines, box, margin, _ = source
    work, (band, found, sums) = desk
    fill_band(x, y, margin, band)
    sums_at(band, splines, box, work, found)
    doubled(found, sums)


@compiled
def nothing_told(n: int) -> Told:
    """Return the fields of an `Informed` to be filled, of n sources."""
    return np.full(n, np.nan), np.zeros(n, np.bool_), np.ones(n), np.zeros((n, 8))


@compiled
def room_of(side: int) -> Room:
    """Return room for what one source after another needs."""
    return workspace(side), rows_apart(3, (side + SPARE) ** 2)


@compiled
def tell(i: int, sums: FloatArray, known: Known, room: Room, told: Told) -> None:
    """Fill in what a source's estimate is worth, at the shift of its surfaces in the room.

    `sums` are the source's, shape (4, 5), see `sums_at`.
    """
    boxes, (sky_weight, variance, share, per_gain), expected, frees_background = known
    flux, informative, doubt, noise_sums = told
    (_, seen, surfaces), planes = room
    matrix, inverse = np.empty((_N, _N)), np.empty((2, _N), np.float32)
    if pose(sums, expected[i], (_ALL, frees_background), matrix):
        doubt[i] = _doubt(expected[i], matrix)
        flux[i] = _inverted(matrix, sums, frees_background, inverse)
        informative[i] = flux[i] > 0
    if not informative[i]:
        inverse[:] = np.nan
    length = laid_out(sky_weight[i], boxes[2][i], planes[0])
    laid_out(variance[i], boxes[2][i], planes[1])
    laid_out(share[i], boxes[2][i], planes[2])
    factors = inverse, np.float32(flux[i] if informative[i] else 0.0), per_gain
    _add_noise(surfaces, length, (seen[0], planes), factors, noise_sums[i])


@compiled
def _doubt(expected: FloatArray, matrix: FloatArray) -> float:
    """Return by how much covariances grow, as the signal is what the noise leaves.

    A relative error e of the noise's power N is one of ``e N / S`` in that of the signal S, and in
    the displacement; to the next order, as 1 / S is what counts. The axis with the least signal
    tells of both.
    """
    of_noise: float = max(expected[0] / matrix[0, 0], expected[1] / matrix[1, 1], 0.0)
    relative2: float = (_NOISE_DOUBT * of_noise) ** 2
    return 1.0 + relative2 + relative2 * relative2


@compiled
def _inverted(
    matrix: FloatArray, sums: FloatArray, frees_background: bool, inverse: Float32Array
) -> float:
    """Fill the first two rows of a matrix's inverse; return the flux."""
    flux = 0.0
    for k in range(_N):
        unit = np.zeros(_N)
        unit[k] = 1.0
        eliminate(matrix.copy(), unit)
        inverse[0, k], inverse[1, k] = unit[0], unit[1]
        if k < _N - 1 or frees_background:
            flux += unit[_VALUE] * sums[k, _N]
    return flux


@compiled_sums
def _add_noise(
    surfaces: tuple[Float32Array, Float32Array],
    n: int,
    planes: tuple[Float32Array, Float32Array],
    factors: tuple[Float32Array, np.float32, np.float32],
    sums: FloatArray,
) -> None:
    """Write the sums of one source; `planes` are weight, and sky's weight, variance and share."""
    own, template = surfaces[0], surfaces[1][2]
    weights, of_sky = planes
    inverse, flux, per_gain = factors
    x0, x1, x2, x3 = inverse[0, 0], inverse[0, 1], inverse[0, 2], inverse[0, 3]
    y0, y1, y2, y3 = inverse[1, 0], inverse[1, 1], inverse[1, 2], inverse[1, 3]
    none, unit = np.float32(0), np.float32(1)
    xx = xy = yy = their_xx = their_xy = their_yy = power = shared = none
    for j in range(n):
        weight, sky = weights[j], of_sky[0, j]
        d_x, d_y, value = own[0, j], own[1, j], own[2, j]
        growth = unit + max(flux * template[j], none) * sky * per_gain
        variance = growth / sky if sky > none else none
        of_template = of_sky[1, j] * growth
        # By how much the pixel's error moves the estimate.
        x = weight * (x0 * d_x + x1 * d_y + x2 * value + x3)
        y = weight * (y0 * d_x + y1 * d_y + y2 * value + y3)
        xx += x * x * variance
        xy += x * y * variance
        yy += y * y * variance
        their_xx += x * x * of_template
        their_xy += x * y * of_template
        their_yy += y * y * of_template
        steep = weight * (d_x * d_x + d_y * d_y)
        power += steep
        shared += steep * of_sky[2, j]
    sums[0], sums[1], sums[2] = xx, xy, yy
    sums[3], sums[4], sums[5] = their_xx, their_xy, their_yy
    sums[6], sums[7] = power, shared
