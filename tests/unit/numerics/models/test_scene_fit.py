"""The fit of a scene is the joint maximum-likelihood answer: a dense solver, and the truth."""

from dataclasses import replace

import numpy as np
import pytest
from parts_in_memory import PartsInMemory
from scenes_of_stars import (
    GALAXY,
    GAUSSIAN,
    OFF,
    SCENES,
    Truth,
    exposure_model,
    image_of,
    near,
    of_three_stars,
    pixels_of,
    scene_of,
    three_stars,
)
from scipy.optimize import least_squares

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.light.ellipticity import ellipses
from alignsvc.numerics.models.light.profile import Places, ProfileColumns, ShapeParameter
from alignsvc.numerics.models.parameters import Fixed, Free, Unknown
from alignsvc.numerics.models.scene.parted_fit import PartedSceneFitter
from alignsvc.numerics.models.scene.reweighting import CauchyWeights, ModelVariance
from alignsvc.numerics.models.scene.scene import ExposureModel, Scene, SkyModel, Sources, Views
from alignsvc.numerics.models.scene.scene_fit import SceneFit, SceneFitter
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.numerics.models.scene.scene_windows import LinearValues, SceneState, window_models
from alignsvc.numerics.models.scene.window import WindowStack

EXACT = SceneFitter(LevenbergMarquardt(tolerance=1e-15))
#: The same in as many parts as there are groups of sources.
IN_PARTS = PartedSceneFitter(EXACT.search, PartsInMemory.of, pixels_per_part=1)


def fixed_psf(exposures: list[ExposureModel]) -> tuple[ExposureModel, ...]:
    return tuple(replace(exposure, psf_shape=Fixed((0.6,))) for exposure in exposures)


