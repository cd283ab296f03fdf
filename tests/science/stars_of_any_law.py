"""Images of stars of laws that no parametric model describes, integrated over pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from astropy.wcs import WCS
from scipy.special import j1

import alignsvc
from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene

SCALE = 0.2  # arcsec
READ_NOISE = 5.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(7)
Law: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]


def gaussian(x: FloatArray, y: FloatArray, width: float = 1.0) -> FloatArray:
    """A Gaussian; x and y in FWHM, as of all laws."""
    return np.asarray(np.exp(-4 * np.log(2) * (x**2 + y**2) / width**2) / width**2)


def airy(x: FloatArray, y: FloatArray) -> FloatArray:
    """A round mirror's diffraction: rings."""
    u = np.maximum(np.pi * 1.029 * np.hypot(x, y), 1e-6)
    return np.asarray((2 * j1(u) / u) ** 2)


def core_and_halo(x: FloatArray, y: FloatArray) -> FloatArray:
    """Two Gaussians."""
    return 0.75 * gaussian(x, y, 0.85) + 0.25 * gaussian(x, y, 2.6)


def box(x: FloatArray, y: FloatArray) -> FloatArray:
    """Flatter than a Gaussian, and square."""
    return np.asarray(np.exp(-np.log(2) * (np.abs(2 * x) ** 3 + np.abs(2 * y) ** 3)))


def coma(x: FloatArray, y: FloatArray) -> FloatArray:
    """A tenth of the light to the right of the rest."""
    return 0.9 * gaussian(x, y) + 0.1 * gaussian(x - 0.6, y, 1.3)


def header(side: int) -> WCS:
    """The header of all exposures, which is the first one's truth."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    wcs.wcs.crpix = (side + 1) / 2, (side + 1) / 2
    wcs.wcs.cd = np.diag([-SCALE, SCALE]) / 3600
    wcs.wcs.set()
    return wcs


def image(
    at: FloatArray, flux: FloatArray, law: Law, fwhm_px: float, side: int, sky: float
) -> FloatArray:
    """An image without noise, electrons."""
    grid = np.arange(-20, 20, 1 / 16)
    unit = law(*np.meshgrid(grid, grid)).sum() / 16**2 * fwhm_px**2
    shown, reach = np.full((side, side), sky), int(10 * max(fwhm_px, 2))
    for (x, y), light in zip(at.T, flux, strict=True):
        columns = np.arange(max(round(x) - reach, 0), min(round(x) + reach + 1, side))
        rows = np.arange(max(round(y) - reach, 0), min(round(y) + reach + 1, side))
        fine = [
            ((axis[:, None] + _NODES / 2 - centre) / fwhm_px).ravel()
            for axis, centre in ((columns, x), (rows, y))
        ]
        values = law(*np.meshgrid(*fine)).reshape(len(rows), 7, len(columns), 7)
        light_in = np.einsum("aibj,i,j->ab", values, _WEIGHTS / 2, _WEIGHTS / 2)
        shown[np.ix_(rows, columns)] += light / unit * light_in
    return shown


class Pair:
    """Two exposures of stars on a jittered grid, the second shifted; the header of both is one.

    `bias` is the error of the found shift without noise, px.
    """

    def __init__(
        self,
        laws: tuple[Law, Law],
        fwhm_px: float,
        *,
        shift: tuple[float, float] = (0.37, -0.23),
        n: int = 4,
        seed: int = 0,
    ) -> None:
        random = np.random.default_rng(seed)
        self.side, self.shift, self.fwhm_px = 44 * n, np.array(shift), fwhm_px
        grid = np.stack(np.meshgrid(np.arange(n), np.arange(n))).reshape(2, -1)
        at = (grid + 0.5) * 44 + random.uniform(-4, 4, (2, n * n))
        flux = 3e4 * random.uniform(0.3, 1.0, n * n)
        self.sources = alignsvc.SceneSources(*header(self.side).all_pix2world(*at, 0))
        self.truth = tuple(
            image(at + moved, flux, law, fwhm_px, self.side, 100.0)
            for moved, law in zip((np.zeros((2, 1)), self.shift[:, None]), laws, strict=True)
        )

    def exposures(
        self, noise: int | None, *, understated: float = 1.0
    ) -> list[alignsvc.SceneExposure]:
        """The exposures, without noise or with that of a seed, and the variance that is given."""
        random = np.random.default_rng(noise)
        made = []
        for name, truth in zip("ab", self.truth, strict=True):
            pixels = truth
            if noise is not None:
                pixels = random.poisson(truth) + random.normal(0, READ_NOISE, truth.shape)
            variance = (truth + READ_NOISE**2) / understated
            made.append(alignsvc.SceneExposure(pixels, header(self.side), variance, name=name))
        return made

    def fitted(
        self, settings: alignsvc.SceneSettings, noise: int | None = None, **given: float
    ) -> FittedScene:
        """The fit of places, fluxes, shape, sky and shift."""
        return alignsvc.fit_scene(self.exposures(noise, **given), self.sources, settings)

    def error_px(self, fitted: FittedScene) -> FloatArray:
        """How far the found shift is from the truth, (x, y)."""
        correction = fitted.exposures[1].correction
        assert correction is not None, fitted.message
        # East is to the left: what is at larger x is farther west than its header says.
        return np.array([1, -1]) * correction.shift / SCALE - self.shift


def stated_px(fitted: FittedScene) -> FloatArray:
    """The standard deviation of the shift, (x, y)."""
    correction = fitted.exposures[1].correction
    assert correction is not None, fitted.message
    return np.asarray(np.sqrt(np.diagonal(correction.covariance)[:2]) / SCALE)
