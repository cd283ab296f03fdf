"""Spline surfaces at shifted pixels, and sums over them: one source after another, in the cache.

A shift is the same for all pixels of a box, so that value and slopes are products of six weights
along y and six along x. A box is laid out as one long row with `SPARE` pixels after each of its
lines; a product is then one sum of moved copies of the whole, which fills the lanes of a processor
however small the box, and what comes out in the spare pixels has no weight. Only the part of a box
is looked at that has any weight.

Compiled functions are handed plain tuples: loops that make a band themselves have no other, and for
each named kind of tuple a loop would be compiled once more.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, IntArray, contiguous, read_only
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.bands import KNOTS, Bands

#: Pixels between two lines of a box.
SPARE = KNOTS - 1
#: The step to the next value: typed, for a number written out makes a function of its own.
_NEXT = cast(int, np.int64(1))


class Boxes(NamedTuple):
    """Boxes of an exposure's pixels.

    Parameters
    ----------
    pixels, weight : float32 arrays, shape (n, side, side)
    extent : int64 array, shape (n, 4)
        First row with weight and the one after the last, then columns.
    """

    pixels: Float32Array
    weight: Float32Array
    extent: IntArray

    @classmethod
    def of(cls, pixels: Float32Array, weight: Float32Array) -> Boxes:
        """Return the boxes of these planes, in the form that the sums are compiled for."""
        plain = contiguous(weight)
        return cls(contiguous(pixels), plain, extents(plain))


class PixelNoise(NamedTuple):
    """What the errors of the pixels do to estimates.

    Parameters
    ----------
    inverse : float32 array, shape (n, 2, 4)
        By how much the estimates along x and y answer to the sums with the instruments.
    flux : float32 array, shape (n,)
        Of the source over its template's, not negative.
    sky_weight, template_variance, share : float32 arrays, shape (n, side, side)
    per_gain : float
        One over the electrons per unit; 0: the sources' own noise is left out.
    """

    inverse: Float32Array
    flux: Float32Array
    sky_weight: Float32Array
    template_variance: Float32Array
    share: Float32Array
    per_gain: np.float32


def extents(weight: Float32Array) -> IntArray:
    """Return which rows and columns of planes (n, side, side) are not all 0, as in `Boxes`."""
    return read_only(_extents(weight))


@compiled
def _extents(weight: Float32Array) -> IntArray:
    found = np.empty((len(weight), 4), np.int64)
    for i in range(len(weight)):
        found[i, 0], found[i, 1], found[i, 2], found[i, 3] = extent_of(weight[i])
    return found


@compiled
def extent_of(plane: Float32Array) -> tuple[int, int, int, int]:
    """Return the first row that is not all 0, the one after the last, and such columns."""
    side = plane.shape[0]
    first_row, end_row, first, end = side, 0, side, 0
    for y in range(side):
        x = 0
        while x < side and plane[y, x] == 0:
            x += 1
        if x == side:
            continue
        first_row, end_row, first = min(first_row, y), y + 1, min(first, x)
        x = side
        while x > end and plane[y, x - 1] == 0:
            x -= 1
        end = x
    return (first_row, end_row, first, end) if end_row else (0, 0, 0, 0)


def trial_sums(
    bands: Bands,
    instrument: Float32Array,
    template: Float32Array,
    boxes: Boxes,
) -> Float32Array:
    """Return the weighted sums of products of instruments with templates and pixels.

    Parameters
    ----------
    bands : Bands
    instrument, template : float32 arrays, shape (n, template side, template side)
        Coefficients.
    boxes : Boxes

    Returns
    -------
    float32 array, shape (n, 4, 5)
        Slopes along x and y, value and 1 of the instrument times the same of the template, and
        times the pixels.
    """
    return _trial_sums(_own(bands), instrument, template, (*boxes,))


def noise_sums(
    bands: Bands,
    instrument: Float32Array,
    template: Float32Array,
    of: tuple[Boxes, PixelNoise],
) -> Float32Array:
    """Return what the errors of pixels add up to in estimates; parameters as of `trial_sums`.

    Returns
    -------
    float32 array, shape (n, 8)
        Covariance xx, xy, yy from the exposure's noise and from the template's, the weighted
        power of the instrument's slopes, and the same times the exposure's share.
    """
    boxes, noise = of
    return _noise_sums(_own(bands), instrument, template, (*boxes, *noise))


def surfaces(bands: Bands, coefficients: Float32Array, side: int) -> Float32Array:
    """Return slopes along x and y, value and 1, shape (n, 4, side, side)."""
    return _surfaces(_own(bands), coefficients, read_only(np.array([0, side, 0, side])))


def values_at(bands: Bands, coefficients: Float32Array, side: int) -> Float32Array:
    """Return values alone at each template's own shift, shape (n, side, side)."""
    return _values_at(_own(bands), coefficients, side)