class Oracle:
    """All parameters of a scene in one vector, all pixels in another, nothing eliminated."""

    def __init__(self, scene: Scene, state: SceneState) -> None:
        self.problem, self.state = SceneProblem(scene), state
        self.data = [views.windows for views in scene.views]

    def vector(self) -> FloatArray:
        state, own = self.state, self.problem.layout.sources
        parts = [state.unknowns, state.place[own.place >= 0], state.shape[own.shape >= 0]]
        parts.append(state.band_flux.ravel())
        for values in state.linear:
            parts += [values.flux.ravel()] if not state.band_flux.size else []
            parts += [values.sky.ravel()] if not self.shared_sky else []
        return np.concatenate(parts)

    @property
    def shared_sky(self) -> bool:
        return self.problem.scene.sky is SkyModel.EXPOSURE

    def unpacked(self, vector: FloatArray) -> SceneState:
        state, own, at = self.state, self.problem.layout.sources, 0

        def taken(array: FloatArray, free: FloatArray | None = None) -> FloatArray:
            nonlocal at
            new = array.copy()
            free = np.ones(array.shape, bool) if free is None else free
            count = int(free.sum())
            new[free] = vector[at : at + count]
            at += count
            return new

        unknowns = taken(state.unknowns)
        place, shape = taken(state.place, own.place >= 0), taken(state.shape, own.shape >= 0)
        band_flux = taken(state.band_flux)
        linear = []
        for values in state.linear:
            flux = values.flux if band_flux.size else taken(values.flux)
            sky = values.sky if self.shared_sky else taken(values.sky)
            linear.append(LinearValues(flux, sky))
        new = SceneState(unknowns, place, shape, band_flux, tuple(linear))
        whole = tuple(self.problem.linear_values(new, k) for k in range(len(linear)))
        return replace(new, linear=whole)

    def residual(self, vector: FloatArray) -> FloatArray:
        models = window_models(self.problem.scene, self.problem.layout, self.unpacked(vector))
        return np.concatenate(
            [
                ((model.total - windows.pixels) * np.sqrt(windows.weight)).ravel()
                for model, windows in zip(models, self.data, strict=True)
            ]
        )


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_a_dense_solver_finds_the_same_optimum_and_the_same_errors(make: object) -> None:
    scene = make()  # type: ignore[operator]
    fit = EXACT(scene)
    assert fit.outcome.is_answer, fit.message
    oracle = Oracle(scene, fit.state)
    best = oracle.vector()
    tolerance = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15}
    scale = np.maximum(np.abs(best), 1e-3)
    away = best + 1e-3 * scale * np.cos(np.arange(len(best)))
    dense = least_squares(
        oracle.residual, away, jac="3-point", x_scale=scale, method="lm", **tolerance
    )
    covariance = np.linalg.inv(dense.jac.T @ dense.jac)
    sigma = np.sqrt(np.diagonal(covariance))
    # The solver stops where chi2 no longer changes, at 1e-6 sigma: one step on from there.
    optimum = dense.x - np.linalg.lstsq(dense.jac, dense.fun, rcond=None)[0]
    assert np.abs((optimum - best) / sigma).max() < 1e-6
    in_parts = IN_PARTS(scene)
    assert in_parts.outcome.is_answer, in_parts.message
    there = Oracle(scene, in_parts.state).vector()
    assert np.abs((optimum - there) / sigma).max() < 1e-6
    r = len(fit.value)
    assert fit.covariance is not None
    assert fit.place_covariance is not None
    close = {"rtol": 1e-4, "atol": 1e-9 * sigma[:r].min() ** 2}
    np.testing.assert_allclose(np.diagonal(fit.covariance), sigma[:r] ** 2, **close)
    free = ~scene.sources.held
    first = covariance[r : r + 2 * free.sum(), r : r + 2 * free.sum()]
    for k, place in enumerate(np.flatnonzero(free)):
        mine = first[2 * k : 2 * k + 2, 2 * k : 2 * k + 2]
        np.testing.assert_allclose(fit.place_covariance[place], mine, rtol=1e-4, atol=1e-10)
    assert np.array_equal(fit.place_covariance[~free], np.zeros((int((~free).sum()), 2, 2)))
    shapes = fit.source_covariance
    assert shapes is not None
    widths = np.flatnonzero(scene.sources.kind > 0)
    after = r + 2 * int(free.sum())
    for k, source in enumerate(widths):
        mine = slice(after + 3 * k, after + 3 * k + 3)
        wanted = covariance[mine, mine]
        np.testing.assert_allclose(shapes[source, 2:, 2:], wanted, rtol=1e-3, atol=1e-9)
    n = oracle.residual(best)
    assert fit.chi2 == pytest.approx(n @ n, rel=1e-10)
    assert fit.degrees_of_freedom == len(n) - len(best)


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_far_from_the_optimum_too_fluxes_and_skies_are_the_best_ones(make: object) -> None:
    problem = SceneProblem(make())  # type: ignore[operator]
    here = problem.linearise(problem.start())
    assert here is not None
    oracle = Oracle(problem.scene, here.state)
    vector = oracle.vector()
    left = oracle.residual(vector)
    assert here.chi2 == pytest.approx(left @ left, rel=1e-10)
    own = problem.layout.sources
    first = here.state.unknowns.size + (own.place >= 0).sum() + (own.shape >= 0).sum()
    linear = np.zeros(len(vector), bool)
    linear[first:] = True
    linear[: here.state.unknowns.size] = problem.layout.table.linear
    for k in np.flatnonzero(linear):
        step = np.zeros(len(vector))
        step[k] = 1.0
        slope = oracle.residual(vector + step) - left
        assert abs(slope @ left) < 1e-8 * np.linalg.norm(slope) * np.linalg.norm(left)


@pytest.mark.parametrize("make", SCENES[:4], ids=lambda make: make.__name__)
def test_from_afar_it_ends_at_the_same_optimum(make: object) -> None:
    scene = make()  # type: ignore[operator]
    fit = EXACT(scene)
    away = Points(scene.sources.place.x + 0.4, scene.sources.place.y - 0.3)
    again = EXACT(replace(scene, sources=replace(scene.sources, place=away)))
    assert again.chi2 == pytest.approx(fit.chi2, rel=1e-12)
    np.testing.assert_allclose(again.value, fit.value, atol=1e-8)


def of_noise(noise: float, **settings: object) -> tuple[SceneFit, Points]:
    plane, flux = three_stars()
    truths = [replace(Truth(), noise=noise), replace(OFF, noise=noise)]
    seed = None if noise == 1e-3 else 1
    scene = scene_of(truths, plane, flux, start=near(plane), seed=seed, side=31, **settings)  # type: ignore[arg-type]
    return SceneFitter()(scene), plane


