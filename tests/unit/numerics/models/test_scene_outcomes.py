"""Bad input and starts too far off end with a name, never with NaN."""

from dataclasses import replace

import numpy as np
import pytest
from scenes_of_stars import GALAXY, GAUSSIAN, Truth, exposure_model, scene_of, three_stars

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.blocks import BlockStep
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import Fixed, Free, Unknown
from alignsvc.numerics.models.scene.scene import Scene, Sources, Views
from alignsvc.numerics.models.scene.scene_fit import SceneFit, SceneFitter
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.numerics.models.scene.window import inverse_variance

PLANE, FLUX = three_stars()
ABOUT = (39.5, 39.5)


def fitted(scene: Scene) -> SceneFit:
    """Return the fit, which holds finite numbers whatever the outcome."""
    fit = SceneFitter()(scene)
    for numbers in (fit.value, *fit.place, fit.shape, fit.chi2):
        assert np.isfinite(numbers).all()
    for covariance in (fit.covariance, fit.place_covariance):
        assert covariance is None or not np.isnan(covariance).any()
    return fit


def two_exposures(*, shift: float = 0.5, seed: int = 3, angle: float = 0.0) -> Scene:
    truth = Truth((shift, -0.3), angle)
    return scene_of([Truth(), truth], PLANE, FLUX, side=31, seed=seed)


def with_weights(scene: Scene, weight: FloatArray) -> Scene:
    return scene.with_weights([weight])


def test_no_star_at_all() -> None:
    none = Sources.stars(Points(np.zeros(0), np.zeros(0)))
    for views in ((), tuple(v.select(np.zeros(0, int)) for v in two_exposures().views)):
        scene = Scene(two_exposures().exposures, none, views)
        assert fitted(scene).outcome is Outcome.NO_SOURCES


@pytest.mark.parametrize("variance", [0.0, -1.0, np.nan, np.inf])
def test_all_pixels_masked_saturated_or_without_variance(variance: float) -> None:
    scene = two_exposures()
    weight = inverse_variance(np.full(scene.views[0].windows.pixels.shape, variance))
    fit = fitted(with_weights(scene, weight))
    assert fit.outcome is Outcome.NO_PIXELS
    assert fit.covariance is None


def test_an_exposure_without_pixels_is_named_by_what_stays_unknown() -> None:
    scene = two_exposures()
    weight = scene.views[0].windows.weight.copy()
    weight[scene.views[0].exposure == 1] = 0
    fit = fitted(with_weights(scene, weight))
    assert fit.outcome is Outcome.ILL_CONDITIONED
    assert fit.message.endswith(": e1 x, e1 y, e1 angle, e1 sigma")
    assert fit.error_of("e1 x") == np.inf


def test_a_star_off_the_chip_takes_no_part_and_harms_no_other() -> None:
    plane = Points(np.append(PLANE.x, 300.0), np.append(PLANE.y, -40.0))
    scene = scene_of([Truth(), Truth((0.5, -0.3))], plane, np.append(FLUX, 1e4), side=31, seed=3)
    fit, same = fitted(scene), fitted(two_exposures())
    assert fit.outcome.is_answer
    assert fit.degrees_of_freedom == same.degrees_of_freedom
    np.testing.assert_allclose(fit.value, same.value, atol=1e-6)
    assert fit.place_covariance is not None
    assert np.isinf(np.diagonal(fit.place_covariance[3])).all()
    assert fit.views is not None
    assert np.isinf(fit.views.flux_error[fit.views.source == 3]).all()


def test_a_star_masked_in_one_exposure_is_fitted_in_the_other() -> None:
    scene = two_exposures()
    views = scene.views[0]
    weight = views.windows.weight.copy()
    weight[(views.exposure == 1) & (views.source[:, 0] == 2)] = 0
    fit, whole = fitted(with_weights(scene, weight)), fitted(scene)
    assert fit.outcome.is_answer
    assert fit.error_of("e1 x") > whole.error_of("e1 x")
    assert abs(fit.value_of("e1 x") - 40.0) < 5 * fit.error_of("e1 x")


def test_one_star_does_not_determine_a_rotation_about_itself() -> None:
    plane = Points(np.array([50.0]), np.array([30.0]))
    fit = fitted(scene_of([Truth(), Truth()], plane, np.array([5000.0]), side=31))
    assert fit.outcome is Outcome.ILL_CONDITIONED
    assert "e1 angle" in fit.message
    assert "sigma" not in fit.message


def test_exposures_that_are_all_free_float_together() -> None:
    scene = two_exposures()
    first = exposure_model("e0", ABOUT, "shift")
    fit = fitted(replace(scene, exposures=(first, scene.exposures[1])))
    assert fit.outcome is Outcome.ILL_CONDITIONED
    assert "e0 x" in fit.message
    assert "e1 x" in fit.message


def test_a_geometry_that_maps_to_no_pixel_is_degenerate() -> None:
    scene = two_exposures()
    flat = replace(scene.exposures[1], placing=Fixed((*ABOUT, 1.0, 1.0, 1.0, 1.0)))
    fit = fitted(replace(scene, exposures=(scene.exposures[0], flat)))
    assert fit.outcome is Outcome.DEGENERATE_GEOMETRY


