"""How lopsided the stars of an exposure are, beside a point-symmetric model of them.

A lopsided star has no one centre. What a fit calls its place leans to the core or to the wings as
the noise lies, and where two exposures' stars are lopsided in different ways all sources move
alike: a false shift, which no number of stars averages out and chi2 hardly shows. It cannot be
measured from the pixels either, but its size can be: how far apart two centres are, that of the
core and that of the wings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.modelling.star_stamps import (
    Remainders,
    StarAxis,
    StarStamps,
    numbers_of,
    star_stamps,
)
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import SceneFit

#: Standard deviations of the Gaussian apertures of core and wings, in FWHM.
_CORE, _WINGS = 0.35, 0.85
#: Side of a stamp in FWHM: three standard deviations of the wings' aperture each way.
_STAMP = 5.1
#: Standard deviations of flux below which a star tells nothing of it.
_LEAST = 20.0


@dataclass(frozen=True, slots=True)
class Lopsidedness:
    """How far the centre of the stars' wings is from that of their cores.

    Parameters
    ----------
    x_px, y_px, error_px : float
        Mean over the stars, with a standard deviation for each axis.
    east, north, error : float
        The same on the sky, arcsec.
    """

    x_px: float
    y_px: float
    error_px: float
    east: float
    north: float
    error: float

    def differs_from(self, other: Lopsidedness) -> Difference:
        """Return how much farther the centres are apart than in another exposure."""
        away = math.hypot(self.east - other.east, self.north - other.north)
        return Difference(away, math.hypot(self.error, other.error))


@dataclass(frozen=True, slots=True)
class Difference:
    """A distance on the sky, and the standard deviation of each axis, arcsec."""

    arcsec: float
    error: float


def lopsidedness(
    scene: Scene, fit: SceneFit, which: int, left: Remainders, fwhm_px: float
) -> Lopsidedness | None:
    """Return that of an exposure; None without a bright star.

    Parameters
    ----------
    scene, fit
        A fit that ended in an answer.
    which : int
        The exposure.
    left : Remainders
    fwhm_px : float
        Of its stars.
    """
    side = math.ceil(_STAMP * fwhm_px) | 1
    stars = star_stamps(scene, fit, which, left, side, least=_LEAST)
    if not len(stars.source):
        return None
    axes = [_along(stars, axis, fwhm_px) for axis in (stars.across, stars.up)]
    if not all(len(axis.offset) for axis in axes):
        return None
    x, y = (axis.mean for axis in axes)
    error_px = max(axis.error for axis in axes)
    to_sky = np.linalg.inv(_by_place(scene, fit, which, stars))
    east, north = to_sky @ [x, y]
    scale = math.sqrt(abs(float(np.linalg.det(to_sky))))
    return Lopsidedness(x, y, error_px, float(east), float(north), error_px * scale)


@dataclass(frozen=True, slots=True, eq=False)
class _Along:
    """Offsets of stars along an axis, px, with their variances: (n,) each."""

    offset: FloatArray
    variance: FloatArray

    @property
    def mean(self) -> float:
        return float(np.sum(self.offset / self.variance) / np.sum(1 / self.variance))

    @property
    def error(self) -> float:
        """Of the mean; what stars scatter beyond their noise makes it larger."""
        n = len(self.offset)
        chi2 = float(np.sum((self.offset - self.mean) ** 2 / self.variance))
        return math.sqrt(max(chi2 / max(n - 1, 1), 1.0) / float(np.sum(1 / self.variance)))


def _along(stars: StarStamps, axis: StarAxis, fwhm_px: float) -> _Along:
    """Return where the residuals put the wings' centre, less where they put the core's."""
    used = stars.weight > 0
    kernel = np.zeros(stars.pixels.shape)
    whole = np.ones(len(stars.source), bool)
    for sign, width in ((1, _WINGS), (-1, _CORE)):
        moment = used * axis.away * np.exp(-0.5 * stars.distance2 / (width * fwhm_px) ** 2)
        # How much the moment changes when the star moves by a pixel.
        response = np.sum(moment * axis.slope, axis=(1, 2))
        whole &= response > 0
        kernel += sign * moment / np.where(response > 0, response, 1.0)[:, None, None]
    offset = np.sum(kernel * stars.residual, axis=(1, 2)) / stars.flux
    noise = np.where(used, kernel**2 / np.where(used, stars.weight, 1.0), 0.0)
    variance = np.sum(noise, axis=(1, 2)) / stars.flux**2
    good = whole & (variance > 0)
    return _Along(offset[good], variance[good])


def _by_place(scene: Scene, fit: SceneFit, which: int, stars: StarStamps) -> FloatArray:
    """Return how an exposure's pixels change with the place on the plane, (2, 2)."""
    exposure = scene.exposures[which]
    numbers = numbers_of(scene, fit, which)[: exposure.placing.size]
    place = Points(fit.place.x[stars.source], fit.place.y[stars.source])
    return np.asarray(exposure.geometry(place, numbers).by_place.mean(axis=0))
