"""Profiles as sums of Gaussians: what they promise of the profile they stand for."""

import numpy as np
import pytest

from alignsvc.simulation.profiles import gaussian_mixture, moffat_mixture, sersic_mixture


@pytest.mark.parametrize("beta", [2.5, 3.0, 4.0])
def test_a_moffat_mixture_follows_the_formula(beta: float) -> None:
    fwhm = 4.0
    a = fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    radius = np.linspace(0.0, 4.0 * fwhm, 60)
    formula = (1.0 + (radius / a) ** 2) ** -beta * (beta - 1.0) / (np.pi * a**2)
    found = moffat_mixture(fwhm, beta).surface_brightness(radius)
    assert np.abs(found / formula - 1.0).max() < 3e-3


def test_a_gaussian_is_half_as_bright_at_half_its_width() -> None:
    psf = gaussian_mixture(3.0)
    centre, edge = psf.surface_brightness(np.array([0.0, 1.5]))
    assert edge / centre == pytest.approx(0.5)


@pytest.mark.parametrize("index", [1.0, 4.0])
def test_half_of_a_sersic_profile_lies_within_unit_radius(index: float) -> None:
    profile = sersic_mixture(index)
    within = np.sum(profile.fractions * (1.0 - np.exp(-0.5 / profile.sigmas**2)))
    # The tail of a de Vaucouleurs profile beyond 8 radii, 5 % of its light, is left out.
    assert within == pytest.approx(0.5, abs=0.005 if index == 1.0 else 0.04)


def test_scaling_a_profile_keeps_its_flux() -> None:
    wide = sersic_mixture(1.0).scaled(3.0)
    radius = np.linspace(0.0, 60.0, 6000)
    ring = 2.0 * np.pi * radius * wide.surface_brightness(radius)
    assert np.trapezoid(ring, radius) == pytest.approx(1.0, abs=1e-3)
