"""Pixel-integrated images of sources: stamps, and stamps added to a chip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from alignsvc.domain.arrays import FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.simulation.profiles import GaussianMixture

#: Half sides of stamps, px: each source takes the smallest that holds its light.
STAMP_HALVES = (6, 10, 16, 24, 36, 54, 80, 120, 180, 270)
#: Stamps rendered at once hold at most this many pixels (arrays then stay in cache).
_CHUNK_PX = 1 << 19
#: Gaussians narrower than this (px) are integrated over the pixel by quadrature, wider ones by
#: adding 1/12 px^2 to their variance: the fourth moment that is then missed is
#: ``1/120 / (24 sigma^4)``, 2e-5 of the peak at 2 px.
_NARROW_PX = 2.0
#: A Gaussian is drawn out to this many of its widths: 3e-7 of its peak is cut off.
_REACH = 5.5
#: Gaussians of a galaxy are left out that give less than this of its flux and of its peak.
_NEGLIGIBLE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """Square stamps of one size, each about the pixel nearest to its source.

    Parameters
    ----------
    column, row : int64, shape (n,)
        Pixel at the centre of each stamp.
    values : float64, shape (n, side, side)
        Fraction of the source's flux in each pixel, ``[source, y, x]``.
    """

    column: IntArray
    row: IntArray
    values: FloatArray

    @property
    def half(self) -> int:
        """Half side: the stamp reaches from the centre minus this to the centre plus this."""
        return int(self.values.shape[1]) // 2


@dataclass(frozen=True, slots=True, eq=False)
class StarGradients:
    """Stamps of stars with their derivatives.

    Parameters
    ----------
    stamps : Stamps
    d_x, d_y : float64, shape (n, side, side)
        Change of each pixel's fraction of the flux per pixel of motion of the source.
    """

    stamps: Stamps
    d_x: FloatArray
    d_y: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class GalaxyShape:
    """A galaxy's profile with the linear map from its own plane to pixels.

    Parameters
    ----------
    profile : GaussianMixture
        Of unit half-light radius.
    to_pixels : float64, shape (2, 2)
        Takes a vector of the round unit profile to (x, y) in pixels: size, axis ratio,
        position angle and the local WCS.
    """

    profile: GaussianMixture
    to_pixels: FloatArray


def stamp_halves(profile: GaussianMixture, flux: FloatArray, faintest: float) -> IntArray:
    """Return the half side for each flux beyond which less than `faintest` falls on a pixel.

    Parameters
    ----------
    profile : GaussianMixture
        In pixels.
    flux : float64, shape (n,)
    faintest : float
        In the unit of `flux`. A source that no stamp holds takes the largest.
    """
    halves = np.array(STAMP_HALVES)
    beyond = profile.surface_brightness(halves.astype(float))
    # The profile falls, so -beyond is sorted: the first half side whose light is faint enough.
    wanted = faintest / np.maximum(flux, 1e-30)
    place = np.searchsorted(-beyond, -wanted)
    sizes: IntArray = halves[np.minimum(place, len(halves) - 1)].astype(np.int64)
    return sizes


def star_stamps(psf: GaussianMixture, where: Points, half: int) -> Stamps:
    """Return stamps of unit-flux stars, integrated exactly over the pixels.

    Parameters
    ----------
    psf : GaussianMixture
        In pixels.
    where : Points
        0-based pixels, shape (n,).
    half : int
        Half side of the stamps.

    Notes
    -----
    A round Gaussian is a product of one in x and one in y, each integrated over a pixel by a
    difference of two error functions.
    """
    column, x = _nearest(where.x)
    row, y = _nearest(where.y)
    in_x, in_y = _integrals(psf, x, half, axis=0), _integrals(psf, y, half, axis=1)
    return Stamps(column, row, _products(psf, in_y, in_x))


def star_gradients(psf: GaussianMixture, where: Points, half: int) -> StarGradients:
    """Return stamps of unit-flux stars with exact derivatives; parameters as `star_stamps`."""
    column, x = _nearest(where.x)
    row, y = _nearest(where.y)
    in_x, in_y = _integrals(psf, x, half, axis=0), _integrals(psf, y, half, axis=1)
    along_x = _edge_slopes(psf, x, half, axis=0)
    along_y = _edge_slopes(psf, y, half, axis=1)
    stamps = Stamps(column, row, _products(psf, in_y, in_x))
    return StarGradients(stamps, _products(psf, in_y, along_x), _products(psf, along_y, in_x))


def _nearest(position: FloatArray) -> tuple[IntArray, FloatArray]:
    pixel = np.floor(np.asarray(position, float) + 0.5).astype(np.int64)
    return pixel, position - pixel


def _edges(psf: GaussianMixture, offset: FloatArray, half: int, axis: int) -> FloatArray:
    # Edges of the pixels from the source in units of each Gaussian's width: (n, k, edges).
    edges = np.arange(2 * half + 2) - half - 0.5
    away = (edges - offset[:, None])[:, None, :] - psf.offsets[:, axis, None]
    distance: FloatArray = away / psf.sigmas[:, None]
    return distance


def _integrals(psf: GaussianMixture, offset: FloatArray, half: int, *, axis: int) -> FloatArray:
    part: FloatArray = np.diff(ndtr(_edges(psf, offset, half, axis)), axis=2)
    return part


def _edge_slopes(psf: GaussianMixture, offset: FloatArray, half: int, *, axis: int) -> FloatArray:
    # Moving the source by +1 is moving the edges by -1: minus the density at the edges.
    edges = _edges(psf, offset, half, axis)
    density = np.exp(-0.5 * edges**2) / (math.sqrt(2.0 * math.pi) * psf.sigmas[:, None])
    slope: FloatArray = -np.diff(density, axis=2)
    return slope


def _products(psf: GaussianMixture, in_y: FloatArray, in_x: FloatArray) -> FloatArray:
    stamp: FloatArray = np.matmul(np.swapaxes(in_y * psf.fractions[:, None], 1, 2), in_x)
    return stamp


def galaxy_stamp(psf: GaussianMixture, galaxy: GalaxyShape, where: Points, half: int) -> Stamps:
    """Return the stamp (n = 1) of a unit-flux galaxy seen through `psf`.

    Parameters
    ----------
    psf : GaussianMixture
        In pixels.
    galaxy : GalaxyShape
    where : Points
        Scalars: 0-based pixels.
    half : int
        Half side of the stamp.
    """
    column, x = _nearest(np.atleast_1d(where.x))
    row, y = _nearest(np.atleast_1d(where.y))
    values = galaxy_values(psf, galaxy, (float(x[0]), float(y[0])), half)
    return Stamps(column, row, values[None])


def galaxy_values(
    psf: GaussianMixture, galaxy: GalaxyShape, offset: tuple[float, float], half: int
) -> FloatArray:
    """Return a unit-flux galaxy at `offset` (x, y; px) from the centre of a stamp, ``[y, x]``."""
    values = np.zeros((2 * half + 1, 2 * half + 1))
    for x, y in np.unique(psf.offsets, axis=0).tolist():
        here = (psf.offsets == (x, y)).all(axis=1)
        values += _concentric(psf, here, galaxy, (offset[0] + x, offset[1] + y), half)
    return values


def _concentric(
    psf: GaussianMixture,
    which: NDArray[np.bool_],
    galaxy: GalaxyShape,
    offset: tuple[float, float],
    half: int,
) -> FloatArray:
    """Return the part of a galaxy that some of the PSF's Gaussians make, all about one place."""
    shape = galaxy.to_pixels @ galaxy.to_pixels.T
    own, seeing = galaxy.profile, psf.sigmas[which] ** 2
    covariances = own.sigmas[:, None, None, None] ** 2 * shape + (seeing[:, None, None] * np.eye(2))
    fractions = (own.fractions[:, None] * psf.fractions[which]).ravel()
    covariances = covariances.reshape(-1, 2, 2)
    heights = fractions / np.sqrt(np.linalg.det(covariances))
    kept = (fractions > _NEGLIGIBLE) | (heights > _NEGLIGIBLE * heights.sum())
    fractions, covariances = fractions[kept], covariances[kept]
    axes = np.sqrt(np.linalg.eigvalsh(covariances))
    orders = np.where(axes[:, 0] < _NARROW_PX, 3, 1)
    sizes = np.array([*(size for size in STAMP_HALVES if size < half), half])
    reaches = sizes[np.minimum(np.searchsorted(sizes, _REACH * axes[:, 1]), len(sizes) - 1)]
    values = np.zeros((2 * half + 1, 2 * half + 1))
    for reach, order in sorted(set(zip(reaches.tolist(), orders.tolist(), strict=True))):
        which = (reaches == reach) & (orders == order)
        inner = slice(half - reach, half + reach + 1)
        part = _ellipses(fractions[which], covariances[which], offset, (reach, order))
        values[inner, inner] += part
    return values