def test_a_matrix_that_comes_to_have_no_inverse_is_not_followed() -> None:
    scene = two_exposures()
    narrow = Free(tuple(Unknown(f"m{k}", float(v)) for k, v in enumerate((*ABOUT, 1e-3, 0, 0, 1))))
    wrong = replace(scene.exposures[1], placing=narrow)
    assert not fitted(replace(scene, exposures=(scene.exposures[0], wrong))).outcome.is_answer


@pytest.mark.parametrize("shift", [12.0, 18.0, 40.0, 1e4])
def test_from_too_far_it_does_not_say_converged(shift: float) -> None:
    fit = fitted(two_exposures(shift=shift, angle=np.pi / 32))
    assert not fit.outcome.is_answer
    assert fit.message.startswith("not converged") or fit.outcome is Outcome.ILL_CONDITIONED


def test_a_lost_exposure_is_named() -> None:
    fit = fitted(two_exposures(shift=12.0))
    assert fit.outcome is Outcome.LOST
    assert fit.message.endswith(": e1")
    assert fit.views is not None
    assert fit.views.lost[fit.views.exposure == 1].mean() > 0.5


def test_an_exposure_that_shows_nothing_is_lost() -> None:
    far = Truth((1e4, 0.0))
    scene = scene_of([Truth(), far], PLANE, FLUX, side=31, seed=3, free="none")
    fit = fitted(scene)
    assert fit.outcome is Outcome.LOST
    assert fit.message.endswith(": e1")


def test_a_source_outside_its_window_is_marked() -> None:
    dark = FLUX * np.array([1.0, 1.0, 0.0])
    scene = scene_of([Truth(), Truth((0.5, -0.3))], PLANE, dark, side=31, seed=3)
    x = scene.sources.place.x + np.array([0.0, 0.0, 16.5])
    held = np.array([False, False, True])
    sources = replace(scene.sources, place=Points(x, scene.sources.place.y), held=held)
    fit = fitted(replace(scene, sources=sources))
    assert fit.views is not None
    assert np.array_equal(fit.views.lost, fit.views.source == 2)


def test_no_source_moves_far_in_one_step() -> None:
    scene = two_exposures()
    problem = SceneProblem(scene)
    start = problem.start()
    step = BlockStep(np.array([1e6, 1e6, 0.3, -0.4, 0.0, -1e9]), np.zeros(5))
    moved = problem.moved(start, step).place - start.place
    np.testing.assert_allclose(np.hypot(*moved.T), [3.0, 0.5, 3.0])


def test_one_star_that_is_not_there_is_marked_and_the_rest_is_aligned() -> None:
    plane = Points(np.append(PLANE.x, 60.0), np.append(PLANE.y, 60.0))
    fit = fitted(scene_of([Truth(), Truth((0.5, 0.0))], plane, np.append(FLUX, 0.0), seed=5))
    assert fit.outcome.is_answer
    assert abs(fit.value_of("e1 x") - 40.0) < 5 * fit.error_of("e1 x")


def test_passes_that_run_out_are_no_answer() -> None:
    fitter = SceneFitter()
    short = replace(fitter, search=replace(fitter.search, max_passes=2))
    assert short(two_exposures()).outcome is Outcome.ITERATIONS


def test_an_unknown_that_is_asked_for_by_a_wrong_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="no unknown is named e1 z; there are e0 sigma, e1 x"):
        fitted(two_exposures()).value_of("e1 z")


def test_what_does_not_fit_together_is_refused() -> None:
    scene = two_exposures()
    views = scene.views[0]
    with pytest.raises(ValueError, match="a view names an exposure or a source"):
        replace(scene, views=(Views(views.windows, views.exposure + 1, views.source),))
    with pytest.raises(ValueError, match="placing: 6 numbers wanted, found 2"):
        replace(scene.exposures[0], placing=Fixed((0.0, 0.0)))
    with pytest.raises(ValueError, match="PSF shape: 1 or 3 numbers wanted"):
        replace(scene.exposures[0], psf_shape=Fixed((0.0, 0.0)))
    with pytest.raises(ValueError, match="scene: sky window, and exposures' skies of"):
        exposures = tuple(replace(e, sky=Fixed((0.0,))) for e in scene.exposures)
        replace(scene, exposures=exposures)
    galaxy = replace(scene.sources, kind=np.array([0, 1, 0]))
    with pytest.raises(ValueError, match="an exposure without a profile"):
        replace(scene, sources=galaxy)
    for profile, message in ((GALAXY, "0 columns in the sources' shape"), (GAUSSIAN, "e1, e2")):
        exposures = tuple(replace(e, galaxies=(profile,)) for e in scene.exposures)
        with pytest.raises(ValueError, match=message):
            replace(scene, sources=galaxy, exposures=exposures)
    with pytest.raises(ValueError, match="finite places wanted"):
        Sources.stars(Points(np.array([np.nan]), np.zeros(1)))
