"""Bad input to the joint fit of a few images: an outcome with a name, never NaN."""

import math
from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS
from tutorial_scene import TUTORIAL, exposures, header

import alignsvc
from alignsvc.domain.arrays import FloatArray
from alignsvc.errors import ConfigError
from alignsvc.numerics.models.modelling.fitted_scene import FittedScene
from alignsvc.numerics.models.outcomes import Outcome

IMAGES = exposures(TUTORIAL, seed=0)


def fitted(
    images: list[alignsvc.SceneExposure],
    sources: alignsvc.SceneSources | None = None,
    settings: alignsvc.SceneSettings | None = None,
) -> FittedScene:
    """Return the fit, whose corrections are finite or None, as the outcome says."""
    found = alignsvc.fit_scene(images, sources, settings)
    for correction in found.corrections:
        assert (correction is not None) is found.outcome.is_answer
        if correction is not None:
            assert np.isfinite(correction.parameters).all()
            assert np.isfinite(correction.covariance).all()
    return found


def stars() -> alignsvc.SceneSources:
    return alignsvc.SceneSources(*header().all_pix2world(TUTORIAL.x, TUTORIAL.y, 0))


def noise(seed: int) -> FloatArray:
    return np.asarray(np.random.default_rng(seed).normal(100, 10, (150, 150)))


def test_images_without_a_star() -> None:
    empty = [replace(one, pixels=noise(e)) for e, one in enumerate(IMAGES)]
    assert fitted(empty).outcome is Outcome.NO_SOURCES
    assert not fitted(empty, stars()).outcome.is_answer


def test_a_list_of_no_sources() -> None:
    none = alignsvc.SceneSources(np.zeros(0), np.zeros(0))
    assert fitted(list(IMAGES), none).outcome is Outcome.NO_SOURCES


@pytest.mark.parametrize("given", [None, stars()])
def test_all_saturated_masked_without_variance_or_not_finite(
    given: alignsvc.SceneSources | None,
) -> None:
    broken = [
        {"saturation": 0.0},
        {"mask": np.ones((150, 150), bool)},
        {"variance": 0.0},
        {"variance": np.full((150, 150), np.nan)},
        {"pixels": np.full((150, 150), np.nan)},
    ]
    for bad in broken:
        images = [replace(one, **bad) for one in IMAGES]
        assert fitted(images, given).outcome is Outcome.NO_PIXELS


def test_constant_images_without_a_variance_have_no_noise_to_judge_by() -> None:
    images = [replace(one, pixels=np.full((150, 150), 7.0), variance=None) for one in IMAGES]
    assert fitted(images, stars()).outcome is Outcome.NO_PIXELS


def test_one_exposure_all_masked_is_named() -> None:
    images = [IMAGES[0], replace(IMAGES[1], mask=np.ones((150, 150), bool))]
    found = fitted(images)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "g shift x" in found.message
    assert "g: no good pixel in the window of any source" in found.message


def test_saturated_cores_leave_the_wings() -> None:
    images = [replace(one, saturation=700.0) for one in IMAGES]
    found = fitted(images, stars())
    assert found.outcome.is_answer, found.message
    assert found.exposures[1].n_pixels < alignsvc.fit_scene(IMAGES).exposures[1].n_pixels


def test_a_source_off_the_chip_takes_no_part() -> None:
    ra, dec = header().all_pix2world((*TUTORIAL.x, 400.0), (*TUTORIAL.y, -90.0), 0)
    found, same = (
        fitted(list(IMAGES), alignsvc.SceneSources(ra, dec)),
        fitted(list(IMAGES), stars()),
    )
    assert found.outcome.is_answer
    assert found.degrees_of_freedom == same.degrees_of_freedom
    assert found.sources is not None
    assert found.sources.covariance is not None
    assert np.isinf(np.diagonal(found.sources.covariance[3])).all()
    assert np.isnan(found.sources.flux[3]).all()


def test_all_sources_off_all_chips() -> None:
    away = alignsvc.SceneSources(np.array([10.0, 10.001]), np.array([-40.0, -40.001]))
    found = fitted(list(IMAGES), away)
    assert found.outcome is Outcome.NO_SOURCES


def test_one_star_does_not_tell_a_turn() -> None:
    one = alignsvc.SceneSources(stars().ra[:1], stars().dec[:1])
    found = fitted(list(IMAGES), one)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "g angle" in found.message
    assert "g: 1 source seen, geometry 'rshift' needs 2" in found.message
    assert fitted(list(IMAGES), one, alignsvc.SceneSettings(geometry="shift")).outcome.is_answer