def _ellipses(
    fractions: FloatArray,
    covariances: FloatArray,
    offset: tuple[float, float],
    size: tuple[int, int],
) -> FloatArray:
    """Return the sum of elliptical Gaussians over pixels by Gauss-Legendre quadrature."""
    half, order = size
    nodes, weights = np.polynomial.legendre.leggauss(order)
    if order == 1:
        covariances = covariances + np.eye(2) / 12.0
    side = 2 * half + 1
    grid = (np.arange(side) - half)[:, None] + 0.5 * nodes
    x, y = grid.ravel() - offset[0], grid.ravel() - offset[1]
    precision = np.linalg.inv(covariances)
    heights = fractions * np.sqrt(np.linalg.det(precision)) / (2.0 * math.pi)
    # exp(-(A x^2 + 2 B x y + C y^2) / 2), the two squares taken out of the large array.
    dense = np.zeros((len(y), len(x)))
    across = np.outer(y, x)
    for height, ((a, b), (_, c)) in zip(heights, precision, strict=True):
        exponent = across * -b
        exponent -= 0.5 * a * x**2
        exponent -= (0.5 * c * y**2)[:, None]
        dense += height * np.exp(exponent, out=exponent)
    nodes_of_pixels = dense.reshape(side, order, side, order)
    summed: FloatArray = np.einsum("iajb,a,b->ij", nodes_of_pixels, 0.5 * weights, 0.5 * weights)
    return summed


