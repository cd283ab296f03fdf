"""Stamps against brute force, and the accuracy of what they say of positions."""

import numpy as np
import pytest

from alignsvc.domain.geometry import Points
from alignsvc.simulation.profiles import gaussian_mixture, moffat_mixture, sersic_mixture
from alignsvc.simulation.render import (
    GalaxyShape,
    galaxies_image,
    galaxy_stamp,
    star_gradients,
    star_stamps,
    stars_image,
)

SHEARED = np.array([[1.6, 0.5], [-0.3, 0.9]])


def _by_brute_force(covariances, fractions, position, half, fine=15):
    """Return a stamp whose pixels are averages over ``fine x fine`` points."""
    nodes = (np.arange(fine) + 0.5) / fine - 0.5
    pixels = np.arange(-half, half + 1)
    grid = (pixels[:, None] + nodes).ravel()
    dx, dy = grid[None, :] - position[0], grid[:, None] - position[1]
    dense = np.zeros((len(grid),) * 2)
    for covariance, fraction in zip(covariances, fractions, strict=True):
        inverse = np.linalg.inv(covariance)
        r2 = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
        height = fraction / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
        dense += height * np.exp(-0.5 * r2)
    side = 2 * half + 1
    return dense.reshape(side, fine, side, fine).mean(axis=(1, 3))


@pytest.mark.parametrize("fwhm", [1.1, 3.0])
def test_a_star_is_integrated_over_each_pixel(fwhm: float) -> None:
    psf = moffat_mixture(fwhm, 3.0)
    covariances = [sigma**2 * np.eye(2) for sigma in psf.sigmas]
    wanted = _by_brute_force(covariances, psf.fractions, (0.3, -0.2), 8, fine=31)
    found = star_stamps(psf, Points(np.array([20.3]), np.array([9.8])), 8)
    assert (found.column[0], found.row[0]) == (20, 10)
    assert np.abs(found.values[0] - wanted).max() < 1e-3 * wanted.max()


@pytest.mark.parametrize("fwhm", [1.1, 3.0])
def test_a_sheared_galaxy_is_integrated_over_each_pixel(fwhm: float) -> None:
    psf, galaxy = gaussian_mixture(fwhm), GalaxyShape(sersic_mixture(1.0), SHEARED)
    covariances = [
        own**2 * SHEARED @ SHEARED.T + psf.sigmas[0] ** 2 * np.eye(2)
        for own in galaxy.profile.sigmas
    ]
    wanted = _by_brute_force(covariances, galaxy.profile.fractions, (0.3, -0.2), 10, fine=31)
    found = galaxy_stamp(psf, galaxy, Points(np.array(20.3), np.array(9.8)), 10)
    assert np.abs(found.values[0] - wanted).max() < 1e-3 * wanted.max()


def test_the_centroid_of_a_stamp_is_the_source_to_a_ten_thousandth_of_a_pixel() -> None:
    psf = gaussian_mixture(2.5)
    galaxy = GalaxyShape(gaussian_mixture(2.0), SHEARED)
    x, y = np.array([10.37, 11.0, 12.49]), np.array([8.81, 9.5, 10.02])
    star = star_stamps(psf, Points(x, y), 24)
    steps = np.arange(-24, 25)
    assert np.abs((star.values * steps).sum((1, 2)) + star.column - x).max() < 1e-6
    for number in range(3):
        stamp = galaxy_stamp(psf, galaxy, Points(x[number], y[number]), 24)
        column = (stamp.values[0] * steps).sum() / stamp.values.sum() + stamp.column[0]
        assert abs(column - x[number]) < 1e-4


def test_gradients_are_the_change_of_the_stamp() -> None:
    psf = moffat_mixture(2.0, 2.5)
    here, step = Points(np.array([5.2]), np.array([7.1])), 1e-4
    gradients = star_gradients(psf, here, 10)
    right = star_stamps(psf, Points(here.x + step, here.y), 10).values
    left = star_stamps(psf, Points(here.x - step, here.y), 10).values
    assert np.allclose(gradients.d_x, (right - left) / (2 * step), atol=1e-8)
    up = star_stamps(psf, Points(here.x, here.y + step), 10).values
    down = star_stamps(psf, Points(here.x, here.y - step), 10).values
    assert np.allclose(gradients.d_y, (up - down) / (2 * step), atol=1e-8)


def test_an_image_holds_the_flux_of_its_stars_whatever_the_size_of_their_stamps() -> None:
    psf = gaussian_mixture(3.0)
    where = Points(np.array([60.2, 30.0, 90.7]), np.array([64.0, 40.5, 80.1]))
    flux = np.array([1e2, 1e4, 1e6])
    image = stars_image((128, 128), psf, where, flux, 1e-3)
    assert image.sum() == pytest.approx(flux.sum(), rel=1e-6)


def test_a_star_beside_the_image_throws_its_wings_on_it() -> None:
    psf = moffat_mixture(3.0, 2.5)
    image = stars_image((40, 40), psf, Points(np.array([-4.0]), np.array([20.0])), np.ones(1), 1e-6)
    whole = stars_image((40, 60), psf, Points(np.array([16.0]), np.array([20.0])), np.ones(1), 1e-6)
    assert image.sum() > 0.01
    assert np.allclose(image, whole[:, 20:], atol=1e-15)


def test_galaxies_add_up() -> None:
    psf, galaxy = gaussian_mixture(3.0), GalaxyShape(sersic_mixture(1.0), SHEARED)
    where = Points(np.array([30.2, 60.0]), np.array([30.0, 70.3]))
    flux = np.array([1e3, 1e4])
    image = galaxies_image((100, 100), psf, [galaxy, galaxy], where, (flux, 1e-2))
    assert image.sum() == pytest.approx(flux.sum(), rel=2e-3)