def test_without_noise_the_truth_comes_back() -> None:
    fit, plane = of_noise(1e-3)
    np.testing.assert_allclose(fit.place.x, plane.x, atol=1e-5)
    np.testing.assert_allclose(fit.place.y, plane.y, atol=1e-5)
    assert fit.value_of("e1 x") == pytest.approx(39.5 + OFF.shift[0], abs=1e-5)
    assert fit.value_of("e1 y") == pytest.approx(39.5 + OFF.shift[1], abs=1e-5)
    assert fit.value_of("e1 angle") == pytest.approx(OFF.angle, abs=1e-6)
    assert fit.value_of("e1 sigma") == pytest.approx(OFF.log_sigma, abs=1e-5)


def test_a_galaxy_is_an_ellipse_on_the_plane_that_a_turned_finer_exposure_sees_too() -> None:
    """Exposure 1 is turned by 0.6 rad, mirrored and has pixels of two thirds: all known."""
    turn, at = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]]), (40.2, 39.7)
    matrices = [np.eye(2), turn @ np.diag([-1.0, 1.0]) / 1.5]
    shape = np.array([[np.log(3.0), 0.3, -0.2]])
    y, x = np.indices((81, 81)) - 40.0
    exposures, pixels = [], []
    for k, matrix in enumerate(matrices):
        plane = np.stack([x, y], axis=-1) @ matrix.T + 40.0 - np.array(at)
        xx, xy, yy = ellipses(shape[:, 1], shape[:, 2]).inverse().matrix[0]
        wide = np.exp(2 * shape[0, 0])
        form = xx * plane[..., 0] ** 2 + 2 * xy * plane[..., 0] * plane[..., 1]
        form += yy * plane[..., 1] ** 2
        area = abs(np.linalg.det(matrix))
        pixels.append(1e4 * area * np.exp(-0.5 * form / wide) / (2 * np.pi * wide) + 3.0)
        model = exposure_model(f"e{k}", (40.0, 40.0), "none")
        placing = Fixed((40.0, 40.0, *(float(v) for v in matrix.ravel())))
        exposures.append(replace(model, placing=placing, galaxies=(GALAXY,)))
    stack = np.stack(pixels)
    windows = WindowStack(stack, np.ones_like(stack), np.zeros((2, 2), int))
    sources = replace(
        Sources.stars(Points(np.array([40.0]), np.array([40.0]))),
        kind=np.array([1]), shape=np.array([[1.0, 0.1, 0.0]]), shape_held=np.zeros((1, 3), bool),
    )  # fmt: skip
    views = Views(windows, np.arange(2), np.zeros((2, 1), int))
    fit = EXACT(Scene(fixed_psf(exposures), sources, (views,)))
    assert fit.outcome.is_answer, fit.message
    np.testing.assert_allclose(fit.shape, shape, atol=1e-7)
    np.testing.assert_allclose([fit.place.x[0], fit.place.y[0]], at, atol=1e-7)
    assert fit.views is not None
    np.testing.assert_allclose(fit.views.flux, 1e4, rtol=1e-7)


def test_three_px_and_pi_over_32_off_it_converges_at_once() -> None:
    plane, flux = three_stars()
    truth = Truth((3.0, 0.0), np.pi / 32, 0.7)
    fit = SceneFitter()(scene_of([Truth(), truth], plane, 5 * flux, side=31))
    assert fit.outcome.is_answer
    assert len(fit.history) < 12
    for name, wanted in (("e1 x", 42.5), ("e1 y", 39.5), ("e1 angle", np.pi / 32)):
        assert abs(fit.value_of(name) - wanted) < 5 * fit.error_of(name)


def test_errors_are_those_that_noise_makes() -> None:
    pulls = []
    plane, flux = three_stars()
    for seed in range(25):
        truths = [Truth(noise=5.0), replace(OFF, noise=5.0)]
        fit = SceneFitter()(scene_of(truths, plane, flux, start=near(plane), seed=seed))
        found = [(fit.value_of(f"e1 {k}"), fit.error_of(f"e1 {k}")) for k in ("x", "y", "angle")]
        wanted = (39.5 + OFF.shift[0], 39.5 + OFF.shift[1], OFF.angle)
        pulls += [(v - w) / e for (v, e), w in zip(found, wanted, strict=True)]
        assert fit.place_covariance is not None
        pulls += list((fit.place.x - plane.x) / np.sqrt(fit.place_covariance[:, 0, 0]))
    assert 0.85 < np.std(pulls) < 1.15
    assert abs(np.mean(pulls)) < 0.3


