"""The joint fit of two small images: at the bound, from pixels and degrees off."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from tutorial_scene import SCALE, TUTORIAL, Tutorial, bound, errors_of, exposures, header

import alignsvc
from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.light.profile import Places
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.profiles.moffat import Moffat

#: One pixel off, then turned as well.
SHIFTED = TUTORIAL
TURNED = replace(TUTORIAL, turn=math.pi / 32)


def chi2_per_degree(geometry: str, truth: Tutorial, seed: int) -> float:
    settings = alignsvc.SceneSettings(geometry=("none", geometry))
    return alignsvc.fit_scene(exposures(truth, seed), settings=settings).chi2_per_degree


def test_three_stars_give_shift_and_turn_at_the_bound() -> None:
    fitted = alignsvc.fit_scene(exposures(TURNED, seed=1))
    assert fitted.outcome is Outcome.CONVERGED
    limit, errors = bound(TURNED), errors_of(fitted, TURNED)
    np.testing.assert_allclose(errors.claimed, limit, rtol=0.05)
    assert (np.abs(errors.found) < 4 * limit).all()
    assert abs(fitted.chi2_per_degree - 1) < 5 * math.sqrt(2 / fitted.degrees_of_freedom)


def test_chi2_tells_which_correction_the_images_need() -> None:
    assert chi2_per_degree("shift", SHIFTED, 2) < 1.1 < chi2_per_degree("none", SHIFTED, 2)
    assert chi2_per_degree("rshift", TURNED, 2) < 1.1 < chi2_per_degree("shift", TURNED, 2)


@pytest.mark.parametrize("shift", [(3.0, 0.0), (-2.1, 2.1)])
@pytest.mark.parametrize("turn", [-math.pi / 32, math.pi / 32])
def test_headers_three_pixels_and_six_degrees_off_end_at_the_same_optimum(
    shift: tuple[float, float], turn: float
) -> None:
    truth = replace(TUTORIAL, shift=shift, turn=turn)
    errors = errors_of(alignsvc.fit_scene(exposures(truth, seed=3)), truth)
    assert (np.abs(errors.found) < 4.5 * errors.claimed).all()


#: The third puts the first star of the second exposure upon the second of the first.
@pytest.mark.parametrize("shift", [(45.0, 0.0), (-30.0, 30.0), (61.5, 11.5), (7.8, 51.4)])
def test_from_farther_than_the_reach_the_fit_says_that_it_is_lost(
    shift: tuple[float, float],
) -> None:
    fitted = alignsvc.fit_scene(exposures(replace(TUTORIAL, shift=shift), seed=4))
    assert not fitted.outcome.is_answer
    assert fitted.message
    assert all(correction is None for correction in fitted.corrections)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nearest_px", "farthest_px", "most_turn_deg"), [(0.0, 15.0, 8.6), (15.0, 60.0, 17.0)]
)
def test_from_any_header_the_fit_is_right_or_says_that_it_has_not_converged(
    nearest_px: float, farthest_px: float, most_turn_deg: float
) -> None:
    """Within 15 px and 8.6 degrees it is always right."""
    random = np.random.default_rng(0)
    for seed in range(50):
        off, towards = random.uniform(nearest_px, farthest_px), random.uniform(0, 2 * math.pi)
        shift = (off * math.cos(towards), off * math.sin(towards))
        turn = math.radians(random.uniform(-most_turn_deg, most_turn_deg))
        truth = replace(TUTORIAL, shift=shift, turn=turn)
        fitted = alignsvc.fit_scene(exposures(truth, seed))
        if fitted.outcome.is_answer:
            errors = errors_of(fitted, truth)
            assert (np.abs(errors.found) < 4.5 * errors.claimed).all(), seed
        else:
            assert nearest_px > 0.0, (seed, fitted.message)
            assert fitted.message.startswith("not converged")
            assert all(correction is None for correction in fitted.corrections)


def test_the_residual_of_a_wrong_correction_is_a_dipole_that_the_right_one_removes() -> None:
    images = exposures(SHIFTED, seed=5)

    def dipole(geometry: str) -> float:
        settings = alignsvc.SceneSettings(geometry=("none", geometry))
        fitted = alignsvc.fit_scene(images, settings=settings)
        residual = fitted.exposures[1].residual
        x, y = np.array(SHIFTED.pixels(1)[:, 1])
        rows, columns = np.indices(residual.shape)
        near = np.hypot(columns - x, rows - y) < 6
        # The star is off towards +x and -y: what is left is brighter on that side.
        return float(np.nansum((residual * ((columns - x) - (rows - y)))[near]))

    assert dipole("none") > 10 * abs(dipole("shift"))


@pytest.mark.parametrize(
    "settings",
    [
        alignsvc.SceneSettings(star="gaussians"),
        alignsvc.SceneSettings(elliptical=True),
        alignsvc.SceneSettings(psf="varying"),
        alignsvc.SceneSettings(psf="shared"),
        alignsvc.SceneSettings(flux="band"),
        alignsvc.SceneSettings(sky="window_plane", window_px=24),
        alignsvc.SceneSettings(sky="exposure_plane", fwhm_px=3.0),
        alignsvc.SceneSettings(geometry="rscale"),
        alignsvc.SceneSettings(geometry="general"),
    ],
    ids=lambda settings: f"{settings.star} {settings.psf} {settings.sky} {settings.geometry}",
)
def test_whatever_else_is_free_the_correction_is_right(settings: alignsvc.SceneSettings) -> None:
    errors = errors_of(alignsvc.fit_scene(exposures(TURNED, seed=1), settings=settings), TURNED)
    assert (np.abs(errors.found) < 4 * errors.claimed).all()


def test_without_a_variance_the_noise_is_found_and_is_the_true_one() -> None:
    given, found = (
        alignsvc.fit_scene(exposures(TURNED, seed=6, with_variance=known))
        for known in (True, False)
    )
    assert abs(found.chi2_per_degree - 1) < 0.04
    first, second = given.exposures[1].correction, found.exposures[1].correction
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second.covariance, first.covariance, rtol=0.06, atol=1e-12)
    unknown = [replace(one, gain=None) for one in exposures(TURNED, 6, with_variance=False)]
    guessed = alignsvc.fit_scene(unknown).exposures[1].correction
    assert guessed is not None
    np.testing.assert_allclose(guessed.covariance, first.covariance, rtol=0.15, atol=1e-12)


def test_a_hot_column_moves_a_robust_fit_less() -> None:
    clean = list(exposures(TURNED, seed=7))
    x, _ = TURNED.pixels(1)[:, 0]
    pixels = np.array(clean[1].pixels)
    pixels[40:70, round(x) + 3] += 400.0
    dirty = [clean[0], replace(clean[1], pixels=pixels)]
    away = [
        np.hypot(*errors_of(alignsvc.fit_scene(dirty, settings=settings), TURNED).found[:2])
        for settings in (None, alignsvc.SceneSettings(robust=2.385))
    ]
    assert away[1] < 0.5 * away[0]


def test_sources_and_fluxes_come_back_where_they_were_put() -> None:
    fitted = alignsvc.fit_scene(exposures(TURNED, seed=8))
    assert fitted.sources is not None
    assert fitted.sources.covariance is not None
    x, y = header().all_world2pix(fitted.sources.sky.ra, fitted.sources.sky.dec, 0)
    for k, (true_x, true_y) in enumerate(zip(TURNED.x, TURNED.y, strict=True)):
        nearest = int(np.argmin(np.hypot(x - true_x, y - true_y)))
        error = np.sqrt(np.diagonal(fitted.sources.covariance[nearest])) / SCALE
        assert (np.abs([x[nearest] - true_x, y[nearest] - true_y]) < 4.5 * error).all()
        true = np.array([TURNED.flux[0][k], TURNED.flux[1][k]])
        np.testing.assert_allclose(fitted.sources.flux[nearest], true, rtol=0.05)


def test_windows_grow_with_the_seeing() -> None:
    truth = replace(TUTORIAL, log_fwhm=(math.log(3.0), math.log(6.0)))
    fitted = alignsvc.fit_scene(exposures(truth, seed=13))
    for one, fwhm in zip(fitted.exposures, (3.0, 6.0), strict=True):
        sides = [box.shape[0] for box in one.windows]
        assert sides == pytest.approx([6.0 * fwhm] * 3, abs=3.0)


def test_blended_stars_share_a_window() -> None:
    truth = replace(TUTORIAL, x=(40.2, 101.7, 95.0), y=(50.6, 62.1, 70.4))
    given = alignsvc.SceneSources(*header().all_pix2world(truth.x, truth.y, 0))
    images = exposures(truth, seed=9)
    fitted = alignsvc.fit_scene(images, given)
    assert fitted.outcome.is_answer
    assert fitted.scene is not None
    joined = [set(views.source.shape[1:]) for views in fitted.scene.views]
    assert joined == [{1}, {2}, {1}, {2}]  # one alone and two together, in each exposure
    assert fitted.sources is not None
    x, y = header().all_world2pix(fitted.sources.sky.ra, fitted.sources.sky.dec, 0)
    np.testing.assert_allclose([x, y], [truth.x, truth.y], atol=0.15)


def test_a_field_of_forty_stars_is_no_single_window() -> None:
    random = np.random.default_rng(0)
    x, y = random.uniform(10, 290, (2, 40))
    stars = 1e4 * Moffat()(Places(x, y, 300), np.array([math.log(3.5), 0.33])).value.sum(axis=0)
    images = [alignsvc.SceneExposure(random.normal(stars, 10.0), header(), 100.0) for _ in range(2)]
    given = alignsvc.SceneSources(*header().all_pix2world(x, y, 0))
    fitted = alignsvc.fit_scene(images, given)
    assert fitted.outcome.is_answer, fitted.message
    assert abs(fitted.chi2_per_degree - 1) < 5 * math.sqrt(2 / fitted.degrees_of_freedom)
    assert fitted.scene is not None
    # No pixel counts twice, whatever overlaps.
    on_chip = sum(np.isfinite(one.residual).sum() for one in fitted.exposures)
    used = sum(int((views.windows.weight > 0).sum()) for views in fitted.scene.views)
    assert used == on_chip
    assert max(views.source.shape[1] for views in fitted.scene.views) < 12


def sersic_like_disc(fwhm: float, radius: float, at: FloatArray, side: int) -> FloatArray:
    """An exponential disc behind a Moffat, made by adding up many stars of both laws."""
    random = np.random.default_rng(0)
    n = 1200
    # The radius of an exponential disc is the sum of two exponential numbers.
    r = (radius / 1.678) * random.exponential(size=(2, n // 2)).sum(axis=0)
    angle = 2 * np.pi * random.random(n // 2)
    x, y = r * np.cos(angle), r * np.sin(angle)
    stars = Moffat(nodes=5)(
        Places(at[0] + np.append(x, -x), at[1] + np.append(y, -y), side),
        np.array([math.log(fwhm), 0.33]),
    )
    return np.asarray(stars.value.mean(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("star", ["moffat", "empirical"])
def test_a_galaxy_is_fitted_with_the_psf_of_the_stars(star: str) -> None:
    side, places = 100, np.array([[30.3, 70.6, 52.1], [31.2, 34.9, 70.4]])
    random = np.random.default_rng(10)
    made = []
    for shift in ((0.0, 0.0), (0.7, -0.4)):
        at = places + np.array(shift)[:, None]
        stars = Moffat(nodes=8)(Places(*at[:, :2], side), np.array([math.log(4.0), 0.33])).value
        image = 60 + 4e4 * stars.sum(axis=0) + 8e4 * sersic_like_disc(4.0, 5.0, at[:, 2], side)
        pixels = random.poisson(image).astype(float)
        made.append(alignsvc.SceneExposure(pixels, header(), image))
    ra, dec = header().all_pix2world(*places, 0)
    given = alignsvc.SceneSources(ra, dec, ("star", "star", "exponential"))
    settings = alignsvc.SceneSettings(geometry="shift", star=star)
    fitted = alignsvc.fit_scene(made, given, settings)
    assert fitted.outcome.is_answer, fitted.message
    assert fitted.sources is not None
    assert math.exp(fitted.sources.shape[2, 0]) / SCALE == pytest.approx(5.0, rel=0.08)
    first, second, wide = sorted(box.shape[0] for box in fitted.exposures[0].windows)
    assert first == second < 0.8 * wide
    correction = fitted.exposures[1].correction
    assert correction is not None
    error = np.sqrt(np.diagonal(correction.covariance)[:2])
    # East is to the left: what is at larger x is farther west than its header says.
    assert (np.abs(correction.shift - SCALE * np.array([0.7, 0.4])) < 4.5 * error).all()


@pytest.mark.slow
def test_over_sixty_seeds_the_scatter_is_the_bound_and_the_turn_has_no_bias() -> None:
    limit, count = bound(TURNED), 60
    found = np.array(
        [
            errors_of(alignsvc.fit_scene(exposures(TURNED, seed)), TURNED).found / limit
            for seed in range(count)
        ]
    )
    shift, turn = found[:, :2].ravel(), found[:, 2]
    for scatter in (shift, turn):
        rms = math.sqrt(np.mean(scatter**2))
        assert rms < 1.05 + 2 / math.sqrt(2 * len(scatter))
    assert abs(turn.mean()) < 3 / math.sqrt(count)


def test_a_relative_weight_map_of_a_file_says_no_more_than_the_pixels(tmp_path: Path) -> None:
    first, second = exposures(TUTORIAL, seed=12)
    errors = []
    for factor in (1.0, 1e-3):
        files = []
        for name, one in (("first", first), ("second", second)):
            science = fits.ImageHDU(one.pixels.astype("f4"), header().to_header(), name="SCI")
            weight = fits.ImageHDU((factor / one.variance).astype("f4"), name="WHT")
            files.append(tmp_path / f"{name}-{factor}.fits")
            fits.HDUList([fits.PrimaryHDU(), science, weight]).writeto(files[-1])
        fitted = alignsvc.fit_scene(files)
        assert abs(fitted.chi2_per_degree - 1) < 0.06
        correction = fitted.exposures[1].correction
        assert correction is not None
        errors.append(np.diagonal(correction.covariance))
    np.testing.assert_allclose(errors[1], errors[0], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_chips_of_one_file_share_a_correction(tmp_path: Path) -> None:
    truth = replace(TUTORIAL, shift=(1.0, -0.5))
    first, second = exposures(truth, seed=11)
    halves = [fits.PrimaryHDU()]
    for x0 in (0, 75):
        cut = header()
        cut.wcs.crpix = cut.wcs.crpix - [x0, 0]
        hdu = fits.ImageHDU(second.pixels[:, x0 : x0 + 75].astype("f4"), name="SCI")
        hdu.header.update(cut.to_header())
        hdu.header["GAIN"], hdu.header["EXTVER"] = 1.0, 1 + x0 // 75
        halves.append(hdu)
    whole = fits.PrimaryHDU(first.pixels.astype("f4"), header().to_header())
    whole.writeto(tmp_path / "first.fits")
    fits.HDUList(halves).writeto(tmp_path / "second.fits")
    stars = alignsvc.SceneSources(*header().all_pix2world(truth.x, truth.y, 0))
    fitted = alignsvc.fit_scene([tmp_path / "first.fits", tmp_path / "second.fits"], stars)
    assert fitted.outcome.is_answer, fitted.message
    held, left, right = fitted.corrections
    assert held is not None
    assert held.is_identity
    assert left is not None
    assert right is not None
    np.testing.assert_array_equal(left.parameters, right.parameters)
    # East is to the left.
    np.testing.assert_allclose(left.shift, [0.2, 0.1], atol=0.03)
    other = alignsvc.fit_scene([tmp_path / "second.fits", tmp_path / "first.fits"], stars)
    assert [one is not None and one.is_identity for one in other.corrections] == [True, True, False]
