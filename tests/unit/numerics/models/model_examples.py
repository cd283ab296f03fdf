"""One example, or more, of each registered profile, and pixels integrated by brute force."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from alignsvc.numerics.displacement.stars.effective_psf import KNOTS, EffectivePsf
from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.light.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.light.pixel_rules import narrowest
from alignsvc.numerics.models.light.profile import Places, Profile
from alignsvc.numerics.models.light.sersic_mixtures import sersic_profile
from alignsvc.numerics.models.profiles import PROFILES
from alignsvc.numerics.models.profiles.convolved import Convolved

#: The star that galaxies of the examples are seen through: FWHM 3.5 px, Moffat index 3.
STAR_SHAPE = np.array([np.log(3.5), 1 / 3])
#: Indices of galaxies that have no parameter for it.
INDEX = {"Exponential": 1.0, "DeVaucouleurs": 4.0}


@cache
def star_mixture() -> GaussianMixture:
    return mixture_of(PROFILES.build("moffat", {}), STAR_SHAPE)


def galaxy(name: str, **settings: Any) -> dict[str, Any]:
    return {"galaxy": GALAXIES.build(name, {}), "psf": star_mixture(), **settings}


def effective_psf() -> EffectivePsf:
    """A core, wings, a stretch, and a correction that is the same turned by 180 degrees."""
    correction = np.zeros((KNOTS, KNOTS))
    middle = KNOTS // 2
    correction[middle, middle + 2] = correction[middle, middle - 2] = 0.004
    correction[middle, middle] = -0.008
    terms = np.array([[0.5, 0.4, 0.05], [0.02, 0.01, 0.0], [0.0, -0.02, 0.0]])
    return EffectivePsf(np.array([0.6, 1.1, 2.2]), terms, correction)


#: Name of a registered profile, and settings to build it with.
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "moffat": ("moffat", {}),
    "sharp elliptical moffat": ("moffat", {"elliptical": True, "nodes": 25}),
    "moffat in single precision": ("moffat", {"elliptical": True, "precision": "single"}),
    "gaussian": ("gaussian", {"nodes": 5}),
    "elliptical gaussian": ("gaussian", {"elliptical": True}),
    "two gaussians": ("gaussians", {}),
    "three elliptical gaussians": ("gaussians", {"count": 3, "elliptical": True}),
    "empirical": ("empirical", {"psf": effective_psf()}),
    **{name: ("convolved", galaxy(name)) for name in GALAXIES.names()},
    "disc in single precision": ("convolved", galaxy("exponential", precision="single")),
}


def sharpest(profile: Profile) -> float:
    """The smallest size [px] that pixels are integrated for; 0 = down to the bounds."""
    if not hasattr(profile, "nodes"):
        return 0.0
    return narrowest(profile.nodes, elliptical=profile.elliptical)


def accuracy(profile: Profile) -> float:
    """How well pixels are known, over the peak."""
    return 1e-3 if isinstance(profile, Convolved) else 1e-4


def exact_pixels(
    profile: Profile, at: tuple[float, float], shape: np.ndarray, side: int
) -> np.ndarray:
    """Integrals over the pixels of a window, by brute force."""
    if isinstance(profile, Convolved):
        return _of_many_stars(profile, at, shape, side)
    if not hasattr(profile, "nodes"):
        # Known as integrals over pixels only.
        return profile(Places(np.array([at[0]]), np.array([at[1]]), side), shape).value[0]
    times = 5
    finer = replace(profile, nodes=25)
    scaled = shape.copy()
    scaled[0] += np.log(times)
    fine = Places(*(np.array([times * (a + 0.5) - 0.5]) for a in at), times * side)
    return finer(fine, scaled).value[0].reshape(side, times, side, times).sum((1, 3))


def _of_many_stars(
    profile: Convolved, at: tuple[float, float], shape: np.ndarray, side: int
) -> np.ndarray:
    """A galaxy is a cloud of stars: on ellipses, in logarithmic steps of the radius."""
    index = shape[3] if len(shape) > 3 else INDEX[type(profile.galaxy).__name__]
    log_radius, angles = np.linspace(-9, np.log(80), 130), 64
    radius, angle = np.exp(log_radius), np.linspace(0, 2 * np.pi, angles, endpoint=False)
    flux = sersic_profile(radius, index) * radius**2 * (log_radius[1] - log_radius[0])
    log_size, e1, e2 = shape[:3]
    shear = np.array([[1 + e1, e2], [e2, 1 - e1]]) / np.sqrt(1 - e1**2 - e2**2)
    circle = shear @ np.array([np.cos(angle), np.sin(angle)])
    off = np.exp(log_size) * radius[:, None, None] * circle
    flux = np.repeat(flux * 2 * np.pi / angles, angles)
    off_x, off_y = off[:, 0].ravel(), off[:, 1].ravel()
    near = np.maximum(np.abs(off_x), np.abs(off_y)) < 100
    stars = Places(at[0] + off_x[near], at[1] + off_y[near], side)
    light = PROFILES.build("moffat", {})(stars, STAR_SHAPE).value
    return np.tensordot(flux[near], light, 1)