def test_all_free_and_no_place_held_is_a_frame_that_nothing_holds() -> None:
    free = alignsvc.SceneSettings(geometry=("shift", "shift"))
    found = fitted(list(IMAGES), stars(), free)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "no place is held" in found.message
    held = replace(stars(), held=True)
    assert fitted(list(IMAGES), held, free).outcome.is_answer


def test_a_header_whose_matrix_has_no_inverse() -> None:
    flat = WCS(naxis=2)
    flat.wcs.ctype, flat.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    flat.wcs.cd = [[1e-4, 1e-4], [1e-4, 1e-4]]
    for which in (0, 1):
        images = [replace(one, wcs=flat) if e == which else one for e, one in enumerate(IMAGES)]
        found = fitted(images, stars())
        assert found.outcome is Outcome.DEGENERATE_GEOMETRY
        assert f"CD of {'rg'[which]} are not finite, or CD has no inverse" in found.message


def test_a_header_that_is_not_finite() -> None:
    empty = header()
    empty.wcs.crval = [math.nan, 2.0]
    found = fitted([IMAGES[0], replace(IMAGES[1], wcs=empty)], stars())
    assert found.outcome is Outcome.DEGENERATE_GEOMETRY


def test_sources_on_both_sides_of_the_sky() -> None:
    apart = alignsvc.SceneSources(np.array([150.0, 150.0, 330.0]), np.array([2.0, 2.0, -2.0]))
    assert fitted(list(IMAGES), apart).outcome is Outcome.DEGENERATE_GEOMETRY


def test_galaxies_alone_do_not_tell_the_psf() -> None:
    galaxies = replace(stars(), model="exponential")
    assert fitted(list(IMAGES), galaxies).outcome is Outcome.NO_PSF


def test_an_exposure_of_another_field_is_named() -> None:
    elsewhere = header()
    elsewhere.wcs.crval = [160.0, 2.0]
    found = fitted([IMAGES[0], replace(IMAGES[1], wcs=elsewhere)], stars())
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "g: no good pixel" in found.message
    assert "header far off" in found.message


def test_two_stars_do_not_tell_a_linear_map() -> None:
    two = alignsvc.SceneSources(stars().ra[:2], stars().dec[:2])
    settings = alignsvc.SceneSettings(geometry="general")
    found = fitted(list(IMAGES), two, settings)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "g: 2 sources seen, geometry 'general' needs 3" in found.message


@pytest.mark.parametrize("star", ["moffat", pytest.param("empirical", marks=pytest.mark.slow)])
@pytest.mark.parametrize("off_px", [0.0, 0.2])
def test_stars_on_a_line_do_not_tell_a_linear_map(star: str, off_px: float) -> None:
    """The noise of their places would: by a map that mirrors the sky."""
    x, y = (40.0, 75.0, 110.0), (40.0, 75.0 + off_px, 110.0)
    row = alignsvc.SceneSources(*header().all_pix2world(x, y, 0))
    images = list(exposures(replace(TUTORIAL, x=x, y=y), seed=0))
    general = alignsvc.SceneSettings(geometry="general", star=star)
    found = fitted(images, row, general)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "matrix of g (known to +- " in found.message
    assert "on a line" in found.message
    assert fitted(images, row, replace(general, geometry="rscale")).outcome.is_answer


@pytest.mark.parametrize("star", ["moffat", "empirical"])
def test_an_exposure_of_noise_among_good_ones_is_lost_and_named(star: str) -> None:
    images = [IMAGES[0], replace(IMAGES[1], pixels=noise(5))]
    found = fitted(images, stars(), alignsvc.SceneSettings(star=star))
    assert found.outcome is Outcome.LOST
    assert "not seen where the start has them: g" in found.message


def test_stars_that_absorb_light_are_no_stars() -> None:
    found = fitted([replace(one, pixels=200 - one.pixels) for one in IMAGES], stars())
    assert found.outcome is Outcome.LOST


def test_a_star_as_a_galaxy_of_any_index_leaves_corrections_right() -> None:
    """Its radius and index are free, and nothing in the data tells them."""
    mixed = fitted(list(IMAGES), replace(stars(), model=("star", "star", "sersic")))
    assert mixed.outcome.is_answer
    alone = fitted(list(IMAGES), stars()).corrections[1]
    assert mixed.corrections[1] is not None
    assert alone is not None
    error = np.sqrt(np.diagonal(alone.covariance))
    assert (np.abs(mixed.corrections[1].parameters - alone.parameters) <= 3 * error).all()