_Bands: TypeAlias = tuple[IntArray, Float32Array]


def _own(bands: Bands) -> _Bands:
    """Return bands as loops that make one themselves have it: writable."""
    return bands.first.copy(), bands.weights.copy()


@compiled
def _trial_sums(
    bands: _Bands,
    instrument: Float32Array,
    template: Float32Array,
    boxes: tuple[Float32Array, Float32Array, IntArray],
) -> Float32Array:
    """Return the sums of sources one by one."""
    first, weights = bands
    work = workspace(boxes[0].shape[1])
    sums = np.zeros((len(first), 4, 5), np.float32)
    for i in range(len(first)):
        splines = instrument[i], template[i]
        sums_at(i, (first[i], weights[i]), splines, boxes, (work, sums[i]))
    return sums


_Workspace: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]


@compiled
def workspace(side: int) -> _Workspace:
    """Return room for the surfaces of one source after another."""
    size = (side + SPARE) ** 2
    return (
        np.zeros((3, size + SPARE), np.float32),
        np.zeros((2, size), np.float32),
        np.zeros((2, 3, size), np.float32),
    )


@compiled
def sums_at(
    i: int,
    band: _Bands,
    splines: tuple[Float32Array, Float32Array],
    boxes: tuple[Float32Array, Float32Array, IntArray],
    into: tuple[_Workspace, Float32Array],
) -> None:
    """Write one source's sums, shape (4, 5); see `trial_sums`."""
    (scratch, seen, found), sums = into
    extent = boxes[2][i]
    n = _laid_out(boxes[1][i], extent, seen[0])
    _laid_out(boxes[0][i], extent, seen[1])
    for one in range(2):
        _surface(splines[one], band, extent, scratch, found[one])
    _add_products(found, n, seen, sums)


_BoxesAndNoise: TypeAlias = tuple[
    Float32Array,
    Float32Array,
    IntArray,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    np.float32,
]


@compiled_sums
def _noise_sums(
    bands: _Bands,
    instrument: Float32Array,
    template: Float32Array,
    of: _BoxesAndNoise,
) -> Float32Array:
    """Return the sums of sources one by one."""
    first, weights = bands
    _, weight, extents_of, inverse, flux, sky_weight, template_variance, share, per_gain = of
    size = (weight.shape[1] + SPARE) ** 2
    scratch, seen = np.zeros((3, size + SPARE), np.float32), np.zeros((4, size), np.float32)
    found, sums = np.zeros((2, 3, size), np.float32), np.zeros((len(first), 8), np.float32)
    for i in range(len(first)):
        extent = extents_of[i]
        n = _laid_out(weight[i], extent, seen[0])
        _laid_out(sky_weight[i], extent, seen[1])
        _laid_out(template_variance[i], extent, seen[2])
        _laid_out(share[i], extent, seen[3])
        for one in range(2):
            spline = (instrument, template)[one][i]
            _surface(spline, (first[i], weights[i]), extent, scratch, found[one])
        factors = (inverse[i], flux[i], per_gain)
        _add_noise(found, n, seen, factors, sums[i])
    return sums


@compiled_sums
def _surfaces(bands: _Bands, coefficients: Float32Array, extent: IntArray) -> Float32Array:
    """Return the planes of sources one by one."""
    first, weights = bands
    side = extent[1]
    size = (side + SPARE) ** 2
    scratch, found = np.zeros((3, size + SPARE), np.float32), np.zeros((3, size), np.float32)
    planes = np.ones((len(coefficients), 4, side, side), np.float32)
    for i in range(len(coefficients)):
        _surface(coefficients[i], (first[i], weights[i]), extent, scratch, found)
        for plane in range(3):
            for y in range(side):
                start = y * (side + SPARE)
                for x in range(side):
                    planes[i, plane, y, x] = found[plane, start + x]
    return planes


@compiled_sums
def _values_at(bands: _Bands, coefficients: Float32Array, side: int) -> Float32Array:
    """Return the values of sources one by one."""
    first, weights = bands
    row = side + SPARE
    region = np.zeros(row * row, np.float32)
    lines, line = np.zeros(side * row + SPARE, np.float32), np.zeros(side * row, np.float32)
    found = np.empty((len(coefficients), side, side), np.float32)
    for i in range(len(coefficients)):
        top, left = first[i, 0], first[i, 1]
        for y in range(row):
            for x in range(row):
                region[y * row + x] = coefficients[i, top + y, left + x]
        _filtered(region, row, weights[i, 0, 0], lines[: side * row])
        _filtered(lines, _NEXT, weights[i, 1, 0], line)
        for y in range(side):
            for x in range(side):
                found[i, y, x] = line[y * row + x]
    return found


