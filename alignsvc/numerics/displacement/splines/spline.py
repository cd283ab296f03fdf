"""Templates as surfaces: shifted by any amount, with their gradient, many at a time.

A template is blotted once, at the whole pixels of its cutout; the quintic B-spline through
those values *is* the template from there on. A shift is the same for all pixels of a cutout, so
value and gradient are two short sums, along y and along x (`surfaces.py`): microseconds a source.
Quintic, because a cubic loses 6.5 % of a wave of three pixels' length, a quintic 1.6 % (Unser
1999, doi 10.1109/79.799930), and here a higher order costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    contiguous,
    read_only,
)
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.bands import Bands, bands_at
from alignsvc.numerics.displacement.splines.coefficients import spline_coefficients
from alignsvc.numerics.displacement.splines.convolution import convolved, reach_of
from alignsvc.numerics.displacement.splines.half_pixels import half_pixels
from alignsvc.numerics.displacement.splines.surfaces import surfaces, values_at

ORDER = 5
#: Variance of the basis: a box convolved with itself `ORDER` times.
BASIS_VARIANCE_PX2 = (ORDER + 1) / 12
#: Template pixels that a value needs on each side of it.
REACH = (ORDER + 1) // 2
#: A narrower Gaussian is 0 at all pixels but its own.
_LEAST_SIGMA_PX = 0.02
#: Half-pixel phases in the order of the versions of a blot stack.
PHASES = Points(np.array([0.0, 0.5, 0.0, 0.5]), np.array([0.0, 0.0, 0.5, 0.5]))


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Slopes and values of templates at shifted pixels, side by side for products of sums.

    Parameters
    ----------
    planes : float32 array, shape (n, 4, side, side)
        Slope along x, slope along y, value, and 1.
    """

    planes: Float32Array

    @property
    def along_x(self) -> Float32Array:
        """Slopes along x, shape (n, side, side)."""
        return self.planes[:, 0]

    @property
    def along_y(self) -> Float32Array:
        """Slopes along y, shape (n, side, side)."""
        return self.planes[:, 1]

    @property
    def value(self) -> Float32Array:
        """Values, shape (n, side, side)."""
        return self.planes[:, 2]

    @property
    def columns(self) -> Float32Array:
        """The planes as columns of numbers, shape (n, 4, pixels)."""
        n, _, side, _ = self.planes.shape
        return self.planes.reshape(n, 4, side * side)


@dataclass(frozen=True, slots=True, eq=False)
class TemplateSpline:
    """Quintic spline surfaces of templates.

    Parameters
    ----------
    coefficients : float32 array, shape (n, template side, template side)
    """

    coefficients: Float32Array

    @classmethod
    def through(cls, templates: Float32Array) -> TemplateSpline:
        """Return the splines through `templates`, mirrored at their edges."""
        return cls(spline_coefficients(templates))

    @property
    def side(self) -> int:
        """Pixels along a template's side."""
        return int(self.coefficients.shape[-1])

    def largest_shift(self, side: int) -> int:
        """Return the largest shift, in pixels, for which a cutout of `side` needs no more."""
        return (self.side - side) // 2 - REACH + 1

    def select(self, which: BoolArray | IntArray) -> TemplateSpline:
        """Return the splines named by a mask or by indices."""
        return TemplateSpline(self.coefficients[which])

    def smoothed(self, sigma_px: FloatArray) -> TemplateSpline:
        """Return the splines convolved with Gaussians, each with its own width.

        Parameters
        ----------
        sigma_px : float64 array, shape (n,)
            0 changes nothing.
        """
        reach = reach_of(float(sigma_px.max(initial=0.0)), self.side)
        return TemplateSpline(convolved(self.coefficients, gaussian_kernel(sigma_px, reach + 1)))

    def bands(self, shift: Points, side: int) -> Bands:
        """Return what makes each template's surface at ``pixel + shift``, in the middle pixels.

        Parameters
        ----------
        shift : Points, shape (n,)
            Pixels, at most `largest_shift` in size.
        side : int
        """
        first, weights = bands_at(self.checked(shift, side), (self.side - side) // 2)
        return Bands(read_only(first), read_only(weights))

    def checked(self, shift: Points, side: int) -> FloatArray:
        """Return x and y of shifts, shape (n, 2), none of which needs more than the templates have.

        Raises
        ------
        ValueError
            If one does.
        """
        both, largest = np.stack([shift.x, shift.y], axis=1), self.largest_shift(side)
        if np.any(np.abs(both) > largest):
            raise ValueError(
                f"template spline: a shift of {np.abs(both).max():.2f} px, wanted at most "
                f"{largest}; cut templates with a wider margin"
            )
        return both

    def shifted(self, shift: Points, side: int) -> Surface:
        """Return each template at ``pixel + shift``, in the middle `side` x `side` pixels."""
        bands = self.bands(shift, side)
        return Surface(surfaces(bands, self.rows, side))

    def values(self, shift: Points, side: int) -> Float32Array:
        """Return the values of `shifted` alone, shape (n, side, side)."""
        return values_at(self.bands(shift, side), self.rows, side)

    def half_pixel(self, side: int) -> Float32Array:
        """Return the four half-pixel blots, shape (n, 4, side, side), in order of `PHASES`."""
        return half_pixels(self.rows, (self.side - side) // 2, side)

    @property
    def rows(self) -> Float32Array:
        """The coefficients in the one form that compiled sums are made for."""
        return contiguous(self.coefficients)


def gaussian_kernel(sigma_px: FloatArray, side: int) -> FloatArray:
    """Return sampled Gaussians of sum 1 at distances 0 .. side - 1, shape (n, side)."""
    distance = np.arange(side)
    kernel = np.exp(-0.5 * (distance / np.maximum(sigma_px, _LEAST_SIGMA_PX)[:, None]) ** 2)
    total: FloatArray = 2 * kernel.sum(axis=1, keepdims=True) - kernel[:, :1]
    normalised: FloatArray = kernel / total
    return normalised
