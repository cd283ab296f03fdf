"""Stars and galaxies as sums of Gaussians: how right they are, against direct integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from model_examples import effective_psf

from alignsvc.numerics.models.galaxies import GALAXIES
from alignsvc.numerics.models.light.mixtures import GaussianMixture, mixture_of
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.light.sersic_mixtures import (
    RadialMixture,
    sersic_mixture,
    sersic_profile,
)
from alignsvc.numerics.models.profiles import PROFILES


def one(index: float, components: int = 12) -> RadialMixture:
    return sersic_mixture(np.array([index]), components)


def behind_gaussian(index: float, radius: np.ndarray, width: float) -> np.ndarray:
    """A Sersic profile convolved with a Gaussian, ring by ring."""
    log_ring = np.linspace(-9, math.log(100), 500)
    ring, angle = np.exp(log_ring)[:, None], np.linspace(0, 2 * np.pi, 600, endpoint=False)
    light = sersic_profile(ring, index) * ring**2 * (log_ring[1] - log_ring[0])
    found = []
    for r in radius:
        away = r**2 + ring**2 - 2 * r * ring * np.cos(angle)
        found.append((light * np.exp(-0.5 * away / width**2)).sum() / (width**2 * len(angle)))
    return np.array(found)


@pytest.mark.parametrize(
    ("index", "components", "limit"),
    [
        (0.5, 12, 3e-4),
        (0.63, 12, 3e-4),
        (1.0, 8, 6e-4),
        (1.0, 12, 1.5e-4),
        (2.5, 12, 1.5e-4),
        (4.0, 12, 1.5e-4),
        (5.0, 12, 2e-4),
    ],
)
def test_a_galaxy_of_gaussians_is_right_behind_any_psf(index, components, limit):
    """As seen through Gaussians, relative to the peak; 0.04 half-light radii is the narrowest."""
    mixture, radius = one(index, components), np.array([0, 0.05, 0.2, 0.6, 1.3, 3.0, 6.0])
    for width in (0.04, 0.2, 1.0, 5.0):
        exact = behind_gaussian(index, radius, width)
        variance = mixture.variance[0] + width**2
        gaussians = np.exp(-0.5 * radius[:, None] ** 2 / variance) / (2 * np.pi * variance)
        np.testing.assert_allclose(
            gaussians @ mixture.flux[0], exact, rtol=0, atol=limit * exact[0]
        )


@pytest.mark.parametrize("index", [0.5, 0.8, 1.0, 2.0, 4.0, 5.0])
def test_half_of_a_galaxys_light_is_within_its_radius(index):
    mixture = one(index)
    within = mixture.flux[0] * -np.expm1(-0.5 / mixture.variance[0])
    assert within.sum() == pytest.approx(0.5, abs=1e-3)
    assert mixture.flux[0].sum() == pytest.approx(1, abs=0.012)


@pytest.mark.parametrize("index", [0.55, 0.9, 1.7, 3.3])
def test_a_mixture_changes_with_the_index_as_its_derivatives_say(index):
    step = 1e-4
    before, now, after = one(index - step), one(index), one(index + step)
    by_flux = (after.flux - before.flux) / (2 * step)
    by_variance = (after.variance - before.variance) / (2 * step)
    np.testing.assert_allclose(now.d_flux[:, 0], by_flux, atol=1e-4 * np.abs(by_flux).max())
    np.testing.assert_allclose(now.d_variance[:, 0], by_variance, rtol=1e-4)


def test_named_galaxies_are_sersics_of_their_index():
    for name, index in (("exponential", 1.0), ("de_vaucouleurs", 4.0)):
        galaxy = GALAXIES.build(name, {"components": 12})
        same = GALAXIES.build("sersic", {})(np.full((3, 1), index))
        np.testing.assert_array_equal(galaxy(np.empty((3, 0))).flux, same.flux)
        np.testing.assert_array_equal(galaxy(np.empty((3, 0))).variance, same.variance)


def anywhere(fwhm: float) -> np.ndarray:
    return np.random.default_rng(2).uniform(-3 * fwhm, 3 * fwhm, (2, 400))


@pytest.mark.parametrize(
    ("fwhm", "inverse", "components", "limit"),
    [
        (3.5, 0.2, 4, 1e-4),
        (3.5, 0.3, 4, 2e-4),
        (3.5, 0.5, 4, 7e-4),
        (8.0, 0.4, 4, 4e-4),
        (8.0, 0.4, 3, 1.2e-3),
        (2.0, 0.3, 4, 7e-4),
    ],
)
def test_four_gaussians_are_a_moffat(fwhm, inverse, components, limit):
    star = PROFILES.build("moffat", {"nodes": 25})
    shape = np.array([math.log(fwhm), inverse])
    x, y = anywhere(fwhm)
    pixel = star(Places(-x, -y, 1), shape).value.ravel()
    peak = star(Places(np.zeros(1), np.zeros(1), 1), shape).value.max()
    found = mixture_of(star, shape, components).at(x, y)
    np.testing.assert_allclose(found, pixel, rtol=0, atol=limit * peak)


def test_a_mixture_is_as_elliptical_as_its_star():
    star = PROFILES.build("moffat", {"elliptical": True})
    shape = np.array([math.log(4.0), 0.1, -0.15, 0.3])
    x, y = anywhere(4.0)
    pixel = star(Places(-x, -y, 1), shape).value.ravel()
    peak = star(Places(np.zeros(1), np.zeros(1), 1), shape).value.max()
    np.testing.assert_allclose(mixture_of(star, shape).at(x, y), pixel, rtol=0, atol=1e-3 * peak)


def test_an_empirical_psf_becomes_a_mixture_too():
    star = PROFILES.build("empirical", {"psf": effective_psf()})
    found = mixture_of(star, np.empty(0))
    assert found.flux.sum() == pytest.approx(1, abs=0.02)


def test_a_galaxy_that_shrinks_becomes_the_star():
    shape = np.array([math.log(3.0), 0.3])
    star = PROFILES.build("moffat", {})
    at = Places(np.array([7.3]), np.array([6.8]), 15)
    settings = {"galaxy": GALAXIES.build("exponential", {}), "psf": mixture_of(star, shape)}
    small = PROFILES.build("convolved", settings)(at, np.array([math.log(1e-3), 0.2, 0.1]))
    exact = star(at, shape)
    np.testing.assert_allclose(small.value, exact.value, rtol=0, atol=1e-3 * exact.value.max())
    np.testing.assert_allclose(small.d_x, exact.d_x, rtol=0, atol=1e-3 * exact.value.max())


def test_a_mixture_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"wanted covariances \(2, 3\)"):
        GaussianMixture(np.ones(2), np.ones((2, 2)))