def test_noise_of_the_sources_is_added_from_the_model() -> None:
    plane, flux = three_stars()
    scene = scene_of([Truth(), OFF], plane, flux, start=near(plane), seed=None)
    plain, fit = SceneFitter()(scene), SceneFitter(reweighting=ModelVariance(gain=0.1))(scene)
    assert fit.error_of("e1 x") > 2 * plain.error_of("e1 x")
    at = pixels_of(Truth(), plane, (39.5, 39.5))
    light = image_of(replace(Truth(), sky=0.0), at, flux, (80, 80), None)
    first = scene.views[0].windows
    corner = first.corner[0]
    mine = light[corner[1] : corner[1] + 21, corner[0] : corner[0] + 21]
    model = window_models(scene, SceneProblem(scene).layout, plain.state)[0]
    weight = ModelVariance(gain=0.1)(first, model)
    np.testing.assert_allclose(weight[0], 1 / (1 + 10 * mine), rtol=1e-4)


def test_robust_weights_let_go_of_a_bad_pixel() -> None:
    scene = of_three_stars()
    windows = scene.views[0].windows
    pixels = windows.pixels.copy()
    pixels[4, 12, 12] += 400.0
    spoilt = replace(scene.views[0], windows=replace(windows, pixels=pixels))
    clean, error = SceneFitter()(scene), 0.0
    for reweighting in (None, CauchyWeights()):
        fitter = SceneFitter(reweighting=reweighting, rounds=4)
        fit = fitter(replace(scene, views=(spoilt,)))
        last, error = error, abs(fit.value_of("e1 x") - clean.value_of("e1 x"))
    assert error < 0.2 * last
    assert error < 0.5 * clean.error_of("e1 x")


def test_a_parameter_stays_within_its_bounds_and_the_rest_is_fitted() -> None:
    scene = of_three_stars()
    bound = Free((Unknown("narrow", 0.4, highest=0.45),))
    exposures = (scene.exposures[0], replace(scene.exposures[1], psf_shape=bound))
    fit = SceneFitter()(replace(scene, exposures=exposures))
    fixed = (scene.exposures[0], replace(scene.exposures[1], psf_shape=Fixed((0.45,))))
    same = SceneFitter()(replace(scene, exposures=fixed))
    assert fit.outcome.is_answer
    assert fit.value_of("narrow") == 0.45
    assert fit.value_of("e1 x") == pytest.approx(same.value_of("e1 x"), abs=1e-5)


class KnownGaussian:
    """A PSF that is known: no parameters, as an empirical one."""

    parameters: tuple[ShapeParameter, ...] = ()

    def __call__(self, windows: Places, shape: FloatArray) -> ProfileColumns:
        columns = GAUSSIAN(windows, np.full((len(shape), 1), 0.6))
        return replace(columns, d_shape=columns.d_shape[:, :0])


def test_a_psf_without_parameters_is_one_whose_parameters_are_fixed() -> None:
    scene = of_three_stars()
    known = tuple(replace(e, psf=KnownGaussian(), psf_shape=Fixed(())) for e in scene.exposures)
    fixed = tuple(replace(e, psf_shape=Fixed((0.6,))) for e in scene.exposures)
    fits = [EXACT(replace(scene, exposures=exposures)) for exposures in (known, fixed)]
    assert fits[0].outcome.is_answer
    np.testing.assert_allclose(fits[0].value, fits[1].value, atol=1e-10)


def test_single_precision_pixels_give_the_same_answer() -> None:
    scene = of_three_stars()
    views = scene.views[0]
    small = replace(views.windows, pixels=views.windows.pixels.astype(np.float32))
    fit, same = SceneFitter()(replace(scene, views=(replace(views, windows=small),))), EXACT(scene)
    assert fit.outcome.is_answer
    assert abs(fit.value_of("e1 x") - same.value_of("e1 x")) < 1e-3 * same.error_of("e1 x")
