"""Flux, shape and position of sources from the pixels that belong to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sep
from numpy.typing import NDArray

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.compiled import compiled

#: FWHM of a Gaussian of unit standard deviation: 2 sqrt(2 ln 2).
FWHM_PER_SIGMA = 2.3548200450309493
#: Variance of a position spread evenly over a pixel: no source is sharper than a pixel.
_PIXEL_VARIANCE = 1.0 / 12.0
#: A windowed centroid farther than this many FWHM from the barycentre followed a neighbour.
_WANDER_FWHM = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The pixels of a box that sources are measured on.

    Parameters
    ----------
    box : PixelBox
    values : float32 array, shape (ny, nx)
        Above the background; 0 in holes.
    variance : float64 array, shape (ny, nx), or None
        Of a pixel, such that the variance of a sum is the sum of these; 0 in holes. None = it is
        not known.
    hole : bool array, shape (ny, nx)
    """

    box: PixelBox
    values: Float32Array
    variance: FloatArray | None
    hole: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class PixelSums:
    """What the pixels of each of n sources add up to; positions in pixels of the grid.

    Parameters
    ----------
    peak_x, peak_y : int64 arrays, shape (n,)
        The highest pixel; of equal ones that of the lowest row, then column.
    peak, flux, flux_variance : float64 arrays, shape (n,)
        The variance is NaN where that of pixels is not known.
    area : int64 array, shape (n,)
    x, y : float64 arrays, shape (n,)
        Barycentre.
    x2, y2, xy : float64 arrays, shape (n,)
        Central second moments, as measured within the isophote.
    reach : float64 array, shape (n,)
        From the barycentre to the farthest side of the isophote's box.
    """

    peak_x: IntArray
    peak_y: IntArray
    peak: FloatArray
    flux: FloatArray
    flux_variance: FloatArray
    area: IntArray
    x: FloatArray
    y: FloatArray
    x2: FloatArray
    y2: FloatArray
    xy: FloatArray
    reach: FloatArray


def pixel_sums(label: NDArray[np.int32], n: int, planes: Planes) -> PixelSums:
    """Return the sums over the pixels of each label, 1 to n; each must have one pixel at least.

    Pixels of a source are added in raster order and positions counted from its peak, so the
    sums have the same bits in every box that holds the source.
    """
    at = np.flatnonzero(label != 0)
    y, x = np.divmod(at, label.shape[1])
    source = label.take(at).astype(np.int64) - 1
    value = planes.values.take(at).astype(np.float64)
    first = _highest(source, value, n)
    peak_x, peak_y = x[first], y[first]
    dx, dy = (x - peak_x[source]).astype(np.float64), (y - peak_y[source]).astype(np.float64)

    def total(of: FloatArray) -> FloatArray:
        sums: FloatArray = np.bincount(source, weights=of, minlength=n).astype(np.float64)
        return sums

    # Negative pixels of noise would make variances negative; they hold no light of the source.
    light = np.maximum(value, 0.0)
    # A forced source may have no positive pixel at all: then every pixel counts alike.
    light = np.where(total(light)[source] > 0.0, light, 1.0)
    norm = total(light)
    mean_x, mean_y = total(light * dx) / norm, total(light * dy) / norm
    off_x, off_y = dx - mean_x[source], dy - mean_y[source]
    reach = np.zeros(n)
    np.maximum.at(reach, source, np.maximum(np.abs(off_x), np.abs(off_y)))
    return PixelSums(
        peak_x.astype(np.int64) + planes.box.x0,
        peak_y.astype(np.int64) + planes.box.y0,
        value[first],
        total(value),
        np.full(n, np.nan) if planes.variance is None else total(planes.variance.take(at)),
        np.bincount(source, minlength=n),
        peak_x + planes.box.x0 + mean_x,
        peak_y + planes.box.y0 + mean_y,
        total(light * off_x * off_x) / norm,
        total(light * off_y * off_y) / norm,
        total(light * off_x * off_y) / norm,
        reach + 0.5,
    )


@compiled
def _highest(source: IntArray, value: FloatArray, n: int) -> IntArray:
    """Return which pixel of each source is the highest; of equal ones the first."""
    highest = np.full(n, -1, np.int64)
    for k in range(source.size):
        best = highest[source[k]]
        if best < 0 or value[k] > value[best]:
            highest[source[k]] = k
    return highest


