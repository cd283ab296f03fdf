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
from alignsvc.numerics.models.fitted_scene import FittedScene
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
    assert fitted(list(IMAGES), away).outcome is Outcome.NO_SOURCES


def test_one_star_does_not_tell_a_turn() -> None:
    one = alignsvc.SceneSources(stars().ra[:1], stars().dec[:1])
    found = fitted(list(IMAGES), one)
    assert found.outcome is Outcome.ILL_CONDITIONED
    assert "g angle" in found.message
    assert fitted(list(IMAGES), one, alignsvc.SceneSettings(geometry="shift")).outcome.is_answer


def test_all_free_and_no_place_held_is_a_frame_that_nothing_holds() -> None:
    free = alignsvc.SceneSettings(geometry=("shift", "shift"))
    assert fitted(list(IMAGES), stars(), free).outcome is Outcome.ILL_CONDITIONED
    held = replace(stars(), held=True)
    assert fitted(list(IMAGES), held, free).outcome.is_answer


def test_a_header_whose_matrix_has_no_inverse() -> None:
    flat = WCS(naxis=2)
    flat.wcs.ctype, flat.wcs.crval = ("RA---TAN", "DEC--TAN"), (150.0, 2.0)
    flat.wcs.cd = [[1e-4, 1e-4], [1e-4, 1e-4]]
    for which in (0, 1):
        images = [replace(one, wcs=flat) if e == which else one for e, one in enumerate(IMAGES)]
        assert fitted(images, stars()).outcome is Outcome.DEGENERATE_GEOMETRY


def test_sources_on_both_sides_of_the_sky() -> None:
    apart = alignsvc.SceneSources(np.array([150.0, 150.0, 330.0]), np.array([2.0, 2.0, -2.0]))
    assert fitted(list(IMAGES), apart).outcome is Outcome.DEGENERATE_GEOMETRY


def test_galaxies_alone_do_not_tell_the_psf() -> None:
    galaxies = replace(stars(), model="exponential")
    assert fitted(list(IMAGES), galaxies).outcome is Outcome.NO_PSF


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
