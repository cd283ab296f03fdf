"""Values of a chip between its pixels, gathered where grid pixels fall on it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.grid_units import PartInGridUnits, bands, in_grid_units
from alignsvc.numerics.sky.pixel_map import PixelMap

#: Pixels that a kernel needs on either side of a place; shorter kernels are filled with zeros.
_REACH = 3
#: Phases at which kernels are tabulated, linear between them: right to 6e-6 of the peak.
_PHASES = 256

#: Columns of the table, six of which are used, and of a pixel's row that are read.
_COLUMNS = 16
_BEHIND = _REACH + _COLUMNS - 6
_ONE, _WIDTH = np.uint64(1), np.uint64(_COLUMNS)
#: Kernels by the distance from the place, chip pixels. Lanczos: Duchon 1979, J. Appl. Meteorology
#: 18, 1016; cubic: Keys 1981, IEEE Trans. ASSP 29, 1153, a = -1/2.
KERNELS = ("lanczos3", "cubic", "bilinear")


class Mended(NamedTuple):
    """A chip without holes, per grid pixel's area, to gather from.

    Attributes
    ----------
    pixels : float32 array, shape (ny + 6 + 10, nx + 6 + 10)
        Bad pixels hold the mean of their good neighbours; beyond the chip its edge continues, by
        3 pixels before and 13 behind, the last 10 of which are read and not used.
    weights : float32 array, shape (ny, nx)
        Of values so scaled, over area: their sum over grid pixels is that of the chip's weights.
    bad, near_bad : bool arrays, shape (ny + 6, nx + 6), or (0, 0) if no pixel is bad
        Which have no weight (False beyond the chip), and from where a kernel reaches any of them.
    """

    pixels: Float32Array
    weights: Float32Array
    bad: BoolArray
    near_bad: BoolArray


def kernel_table(kernel: str) -> Float32Array:
    """Return weights of the six pixels about a place, by its phase: ``(258, 16)``, rows sum to 1.

    A place of phase p lies p beyond the third of them. Columns beyond the sixth, and a row beyond
    phase 1, hold zeros.
    """
    phase = np.linspace(0.0, 1.0, _PHASES + 1)[:, None]
    distance = np.abs(np.arange(-2, 4) - phase)
    if kernel == "lanczos3":
        weight = np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0.0)
    elif kernel == "cubic":
        near = (1.5 * distance - 2.5) * distance**2 + 1
        far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
        weight = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    else:
        weight = np.clip(1 - distance, 0.0, None)
    table = np.zeros((_PHASES + 2, _COLUMNS), np.float32)
    table[:-1, :6] = weight / weight.sum(axis=1, keepdims=True)
    return table


def mended(chip: CalibratedChip, pixel_map: PixelMap) -> Mended:
    """Return a chip to gather from; a bad pixel with no good one beside it holds 0."""
    ny, nx = chip.shape
    pixels = np.empty((ny + _REACH + _BEHIND, nx + _REACH + _BEHIND), np.float32)
    weights = np.empty(chip.shape, np.float32)
    inner = pixels[_REACH:-_BEHIND, _REACH:-_BEHIND]
    room = PartInGridUnits.empty(PixelBox(0, 0, 0, 0))
    for band in bands(pixel_map.box):
        room = room if room.area.shape == band.shape else PartInGridUnits.empty(band)
        part = in_grid_units(chip, pixel_map, band, None, room)
        rows = slice(band.y0, band.y1)
        inner[rows] = part.pixels
        np.divide(part.weight, part.area, out=weights[rows])
    bad = near_bad = np.zeros((0, 0), bool)
    if not weights.all():
        bad = np.pad(weights == 0, _REACH)
        near_bad = np.zeros_like(bad)
        _fill(weights, pixels)
        _mark(bad, near_bad)
    pixels[_REACH:-_BEHIND, :_REACH] = inner[:, :1]
    pixels[_REACH:-_BEHIND, -_BEHIND:] = inner[:, -1:]
    pixels[:_REACH] = pixels[_REACH]
    pixels[-_BEHIND:] = pixels[-_BEHIND - 1]
    return Mended(pixels, weights, bad, near_bad)


@compiled
def _fill(weights: Float32Array, pixels: Float32Array) -> None:
    ny, nx = weights.shape
    for y in range(ny):
        for x in range(nx):
            if weights[y, x] > 0:
                continue
            total, n = np.float32(0.0), 0
            for j in range(max(y - 1, 0), min(y + 2, ny)):
                for i in range(max(x - 1, 0), min(x + 2, nx)):
                    if weights[j, i] > 0:
                        total += pixels[j + _REACH, i + _REACH]
                        n += 1
            if n:
                pixels[y + _REACH, x + _REACH] = total / np.float32(n)


@compiled
def _mark(bad: BoolArray, near: BoolArray) -> None:
    """Mark what lies within a kernel's reach of a bad pixel that has a good neighbour."""
    ny, nx = bad.shape
    for y in range(_REACH, ny - _REACH):
        for x in range(_REACH, nx - _REACH):
            if bad[y, x] and not bad[y - 1 : y + 2, x - 1 : x + 2].all():
                near[y - _REACH : y + _REACH + 1, x - _REACH : x + _REACH + 1] = True