@dataclass(frozen=True, slots=True, eq=False)
class Shapes:
    """Ellipses of n sources: rms axes `a` >= `b` (px) and `theta` (radians from +x to +y)."""

    a: FloatArray
    b: FloatArray
    theta: FloatArray

    @property
    def fwhm(self) -> FloatArray:
        """Of the circular Gaussian with the same mean second moment, px."""
        return FWHM_PER_SIGMA * np.sqrt(0.5 * (self.a**2 + self.b**2))


def shapes(sums: PixelSums) -> Shapes:
    """Return the ellipses of sources, mended for the light outside the isophote.

    Notes
    -----
    An isophote cuts an elliptical Gaussian at ``u = r^2 / 2`` (r in standard deviations). Within
    it, light is distributed as ``exp(-u') du'``, so second moments are measured smaller by
    ``m(u) = 1 - u / (e^u - 1)``, while its area is ``2 pi u`` true axes. The observable
    ``area / (2 pi a b) = u / m(u)`` therefore tells u, hence m, for any axes and any flux.
    """
    x2, y2, xy = sums.x2, sums.y2, sums.xy
    line = x2 * y2 - xy * xy < _PIXEL_VARIANCE**2
    x2, y2 = np.where(line, x2 + _PIXEL_VARIANCE, x2), np.where(line, y2 + _PIXEL_VARIANCE, y2)
    middle, half = 0.5 * (x2 + y2), np.hypot(0.5 * (x2 - y2), xy)
    major, minor = middle + half, np.maximum(middle - half, 0.25 * _PIXEL_VARIANCE)
    observed = sums.area / (2.0 * np.pi * np.sqrt(major * minor))
    shrunk = np.interp(observed, _CUT / _SHRUNK, _SHRUNK)
    return Shapes(
        np.sqrt(major / shrunk), np.sqrt(minor / shrunk), 0.5 * np.arctan2(2 * xy, x2 - y2)
    )


#: Cuts from where a third of the peak is below the isophote (fainter ones are noise, and are
#: mended as this) to where nothing is left outside.
_CUT = np.linspace(0.4, 30.0, 1000)
_SHRUNK = 1.0 - _CUT / np.expm1(_CUT)


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """Positions in grid pixels; `windowed` False where the barycentre had to stand in."""

    points: Points
    windowed: BoolArray


def centroids(sums: PixelSums, fwhm: FloatArray, planes: Planes, largest_sigma: float) -> Centroids:
    """Return windowed centroids: Gaussian-weighted, of the source's own FWHM.

    Parameters
    ----------
    sums : PixelSums
    fwhm : float64 array, shape (n,)
        Of the sources of `sums`, px.
    planes : Planes
        Holes hold 0.
    largest_sigma : float
        Of the window, px. A window looks 4 of it around, which must not reach out of the box.

    Notes
    -----
    XWIN_IMAGE of SExtractor (its manual, "Windowed positional parameters"), as sep computes it;
    nearly as good as a fit of the profile, but drawn to bright neighbours: one that ends half a
    FWHM or more from the barycentre is not believed.
    """
    x0, y0 = planes.box.x0, planes.box.y0
    sigma = np.minimum(fwhm / FWHM_PER_SIGMA, largest_sigma)
    # Holes hold 0 and so have no weight: no mask is needed.
    x, y, _ = sep.winpos(planes.values, sums.x - x0, sums.y - y0, sigma, subpix=5)
    x, y = np.asarray(x, np.float64) + x0, np.asarray(y, np.float64) + y0
    windowed: BoolArray = np.hypot(x - sums.x, y - sums.y) < _WANDER_FWHM * fwhm
    return Centroids(Points(np.where(windowed, x, sums.x), np.where(windowed, y, sums.y)), windowed)


def touching(label: NDArray[np.int32], n: int, where: BoolArray) -> BoolArray:
    """Return, for labels 1 to n, whether one of their pixels lies in `where`."""
    found = np.zeros(n + 1, bool)
    found[label[where]] = True
    return found[1:]


def beside(where: BoolArray) -> BoolArray:
    """Return `where` grown by its eight neighbours."""
    wide = where.copy()
    wide[:, 1:] |= where[:, :-1]
    wide[:, :-1] |= where[:, 1:]
    tall = wide.copy()
    tall[1:] |= wide[:-1]
    tall[:-1] |= wide[1:]
    return tall
