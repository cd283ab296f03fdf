"""Effective PSFs: what a point source leaves in a pixel, as a function of its place in it.

Anderson & King's (2000, PASP 112, 1360) effective PSF is the optical one integrated over a pixel:
the value of pixel p for a star of unit flux at x is ``psi(p - x)``, a smooth function that is
known between the pixels although each star shows it at whole steps only. Here it is a sum of two
parts,

    psi = sum_k (a_k + b_k (dxx - dyy) + c_k dxy) (G_k * pixel) + S,

Gaussians of several widths integrated over a square pixel, each with its stretches, and a
correction S, a cubic spline with three knots to the pixel that takes up what Gaussians cannot say.
Both are point-symmetric: the centre of psi is its centre of symmetry in every exposure, and a
shift that all stars have in common stays as well known as the stars are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, hold_read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.splines.spline import Surface

#: Knots of the correction to a pixel: a star of FWHM 1.1 px, integrated over its pixels, holds
#: nothing shorter than two thirds of one.
KNOTS_PER_PX = 3
#: Knots of the correction along an axis: it reaches 4 px from the centre.
KNOTS = 2 * 4 * KNOTS_PER_PX + 1


@dataclass(frozen=True, slots=True, eq=False)
class EffectivePsf:
    """A point-symmetric effective PSF.

    Parameters
    ----------
    sigma_px : float64 array, shape (k,)
        Widths of the Gaussians.
    terms : float64 array, shape (3, k)
        a, b [px^2] and c [px^2] of each Gaussian.
    correction : float64 array, shape (KNOTS, KNOTS)
        Coefficients of S, the middle one at the centre; the same when turned by 180 degrees.
    """

    sigma_px: FloatArray
    terms: FloatArray
    correction: FloatArray

    def __post_init__(self) -> None:
        hold_read_only(self, "sigma_px", "terms", "correction")

    def select(self, which: BoolArray | IntArray) -> EffectivePsf:
        """Return the PSF: all stars have the same."""
        return self

    def at(self, centre: Points, side: int) -> Surface:
        """Return stars of unit flux, and how their values change along x and y of the pixel.

        Parameters
        ----------
        centre : Points, shape (n,)
            Place of each star in its window, 0-based pixels.
        side : int
            Pixels along a side of the windows.
        """
        step = np.arange(side)
        off_x, off_y = step - centre.x[:, None], step - centre.y[:, None]
        x, y = pixel_gaussians(off_x, self.sigma_px), pixel_gaussians(off_y, self.sigma_px)
        knots_x, knots_y = _spline(off_x), _spline(off_y)
        a, b, c = self.terms
        planes = np.ones((len(centre.x), 4, side, side), np.float32)
        for plane, (i, j) in zip(planes.swapaxes(0, 1), ((1, 0), (0, 1), (0, 0)), strict=False):
            # The i-th derivative along x and the j-th along y.
            rows = np.concatenate([y[j] * a - y[j + 2] * b, y[j] * b, y[j + 1] * c], axis=-1)
            columns = np.concatenate([x[i], x[i + 2], x[i + 1]], axis=-1)
            gaussians = rows @ np.swapaxes(columns, 1, 2)
            plane[...] = gaussians + knots_y[j] @ self.correction @ np.swapaxes(knots_x[i], 1, 2)
        return Surface(planes)


def gaussian_terms(centre: Points, side: int, sigma_px: FloatArray) -> FloatArray:
    """Return what each of the ``3 k`` terms gives to stars' pixels: (n, side, side, 3 k)."""
    step = np.arange(side)
    x = pixel_gaussians(step - centre.x[:, None], sigma_px)[:, :, None, :]
    y = pixel_gaussians(step - centre.y[:, None], sigma_px)[:, :, :, None]
    a = y[0] * x[0]
    b = y[0] * x[2] - y[2] * x[0]
    c = y[1] * x[1]
    return np.concatenate([a, b, c], axis=-1)


def pixel_gaussians(offset: FloatArray, sigma_px: FloatArray) -> FloatArray:
    """Return Gaussians of unit area integrated over a pixel, with three derivatives.

    Parameters
    ----------
    offset : float64 array, any shape
        Pixel's centre less the source's, pixels.
    sigma_px : float64 array, shape (k,)

    Returns
    -------
    float64 array, shape (4, ..., k)
    """
    upper = (offset[..., None] + 0.5) / sigma_px
    lower = (offset[..., None] - 0.5) / sigma_px
    with np.errstate(under="ignore"):
        at_upper, at_lower = (
            np.exp(-0.5 * u**2) / (np.sqrt(2 * np.pi) * sigma_px) for u in (upper, lower)
        )
    value = 0.5 * (erf(upper / np.sqrt(2)) - erf(lower / np.sqrt(2)))
    second = (lower * at_lower - upper * at_upper) / sigma_px
    third = ((upper**2 - 1) * at_upper - (lower**2 - 1) * at_lower) / sigma_px**2
    return np.stack([value, at_upper - at_lower, second, third])


@dataclass(frozen=True, slots=True, eq=False)
class KnotWeights:
    """What the four knots about a pixel give to it.

    Parameters
    ----------
    first : int64 array, any shape
        The lowest of the four knots; may lie beyond the grid of knots.
    weight : float64 array, shape (..., 4)
    """

    first: IntArray
    weight: FloatArray


def knot_weights(offset: FloatArray) -> KnotWeights:
    """Return the cubic B-splines at pixels ``offset`` from the centre along an axis."""
    place = offset * KNOTS_PER_PX + KNOTS // 2
    first = np.floor(place).astype(np.int64) - 1
    return KnotWeights(first, _cubic((place - first)[..., None] - np.arange(4))[0])


def _spline(offset: FloatArray) -> FloatArray:
    """Return matrices (2, n, side, KNOTS): values of the B-splines, and slopes per px."""
    place = offset * KNOTS_PER_PX + KNOTS // 2
    # Four knots reach a pixel; those beyond the grid fall into its margin, which is cut off.
    first, four = np.floor(place).astype(np.int64) - 1, np.arange(4)
    value, slope = _cubic(place[..., None] - (first[..., None] + four))
    column = (np.clip(first, -4, KNOTS) + 4)[..., None] + four
    matrices = np.zeros((2, *offset.shape, KNOTS + 8))
    np.put_along_axis(matrices[0], column, value, axis=-1)
    np.put_along_axis(matrices[1], column, slope * KNOTS_PER_PX, axis=-1)
    return np.ascontiguousarray(matrices[..., 4:-4])


def _cubic(away: FloatArray) -> FloatArray:
    """Return value and slope of the cubic B-spline at a distance from its knot, in knots."""
    far = np.abs(away)
    outer = np.maximum(2 - far, 0)
    value = np.where(far < 1, 2 / 3 - far**2 + 0.5 * far**3, outer**3 / 6)
    slope = np.where(far < 1, -2 * far + 1.5 * far**2, -0.5 * outer**2) * np.sign(away)
    return np.stack([value, slope])