@compiled
def gather(
    chip: Mended,
    positions: FloatArray,
    kernel: tuple[Float32Array, float],
    out: tuple[Float32Array, Float32Array],
) -> None:
    """Write value x weight and weight of grid pixels, 0 where they lie beside the chip.

    Parameters
    ----------
    chip : Mended
    positions : float64 array, shape (2, rows, columns)
        Chip x and y of the grid pixels; NaN = beside the chip.
    kernel : tuple
        The table, and the largest part of the kernel's weights that bad pixels may carry.
    out : two float32 arrays, shape (rows, columns)
    """
    numerator, total = out
    flat, by_phase = chip.pixels.reshape(-1), kernel[0].reshape(-1)
    wide = np.uint64(chip.pixels.shape[1])
    first = np.empty(numerator.shape[1], np.int64)
    phase = np.empty((2, numerator.shape[1]), np.float32)
    for r in range(numerator.shape[0]):
        _locate(chip, (positions[0, r], positions[1, r]), kernel, (first, phase, total[r]))
        _sum((flat, wide), by_phase, (first, phase[0], phase[1]), (total[r], numerator[r]))


@compiled
def _locate(
    chip: Mended,
    place: tuple[FloatArray, FloatArray],
    kernel: tuple[Float32Array, float],
    out: tuple[IntArray, Float32Array, Float32Array],
) -> None:
    """Write the first of the pixels about each place, its phases in rows of the table, weight."""
    table, most_bad = kernel
    first, phase, weight = out
    ny, nx = chip.weights.shape
    steps, wide, mends = np.float32(_PHASES), chip.pixels.shape[1], chip.near_bad.size > 0
    for c in range(len(first)):
        x, y = place[0][c], place[1][c]
        weight[c] = np.float32(0.0)
        if not (x >= -0.5 and x < nx - 0.5 and y >= -0.5 and y < ny - 0.5):
            continue
        # In the plane that is 3 pixels wider, 2 pixels before.
        i, j = int(x + 1.0), int(y + 1.0)
        phase[0, c], phase[1, c] = np.float32(x + 1.0 - i) * steps, np.float32(y + 1.0 - j) * steps
        first[c] = j * wide + i
        if mends and chip.near_bad[j + 2, i + 2]:
            bad = chip.bad[j : j + 6, i : i + 6]
            if _bad_part(bad, table[int(phase[0, c])], table[int(phase[1, c])]) > most_bad:
                continue
        weight[c] = chip.weights[int(y + 0.5), int(x + 0.5)]


@compiled_sums
def _sum(
    pixels: tuple[Float32Array, np.uint64],
    by_phase: Float32Array,
    place: tuple[IntArray, Float32Array, Float32Array],
    out: tuple[Float32Array, Float32Array],
) -> None:
    """Write weight times the sum of pixels times kernel, where there is weight.

    The sixteen columns of a sum, six of them with weight, are as many as compilers need to make
    it one of vectors.
    """
    flat, wide = pixels
    first, phase_x, phase_y = place
    for c in range(len(first)):
        out[1][c] = np.float32(0.0)
        if not out[0][c] > 0:
            continue
        whole_x, whole_y = int(phase_x[c]), int(phase_y[c])
        part_x, part_y = phase_x[c] - np.float32(whole_x), phase_y[c] - np.float32(whole_y)
        x, y = np.uint64(whole_x) * _WIDTH, np.uint64(whole_y) * _WIDTH
        y0 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        y += _ONE
        y1 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        y += _ONE
        y2 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        y += _ONE
        y3 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        y += _ONE
        y4 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        y += _ONE
        y5 = by_phase[y] + part_y * (by_phase[y + _WIDTH] - by_phase[y])
        row0 = np.uint64(first[c])
        row1, row2 = row0 + wide, row0 + wide + wide
        row3, row4, row5 = row2 + wide, row2 + wide + wide, row2 + wide + wide + wide
        value = np.float32(0.0)
        for column in range(_COLUMNS):
            k = np.uint64(column)
            kernel_x = by_phase[x + k] + part_x * (by_phase[x + _WIDTH + k] - by_phase[x + k])
            value += kernel_x * (
                y0 * flat[row0 + k] + y1 * flat[row1 + k] + y2 * flat[row2 + k]
                + y3 * flat[row3 + k] + y4 * flat[row4 + k] + y5 * flat[row5 + k]
            )  # fmt: skip
        out[1][c] = value * out[0][c]


@compiled
def _bad_part(bad: BoolArray, kx: Float32Array, ky: Float32Array) -> float:
    """Return the part of a kernel's weights, their signs left aside, that bad pixels carry."""
    carried, whole = 0.0, 0.0
    for j in range(6):
        for i in range(6):
            weight = abs(kx[i] * ky[j])
            whole += weight
            if bad[j, i]:
                carried += weight
    return carried / whole