def test_a_source_given_twice_is_told_and_corrections_are_those_of_one() -> None:
    at = np.array([0, 0, 1, 2])
    once, twice = stars(), alignsvc.SceneSources(stars().ra[at], stars().dec[at])
    one, two = fitted(list(IMAGES), once), fitted(list(IMAGES), replace(twice, held=True))
    assert "sources 0 and 1 begin at one place" in two.warnings[0]
    assert one.warnings == ()
    first, second = one.corrections[1], two.corrections[1]
    assert first is not None
    assert second is not None
    assert np.isfinite(second.parameters).all()
    alone = fitted(list(IMAGES), alignsvc.SceneSources(stars().ra[[0, 0]], stars().dec[[0, 0]]))
    assert alone.outcome is Outcome.ILL_CONDITIONED


def test_a_galaxy_about_a_star_is_no_source_given_twice() -> None:
    ra, dec = stars().ra[[0, 0, 1]], stars().dec[[0, 0, 1]]
    host = alignsvc.SceneSources(ra, dec, ("star", "exponential", "star"))
    assert not any("one place" in said for said in fitted(list(IMAGES), host).warnings)


def test_a_star_masked_in_all_exposures_takes_no_part() -> None:
    mask = np.zeros((150, 150), bool)
    mask[30:75, 20:65] = True
    found = fitted([replace(one, mask=mask) for one in IMAGES], stars())
    assert found.outcome.is_answer
    assert found.sources is not None
    assert found.sources.covariance is not None
    assert np.isinf(np.diagonal(found.sources.covariance[0])).all()
    assert np.isnan(found.sources.flux[0]).all()


def test_windows_too_small_for_what_is_free() -> None:
    found = fitted(list(IMAGES), stars(), alignsvc.SceneSettings(window_px=1))
    assert found.outcome is Outcome.ILL_CONDITIONED


def test_units_of_1e_minus_20_are_fitted_as_others_are() -> None:
    tiny = [
        replace(one, pixels=one.pixels * 1e-20, variance=one.variance * 1e-40) for one in IMAGES
    ]
    found, same = fitted(tiny), fitted(list(IMAGES))
    assert found.chi2_per_degree == pytest.approx(same.chi2_per_degree, rel=1e-6)


@pytest.mark.slow
def test_a_psf_is_measured_in_units_of_1e_minus_20() -> None:
    tiny = [
        replace(one, pixels=one.pixels * 1e-20, variance=one.variance * 1e-40) for one in IMAGES
    ]
    assert fitted(tiny, stars(), alignsvc.SceneSettings(star="empirical")).outcome.is_answer


def test_what_is_wrong_with_all_pixels_is_counted_for_each_exposure() -> None:
    pixels = np.array(IMAGES[0].pixels)
    pixels[0] = np.nan
    images = [replace(IMAGES[0], pixels=pixels, mask=np.ones((150, 150), bool))]
    found = fitted([*images, replace(IMAGES[1], saturation=0.0)])
    assert "r: of 22500 pixels 150 not finite, 22500 masked" in found.message
    assert "g: of 22500 pixels 22500 saturated" in found.message


def test_nothing_to_be_found_says_at_what_threshold() -> None:
    found = fitted([replace(IMAGES[0], pixels=noise(0))])
    assert found.outcome is Outcome.NO_SOURCES
    assert "nothing stands out by 10 standard deviations" in found.message


def test_mistakes_of_the_caller_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match="no exposure"):
        alignsvc.fit_scene([])
    with pytest.raises(ConfigError, match="two exposures are named r"):
        fitted([IMAGES[0], IMAGES[0]])
    with pytest.raises(ConfigError, match=r"mask of shape \(3, 3\)"):
        replace(IMAGES[0], mask=np.zeros((3, 3), bool))
    with pytest.raises(ConfigError, match="geometry 'turn' found"):
        alignsvc.SceneSettings(geometry="turn")
    with pytest.raises(ConfigError, match="3 geometries for 2 exposures"):
        fitted(list(IMAGES), settings=alignsvc.SceneSettings(geometry=("none",) * 3))
    with pytest.raises(ConfigError, match="not finite"):
        alignsvc.SceneSources(np.array([math.nan]), np.array([2.0]))
    with pytest.raises(ConfigError, match="galaxy is named 'sersik'"):
        fitted(list(IMAGES), replace(stars(), model="sersik"))
