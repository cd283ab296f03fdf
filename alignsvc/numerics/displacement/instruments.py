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

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.information import Equations, Outset
from alignsvc.numerics.displacement.noise import NoiseFactors
from alignsvc.numerics.displacement.posed import LEAST_SIGNAL
from alignsvc.numerics.displacement.spline import BASIS_VARIANCE_PX2, TemplateSpline
from alignsvc.numerics.displacement.surfaces import Boxes, trial_sums

#: Bounds of a Gaussian's variance: in squares of the core's width, in px^2 (a spline is not
#: narrower), and in squares of the aperture.
_LEAST_OF_CORE, _LEAST_PX2, _MOST_OF_APERTURE = 0.12, 0.6, 0.25


@dataclass(frozen=True, slots=True, eq=False)
class GaussianProfiles:
    """Elliptical Gaussians of unit sum.

    Parameters
    ----------
    centre : Points, shape (n,)
        Pixels of a box.
    xx, xy, yy : float64 arrays, shape (n,)
        Covariance, px^2.
    """

    centre: Points
    xx: FloatArray
    xy: FloatArray
    yy: FloatArray

    def wider(self, variance_px2: FloatArray | float) -> GaussianProfiles:
        """Return them convolved with round Gaussians; a negative variance takes one away."""
        return replace(self, xx=self.xx + variance_px2, yy=self.yy + variance_px2)

    def sampled(self, side: int) -> Float32Array:
        """Return the values at the pixels of a box, shape (n, side, side)."""
        step = np.arange(side)
        x, y = step - self.centre.x[:, None], step - self.centre.y[:, None]
        determinant = self.xx * self.yy - self.xy**2
        xx, xy, yy = ((c / determinant)[:, None] for c in (self.yy, -self.xy, self.xx))
        norm = np.log(2 * np.pi * np.sqrt(determinant))[:, None]
        along_x, along_y = -0.5 * xx * x**2, -0.5 * yy * y**2 - norm
        across = (-xy * x).astype(np.float32)[:, None, :] * y.astype(np.float32)[:, :, None]
        across += along_x.astype(np.float32)[:, None, :]
        across += along_y.astype(np.float32)[:, :, None]
        values: Float32Array = np.exp(across, out=across)
        return values


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
        first, last = self.sets_in
        faint = np.flatnonzero(outset.slope_noise > first)
        if not faint.size:
            return equations
        noise, smoothing = outset.slope_noise[faint], smoothing_px[faint]
        at = Points(start.x[faint], start.y[faint])
        pairs = equations.pairs
        # Of products of two smoothed templates.
        factors = pairs.texture.select(faint).factors(np.sqrt(2) * smoothing, pairs.kernel, at)
        templates = _Templates.of(equations, faint, at, factors)
        profiles = templates.profiles(outset.width_px[faint], smoothing)
        profiles = profiles.wider(-BASIS_VARIANCE_PX2)
        smoothed = profiles.wider(smoothing**2).sampled(templates.spline.side)
        flux = _amplitude(templates.spline.coefficients, smoothed)
        flux *= np.clip((noise - first) / (last - first), 0, 1)
        kept = np.where(flux > 0, self.half / (noise + self.half), 1.0)
        model = profiles.sampled(templates.spline.side)
        model -= _each(kept) * smoothed
        model *= _each(flux)
        model += _each(kept) * templates.spline.coefficients
        return _exchanged(equations, faint, model, kept)


