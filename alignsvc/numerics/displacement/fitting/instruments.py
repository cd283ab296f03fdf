"""Instruments of faint templates: their Gaussian, and of all else what noise leaves.

A template's slopes as instruments let its noise meet the exposure's, and smoothing that keeps it
out costs information: at S/N 30 against eight others 4 % of the variance. Most of what smoothing
takes away is known, though. Near its middle a source is like the Gaussian G that has its place and
its slopes' moments, and these few numbers gather the signal of all pixels. So the instruments are
those of

    A G + (1 - a) S (T - A G),

with S the smoothing and a growing from 0 to 1 with the noise: a posterior whose prior is G. A
bright template stays what it is, lopsided or not. Of a faint one nothing is claimed: any
instruments give an estimate without bias (see `information`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.fitting.information import Equations
from alignsvc.numerics.displacement.fitting.outset import Outset
from alignsvc.numerics.displacement.splines.bands import fill_band
from alignsvc.numerics.displacement.splines.gaussians import (
    amplitude,
    fill_gaussian,
    fitted_profile,
    wider,
)
from alignsvc.numerics.displacement.splines.posed import LEAST_SIGNAL
from alignsvc.numerics.displacement.splines.spline import BASIS_VARIANCE_PX2, TemplateSpline
from alignsvc.numerics.displacement.splines.surface_sums import (
    BoxTuple,
    laid_out,
    workband,
    workspace,
)
from alignsvc.numerics.displacement.splines.surfaces import SPARE, clear, surface
from alignsvc.numerics.displacement.windows.noise import NoiseFactors

#: Bounds of a Gaussian's variance: in squares of the core's width, in px^2 (a spline is not
#: narrower), and in squares of the aperture.
_LEAST_OF_CORE, _LEAST_PX2, _MOST_OF_APERTURE = 0.12, 0.6, 0.25
#: Light below it is none.
_NO_LIGHT = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class FaintInstruments:
    """How the instruments of faint templates are made.

    Parameters
    ----------
    sets_in : tuple of float
        Power of the slopes that is noise, over that which is signal, from which and up to which
        the Gaussian comes in: stars of S/N 85 and 50 against eight others. For the bright it would
        do nothing.
    half : float
        At which a is a half. With 0.3, a source of S/N 30 against eight others keeps 0.8 of what
        it has beyond the Gaussian, one of S/N 10 a quarter.
    """

    sets_in: tuple[float, float] = (0.01, 0.03)
    half: float = 0.3

    def __call__(
        self, equations: Equations, smoothing_px: FloatArray, outset: Outset, start: Points
    ) -> Equations:
        """Return equations with the instruments of faint templates exchanged.

        Parameters
        ----------
        equations : Equations
            Its instruments are the templates, smoothed.
        smoothing_px : float64 array, shape (n,)
            Sigma of the smoothing.
        outset : Outset
        start : Points, shape (n,)
        """
        noise, pairs = outset.slope_noise, equations.pairs
        faint = np.flatnonzero(noise > self.sets_in[0])
        if not faint.size:
            return equations
        coefficients, kept = _exchanged(
            equations.instrument.rows,
            (*equations.boxes,),
            faint,
            pairs.spline.checked(start, pairs.side),
            self._known(equations, smoothing_px, outset, start),
        )
        factors = equations.factors
        return equations.exchanged(
            TemplateSpline(coefficients),
            NoiseFactors(factors.value * kept, factors.slope * kept[:, None]),
        )

    def _known(
        self, equations: Equations, smoothing_px: FloatArray, outset: Outset, start: Points
    ) -> FloatArray:
        """Return what `_exchanged` asks for."""
        pairs, noise, (first, last) = equations.pairs, outset.slope_noise, self.sets_in
        # Of products of two smoothed templates.
        of_both = pairs.texture.factors(np.sqrt(2) * smoothing_px, pairs.kernel, start)
        least = np.maximum(_LEAST_OF_CORE * outset.width_px**2, _LEAST_PX2)
        most = np.maximum(_MOST_OF_APERTURE * pairs.aperture_px**2, least)
        into, kept = (
            np.clip((noise - first) / (last - first), 0, 1),
            self.half / (noise + self.half),
        )
        expected = equations.expected(of_both)[:, :3]
        return np.column_stack([expected, smoothing_px**2, least, most, into, kept])


@compiled
def _exchanged(
    instrument: Float32Array,
    boxes: BoxTuple,
    faint: IntArray,
    start: FloatArray,
    known: FloatArray,
) -> tuple[Float32Array, FloatArray]:
    """Return instruments, those of faint templates exchanged, and what they keep of the templates.

    Parameters
    ----------
    instrument : float32 array, shape (n, template side, template side)
        Coefficients of smoothed templates.
    boxes : tuple
        As of `Boxes`.
    faint : int64 array
        Which are faint.
    start : float64 array, shape (n, 2)
        x and y.
    known : float64 array, shape (n, 8)
        Expected products of the noise of two smoothed templates, of slopes along x and along y and
        of values; variance of the smoothing, px^2, and between what a Gaussian's must lie; how far
        the Gaussian has come in, and 1 - a there.
    """
    n, side, wide = len(instrument), boxes[0].shape[1], instrument.shape[1]
    margin = (wide - side) // 2
    exchanged, kept, columns = instrument.copy(), np.ones(n), np.empty(side + SPARE, np.float32)
    (scratch, seen, surfaces), band, moments = workspace(side), workband(), np.zeros(6)
    model, smoothed = np.empty((wide, wide), np.float32), np.empty((wide, wide), np.float32)
    for i in faint:
        extent, numbers = boxes[2][i], known[i]
        laid_out(boxes[1][i], extent, seen[0])
        fill_band(start[i, 0], start[i, 1], margin, band)
        surface(instrument[i], band, extent, scratch, surfaces[0])
        _fill_moments(surfaces[0], seen[0], extent, (seen[1], columns), moments)
        _take_off(moments, numbers)
        place = margin + start[i, 0] + moments[4], margin + start[i, 1] + moments[5]
        smoothing2 = numbers[3]
        profile = fitted_profile(moments, place, (smoothing2, numbers[4], numbers[5]))
        fill_gaussian(wider(profile, smoothing2 - BASIS_VARIANCE_PX2), smoothed)
        flux = amplitude(instrument[i], smoothed) * numbers[6]
        if flux > 0:
            kept[i] = numbers[7]
            fill_gaussian(wider(profile, -BASIS_VARIANCE_PX2), model)
            _mix((instrument[i], model, smoothed), (kept[i], flux), exchanged[i])
    return exchanged, kept


@compiled
def _fill_moments(
    planes: Float32Array,
    weight: Float32Array,
    extent: IntArray,
    room: tuple[Float32Array, Float32Array],
    moments: FloatArray,
) -> None:
    """Fill weighted sums of products, xx, xy, yy of slopes, and of values, and a mean place.

    x and y in the box, weighted with the squares of values; `planes` and `weight` are laid out, and
    there is room for another, and for a line.
    """
    light, columns = room
    height, row = extent[1] - extent[0], extent[3] - extent[2] + SPARE
    moments[0], moments[1], moments[2] = _products(planes, weight, light[: height * row])
    clear(columns)
    moments[3] = moments[5] = 0.0
    for y in range(height):
        total = np.float64(_add_line(light[y * row : (y + 1) * row], columns))
        moments[3] += total
        moments[5] += y * total
    total = max(moments[3], _NO_LIGHT)
    moments[4] = extent[2] + np.float64(_ramp_sum(columns[:row])) / total
    moments[5] = extent[0] + moments[5] / total


@compiled_sums
def _products(
    planes: Float32Array, weight: Float32Array, light: Float32Array
) -> tuple[np.float32, np.float32, np.float32]:
    """Write weighted squares of values; return weighted sums of products of slopes."""
    xx = xy = yy = np.float32(0)
    for j in range(len(light)):
        d_x, d_y, value = planes[0, j], planes[1, j], planes[2, j]
        xx += weight[j] * d_x * d_x
        xy += weight[j] * d_x * d_y
        yy += weight[j] * d_y * d_y
        light[j] = weight[j] * value * value
    return xx, xy, yy


@compiled_sums
def _add_line(line: Float32Array, columns: Float32Array) -> np.float32:
    """Add a line to sums of columns; return its own."""
    total = np.float32(0)
    for x in range(len(line)):
        total += line[x]
        columns[x] += line[x]
    return total


@compiled_sums
def _ramp_sum(values: Float32Array) -> np.float32:
    """Return the sum of values times their places."""
    total = np.float32(0)
    for x in range(len(values)):
        total += values[x] * np.float32(x)
    return total


@compiled
def _mix(
    planes: tuple[Float32Array, Float32Array, Float32Array],
    by: tuple[float, float],
    found: Float32Array,
) -> None:
    """Write ``A G + (1 - a) (T - A S G)`` of T, G and S G, by 1 - a and A."""
    template, model, smoothed = planes[0].reshape(-1), planes[1].reshape(-1), planes[2].reshape(-1)
    kept, flux, mixed = np.float32(by[0]), np.float32(by[1]), found.reshape(-1)
    for k in range(len(mixed)):
        mixed[k] = kept * template[k] + flux * (model[k] - kept * smoothed[k])


@compiled
def _take_off(moments: FloatArray, noise: FloatArray) -> None:
    """Take the expected products of noise off those of slopes and values, but for a rest."""
    moments[0] -= min(noise[0], (1 - LEAST_SIGNAL) * moments[0])
    moments[2] -= min(noise[1], (1 - LEAST_SIGNAL) * moments[2])
    moments[3] -= min(noise[2], (1 - LEAST_SIGNAL) * moments[3])
