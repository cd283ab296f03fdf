"""What can be said of templates where a fit starts, before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.splines.bands import fill_band
from alignsvc.numerics.displacement.splines.posed import LEAST_SIGNAL, MOST_NOISE, eliminate, pose
from alignsvc.numerics.displacement.splines.surface_sums import (
    add_products,
    doubled,
    laid_out,
    total_product,
    workband,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import SPARE, copy_row, surface
from alignsvc.numerics.displacement.windows.pairs import PairStack

#: How far the power of slopes less that of noise can be off, in parts of the noise, where it is to
#: tell a width: the noise of these few pixels may be more, too.
_POWER_DOUBT = 0.3
#: Of the aperture of a source at the limit, in widths of its core (1.8 FWHM are 4.2 sigma), and how
#: well that tells the square of the width.
_WIDTHS_OF_APERTURE, _WIDTH_DOUBT = 4.0, 0.7
#: Unknowns: a dx, a dy, a, b.
_N, _VALUE = 4, 2
#: Typed: a constant that is written out makes a function of its own.
_FREE = cast(bool, np.bool_(True))


@dataclass(frozen=True, slots=True, eq=False)
class Outset:
    """Templates at the start of a fit.

    Parameters
    ----------
    template : float32 array, shape (n, side, side)
    flux : float64 array, shape (n,)
        By which it fits the exposure; 0 where nothing does.
    width_px : float64 array, shape (n,)
        Sigma of the Gaussian with the same ``sum T^2 / sum |dT|^2``: it follows the core that
        carries the information, not the wings.
    slope_noise : float64 array, shape (n,)
        Power of the slopes that is noise, over that which is signal.
    """

    template: Float32Array
    flux: FloatArray
    width_px: FloatArray
    slope_noise: FloatArray

    @classmethod
    def of(cls, pairs: PairStack, weight: Float32Array, start: Points) -> Outset:
        """Return what the templates moved by `start` say under some weights."""
        factors = pairs.texture.factors(np.zeros(len(pairs)), pairs.kernel, start)
        planes = pairs.pixels, weight, pairs.template_variance
        template, told = _set_out(
            pairs.spline.checked(start, pairs.side),
            pairs.spline.rows,
            (contiguous(planes[0]), contiguous(planes[1]), contiguous(planes[2])),
            np.concatenate([factors.slope, factors.value[:, None]], axis=1),
            pairs.aperture_px,
        )
        return cls(template, *told)

    @property
    def model(self) -> Float32Array:
        """Template times the flux that fits, shape (n, side, side)."""
        model: Float32Array = self.flux.astype(np.float32)[:, None, None] * self.template
        return model


_Planes: TypeAlias = tuple[Float32Array, Float32Array, Float32Array]


@compiled
def _set_out(
    start: FloatArray,
    spline: Float32Array,
    planes: _Planes,
    factors: FloatArray,
    aperture_px: FloatArray,
) -> tuple[Float32Array, FloatArray]:
    """Return templates, and their fluxes, widths and noise of slopes, shape (3, n)."""
    pixels, weight, variance = planes
    n, side = pixels.shape[0], pixels.shape[1]
    margin = (spline.shape[1] - side) // 2
    template, told = np.empty((n, side, side), np.float32), np.zeros((3, n))
    whole = np.array([0, side, 0, side])
    (scratch, seen, surfaces), band = workspace(side), workband()
    found, sums, matrix = np.zeros((_N, _N + 1), np.float32), np.empty((_N, _N + 1)), np.eye(_N)
    expected = np.zeros(_N)
    for i in range(n):
        length = laid_out(weight[i], whole, seen[0])
        laid_out(pixels[i], whole, seen[1])
        fill_band(start[i, 0], start[i, 1], margin, band)
        surface(spline[i], band, whole, scratch, surfaces[0])
        for y in range(side):
            first = y * (side + SPARE)
            copy_row(surfaces[0][_VALUE, first : first + side], template[i, y])
        add_products(surfaces[0], surfaces[0], length, seen, found)
        doubled(found, sums)
        total = total_product(weight[i], variance[i], whole)
        for k in range(3):
            expected[k] = factors[i, k] * total
        if pose(sums, expected, (MOST_NOISE, _FREE), matrix):
            solution = sums[:, _N].copy()
            eliminate(matrix, solution)
            told[0, i] = solution[_VALUE]
        told[1, i], told[2, i] = _width_and_noise(sums, expected, aperture_px[i])
    return template, told


@compiled
def _width_and_noise(
    sums: FloatArray, expected: FloatArray, aperture_px: float
) -> tuple[float, float]:
    """Return a source's width, pixels, and the power of its slopes' noise over the signal's.

    The signal is the difference of two nearly equal numbers for a faint template, known to
    `_POWER_DOUBT` of the noise; there the aperture tells how wide a source is.
    """
    value = sums[_VALUE, _VALUE]
    height = max(value - expected[_VALUE], LEAST_SIGNAL * value)
    power, noise = sums[0, 0] + sums[1, 1], expected[0] + expected[1]
    by_aperture = height * (_WIDTHS_OF_APERTURE / max(aperture_px, 1.0)) ** 2
    doubt2, prior2 = (_POWER_DOUBT * noise) ** 2, (_WIDTH_DOUBT * by_aperture) ** 2
    known = prior2 / (prior2 + doubt2) if prior2 > 0 else 1.0
    signal = known * (power - noise) + (1 - known) * by_aperture
    # Wider than half of its aperture no source is.
    signal = max(signal, 0.25 * by_aperture)
    if not signal > 0:
        return 1.0, 0.0
    return np.sqrt(height / signal), noise / signal