def stars_image(
    shape: tuple[int, int], psf: GaussianMixture, where: Points, flux: FloatArray, faintest: float
) -> FloatArray:
    """Return an image, shape (ny, nx), of stars.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    psf : GaussianMixture
        In pixels.
    where : Points
        0-based pixels, shape (n,); stars beside the image throw their wings on it.
    flux : float64, shape (n,)
    faintest : float
        The faintest value, in the unit of `flux`, that a stamp's edge may cut off.
    """
    image = np.zeros(shape)
    halves = stamp_halves(psf, flux, faintest)
    for half in np.unique(halves):
        for some in _chunks(np.flatnonzero(halves == half), (2 * int(half) + 1) ** 2):
            stamps = star_stamps(psf, Points(where.x[some], where.y[some]), int(half))
            _add(image, stamps, flux[some])
    return image


def galaxies_image(
    shape: tuple[int, int],
    psf: GaussianMixture,
    galaxies: Sequence[GalaxyShape],
    where: Points,
    light: tuple[FloatArray, float],
) -> FloatArray:
    """Return an image, shape (ny, nx), of galaxies; `light` = (flux, faintest).

    The other parameters are as for `stars_image`.
    """
    image = np.zeros(shape)
    flux, faintest = light
    for index, galaxy in enumerate(galaxies):
        half = galaxy_half(psf, galaxy, float(flux[index]), faintest)
        here = Points(where.x[index], where.y[index])
        _add(image, galaxy_stamp(psf, galaxy, here, half), flux[index : index + 1])
    return image


def galaxy_half(psf: GaussianMixture, galaxy: GalaxyShape, flux: float, faintest: float) -> int:
    """Return the half side that holds a galaxy, as of a round one of its major axis."""
    stretch = float(np.linalg.norm(galaxy.to_pixels, 2))
    own = galaxy.profile
    widths = np.hypot(own.sigmas[:, None] * stretch, psf.sigmas)
    both = GaussianMixture((own.fractions[:, None] * psf.fractions).ravel(), widths.ravel())
    return int(stamp_halves(both, np.array([flux]), faintest)[0])


def _add(image: FloatArray, stamps: Stamps, flux: FloatArray) -> None:
    ny, nx = image.shape
    half = stamps.half
    for column, row, light, stamp in zip(
        stamps.column, stamps.row, flux, stamps.values, strict=True
    ):
        x0, x1 = max(column - half, 0), min(column + half + 1, nx)
        y0, y1 = max(row - half, 0), min(row + half + 1, ny)
        if x0 < x1 and y0 < y1:
            left, low = column - half, row - half
            image[y0:y1, x0:x1] += light * stamp[y0 - low : y1 - low, x0 - left : x1 - left]


def _chunks(indices: NDArray[np.int64], px_each: int) -> list[NDArray[np.int64]]:
    step = max(1, _CHUNK_PX // px_each)
    return [indices[start : start + step] for start in range(0, len(indices), step)]