@dataclass(frozen=True, slots=True, eq=False)
class _Templates:
    """Smoothed templates, their values where the fit starts, and moments of these.

    Parameters
    ----------
    spline : TemplateSpline
    value : float32 array, shape (n, side, side)
    corner : Points, shape (n,)
        Of the values in the spline's box.
    weight : float32 array, shape (n, side, side)
    moments : float64 array, shape (n, 3, 3)
        Weighted sums of products of slopes and value, less those expected of the noise.
    aperture_px : float64 array, shape (n,)
    """

    spline: TemplateSpline
    value: Float32Array
    corner: Points
    weight: Float32Array
    moments: FloatArray
    aperture_px: FloatArray

    @classmethod
    def of(
        cls, equations: Equations, which: IntArray, start: Points, factors: NoiseFactors
    ) -> _Templates:
        pairs, spline = equations.pairs, equations.instrument.select(which)
        weight = equations.weight[which]
        boxes = Boxes(*(read_only(one[which]) for one in equations.boxes))
        sums = trial_sums(spline.bands(start, pairs.side), spline.rows, spline.rows, boxes)
        moments, rows = sums[:, :3, :3].astype(np.float64), weight.reshape(len(which), -1)
        noise = np.vecdot(rows, pairs.template_variance[which].reshape(rows.shape))
        for plane, factor in enumerate((*factors.slope.T, factors.value)):
            moments[:, plane, plane] -= np.minimum(
                factor * noise, (1 - LEAST_SIGNAL) * moments[:, plane, plane]
            )
        margin = (pairs.spline.side - pairs.side) // 2
        corner = Points(margin + start.x, margin + start.y)
        value = spline.values(start, pairs.side)
        return cls(spline, value, corner, weight, moments, pairs.aperture_px[which])

    def profiles(self, width_px: FloatArray, smoothing_px: FloatArray) -> GaussianProfiles:
        """Return the Gaussians of the templates before the smoothing.

        For a Gaussian of covariance C, ``sum dT dT^T = C^-1 / 2 sum T^2``: the moments of the
        slopes see the core, where second moments of T^2 see the wings and what lies in them.
        """
        power = self.moments[:, 2, 2]
        inverse = np.divide(2, power, out=np.zeros_like(power), where=power > 0)
        xx, xy, yy = (inverse * self.moments[:, i, j] for i, j in ((0, 0), (0, 1), (1, 1)))
        half, across = 0.5 * (xx - yy), np.hypot(0.5 * (xx - yy), xy)
        least = np.maximum(_LEAST_OF_CORE * width_px**2, _LEAST_PX2)
        most = np.maximum(_MOST_OF_APERTURE * self.aperture_px**2, least)
        with np.errstate(divide="ignore"):
            narrow, wide = (
                np.clip(1 / np.maximum(p, 0) - smoothing_px**2, least, most)
                for p in (0.5 * (xx + yy) + across, 0.5 * (xx + yy) - across)
            )
        mean, stretch = 0.5 * (wide + narrow), 0.5 * (wide - narrow)
        stretch = np.divide(stretch, across, out=np.zeros_like(across), where=across > 0)
        return GaussianProfiles(
            self._middle(), mean - stretch * half, -stretch * xy, mean + stretch * half
        )

    def _middle(self) -> Points:
        """Return the means of the places, weighted with T^2, in the spline's box."""
        light = self.weight * self.value**2
        along_x, along_y = light.sum(axis=1), light.sum(axis=2)
        step = np.arange(light.shape[-1])
        total = np.maximum(along_x.sum(axis=1), np.finfo(np.float32).tiny)
        return Points(
            self.corner.x + along_x @ step / total, self.corner.y + along_y @ step / total
        )


def _amplitude(coefficients: Float32Array, profile: Float32Array) -> FloatArray:
    """Return by how much the profiles fit the coefficients, not below 0."""
    pixels = profile.shape[-1] ** 2
    rows = profile.reshape(-1, pixels)
    fitting = np.vecdot(rows, coefficients.reshape(-1, pixels)) / np.vecdot(rows, rows)
    amplitude: FloatArray = np.maximum(fitting, 0).astype(np.float64)
    return amplitude


def _exchanged(
    equations: Equations, which: IntArray, instrument: Float32Array, kept: FloatArray
) -> Equations:
    """Return equations with some instruments exchanged that keep a part of the template's noise."""
    coefficients, slope = equations.instrument.coefficients, equations.factors.slope.copy()
    if len(which) < len(coefficients):
        coefficients = coefficients.copy()
        coefficients[which] = instrument
    else:
        coefficients = instrument
    value = equations.factors.value.copy()
    slope[which] *= kept[:, None]
    value[which] *= kept
    return replace(
        equations,
        instrument=TemplateSpline(coefficients),
        factors=NoiseFactors(value=value, slope=slope),
    )


def _each(number: FloatArray) -> Float32Array:
    """Return numbers of sources for products with their frames."""
    column: Float32Array = number.astype(np.float32)[:, None, None]
    return column
