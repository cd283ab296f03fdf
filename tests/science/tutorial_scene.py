"""Two small images of three Moffat stars in two bands, rendered by other means, and the bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs import WCS

import alignsvc
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene

SIDE = 150
SCALE = 0.2  # arcsec
MIDDLE = (SIDE - 1) / 2
#: Points along a side of a pixel over which its light is averaged.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


@dataclass(frozen=True)
class Tutorial:
    """True numbers; the second exposure's are shift (px) and turn (rad) about the stars' middle."""

    x: tuple[float, ...] = (40.2, 101.7, 80.3)
    y: tuple[float, ...] = (50.6, 62.1, 110.4)
    flux: tuple[tuple[float, ...], ...] = ((30e3, 50e3, 20e3), (20e3, 60e3, 30e3))
    log_fwhm: tuple[float, float] = (np.log(5.0), np.log(6.0))
    inverse_index: tuple[float, float] = (0.33, 0.28)
    sky: tuple[float, float] = (100.0, 150.0)
    shift: tuple[float, float] = (0.8, -0.6)
    turn: float = 0.0

    @property
    def middle(self) -> FloatArray:
        return np.array([np.mean(self.x), np.mean(self.y)])

    def pixels(self, exposure: int) -> FloatArray:
        """Where the stars are in an exposure, shape (2, 3); the middle stays where it is."""
        at = np.array([self.x, self.y])
        if exposure == 0:
            return at
        middle = MIDDLE_OF_STARS[:, None]
        c, s = np.cos(self.turn), np.sin(self.turn)
        turned = np.array([[c, -s], [s, c]]) @ (at - middle)
        return turned + middle + np.array(self.shift)[:, None]

    def image(self, exposure: int) -> FloatArray:
        """An exposure without noise, electrons."""
        v, fwhm = self.inverse_index[exposure], np.exp(self.log_fwhm[exposure])
        k = 2**v - 1
        peak = k * (1 / v - 1) / np.pi * 4 / fwhm**2
        image = np.full((SIDE, SIDE), self.sky[exposure])
        fine = np.arange(SIDE)[:, None] + _NODES / 2
        for flux, x, y in zip(self.flux[exposure], *self.pixels(exposure), strict=True):
            t_x, t_y = (2 * (fine - x) / fwhm) ** 2, (2 * (fine - y) / fwhm) ** 2
            t = t_x[None, :, None, :] + t_y[:, None, :, None]
            light = (1 + k * t) ** (-1 / v) @ (_WEIGHTS / 2) @ (_WEIGHTS / 2)
            image += flux * peak * light
        return image


TUTORIAL = Tutorial()
#: Fixed, also where the derivatives of the bound move a star.
MIDDLE_OF_STARS = TUTORIAL.middle
READ_NOISE = 5.0


def header() -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 150.0, 2.0
    wcs.wcs.crpix = MIDDLE + 1, MIDDLE + 1
    wcs.wcs.cd = np.diag([-SCALE, SCALE]) / 3600
    wcs.wcs.set()
    return wcs


def exposures(
    truth: Tutorial, seed: int, *, with_variance: bool = True
) -> tuple[alignsvc.SceneExposure, ...]:
    """The two exposures with the same header, which is the first one's truth."""
    random = np.random.default_rng(seed)
    made = []
    for e, band in enumerate("rg"):
        electrons = truth.image(e)
        pixels = random.poisson(electrons) + random.normal(0, READ_NOISE, electrons.shape)
        variance = electrons + READ_NOISE**2 if with_variance else None
        exposure = alignsvc.SceneExposure(pixels, header(), variance, gain=1.0, band=band)
        made.append(replace(exposure, name=band))
    return tuple(made)


def bound(truth: Tutorial) -> FloatArray:
    """Cramer-Rao errors of shift x, shift y [px] and turn [rad], all else free: all pixels."""
    names = ("x", "y", "flux", "log_fwhm", "inverse_index", "sky", "shift", "turn")
    information: FloatArray | None = None
    columns: list[list[FloatArray]] = [[], []]
    for name in names:
        value = np.asarray(getattr(truth, name), float)
        for index in np.ndindex(value.shape):
            step = 1e-4 * max(abs(value[index]), 1.0)
            for e in range(2):
                sides = []
                for sign in (1, -1):
                    moved = value.copy()
                    moved[index] += sign * step
                    sides.append(replace(truth, **{name: moved}).image(e))
                columns[e].append((sides[0] - sides[1]).ravel() / (2 * step))
    for e in range(2):
        jacobian = np.stack(columns[e])
        part = (jacobian / (truth.image(e).ravel() + READ_NOISE**2)) @ jacobian.T
        information = part if information is None else information + part
    assert information is not None
    scale = 1 / np.sqrt(np.diagonal(information))
    covariance = np.linalg.inv(information * np.outer(scale, scale)) * np.outer(scale, scale)
    return np.sqrt(np.diagonal(covariance))[-3:]


@dataclass(frozen=True)
class Errors:
    """What a fit errs by, and what it says that it errs by: shift x, y [px], turn [rad]."""

    found: FloatArray
    claimed: FloatArray


def errors_of(fitted: FittedScene, truth: Tutorial) -> Errors:
    """How the corrected header differs from the truth about the stars' middle."""
    exposure = fitted.exposures[1]
    correction, wcs = exposure.correction, exposure.wcs
    first = fitted.exposures[0].header
    around = MIDDLE_OF_STARS + 30 * np.array([[0, 0], [1, 0], [-1, 0]])
    pixel = wcs.pixel_from_sky(first.sky_from_pixel(Points(*around.T)))
    shift = np.array([pixel.x[0], pixel.y[0]]) - MIDDLE_OF_STARS - truth.shift
    turn = np.arctan2(pixel.y[1] - pixel.y[2], pixel.x[1] - pixel.x[2]) - truth.turn
    spread = np.sqrt(np.diagonal(correction.covariance))
    claimed = np.array([spread[0] / SCALE, spread[1] / SCALE, np.hypot(spread[2], spread[3])])
    return Errors(np.append(shift, turn), claimed)