@compiled_sums
def _surface(
    coefficients: Float32Array,
    band: tuple[IntArray, Float32Array],
    extent: IntArray,
    scratch: Float32Array,
    planes: Float32Array,
) -> None:
    """Fill planes (3, size) with slopes along x and y and the value, laid out."""
    first, weights = band
    height, row = extent[1] - extent[0], extent[3] - extent[2] + SPARE
    n = height * row
    if height == 0:
        return
    region = scratch[0]
    top, left = first[0] + extent[0], first[1] + extent[2]
    for y in range(height + SPARE):
        for x in range(row):
            region[y * row + x] = coefficients[top + y, left + x]
    # Value and slope along y, then slopes along x and y and the value: a call in a loop is
    # compiled once, as five calls it would be five times.
    for along_y in range(2):
        _filtered(region, row, weights[0, along_y], scratch[1 + along_y, :n])
        scratch[1 + along_y, n : n + SPARE] = 0
    for plane in range(3):
        along_y, along_x = int(plane == 1), int(plane == 0)
        _filtered(scratch[1 + along_y], _NEXT, weights[1, along_x], planes[plane, :n])


@compiled_sums
def _filtered(values: Float32Array, step: int, weights: Float32Array, found: Float32Array) -> None:
    """Write ``sum_t weights[t] values[j + t step]`` to each j of `found`."""
    n = len(found)
    w0, w1, w2 = weights[0], weights[1], weights[2]
    w3, w4, w5 = weights[3], weights[4], weights[5]
    v0, v1, v2 = values[:n], values[step : step + n], values[2 * step : 2 * step + n]
    v3, v4 = values[3 * step : 3 * step + n], values[4 * step : 4 * step + n]
    v5 = values[5 * step : 5 * step + n]
    for j in range(n):
        found[j] = (w0 * v0[j] + w1 * v1[j] + w2 * v2[j]) + (w3 * v3[j] + w4 * v4[j] + w5 * v5[j])


@compiled
def _laid_out(plane: Float32Array, extent: IntArray, found: Float32Array) -> int:
    """Write the part of a plane that counts, 0 in the spare pixels; return the length."""
    width = extent[3] - extent[2]
    row = width + SPARE
    for y in range(extent[1] - extent[0]):
        for x in range(width):
            found[y * row + x] = plane[extent[0] + y, extent[2] + x]
        found[y * row + width : (y + 1) * row] = 0
    return int((extent[1] - extent[0]) * row)


@compiled_sums
def _add_products(found: Float32Array, n: int, seen: Float32Array, sums: Float32Array) -> None:
    """Add the sums of one source; `seen` are weight and pixels, `found` own surfaces and theirs."""
    own, theirs = found[0], found[1]
    for plane in range(4):
        x = y = value = one = pixels = np.float32(0)
        for j in range(n):
            weighted = seen[0, j] * own[plane, j] if plane < 3 else seen[0, j]
            x += weighted * theirs[0, j]
            y += weighted * theirs[1, j]
            value += weighted * theirs[2, j]
            one += weighted
            pixels += weighted * seen[1, j]
        sums[plane, 0], sums[plane, 1], sums[plane, 2] = x, y, value
        sums[plane, 3], sums[plane, 4] = one, pixels


@compiled_sums
def _add_noise(
    found: Float32Array,
    n: int,
    seen: Float32Array,
    factors: tuple[Float32Array, np.float32, np.float32],
    sums: Float32Array,
) -> None:
    """Add the sums of one source; `seen` are weight, sky's weight, variance and share."""
    own, template = found[0], found[1, 2]
    inverse, flux, per_gain = factors
    x0, x1, x2, x3 = inverse[0, 0], inverse[0, 1], inverse[0, 2], inverse[0, 3]
    y0, y1, y2, y3 = inverse[1, 0], inverse[1, 1], inverse[1, 2], inverse[1, 3]
    none, unit = np.float32(0), np.float32(1)
    xx = xy = yy = their_xx = their_xy = their_yy = power = shared = none
    for j in range(n):
        weight, sky = seen[0, j], seen[1, j]
        d_x, d_y, value = own[0, j], own[1, j], own[2, j]
        growth = unit + max(flux * template[j], none) * sky * per_gain
        variance = growth / sky if sky > none else none
        of_template = seen[2, j] * growth
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
        shared += steep * seen[3, j]
    sums[0], sums[1], sums[2] = xx, xy, yy
    sums[3], sums[4], sums[5] = their_xx, their_xy, their_yy
    sums[6], sums[7] = power, shared
