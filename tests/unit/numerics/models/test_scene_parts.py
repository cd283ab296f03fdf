"""A scene in parts: what workers return adds up to the fit in one piece, to the last steps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts_in_memory import PartsInMemory, sent
from scenes_of_stars import SCENES, Truth, of_a_blend, of_three_stars, scene_of

from alignsvc.domain.geometry import Points
from alignsvc.io.tables import bytes_from_table
from alignsvc.numerics.models.least_squares import LevenbergMarquardt
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import Fixed, Free, Unknown
from alignsvc.numerics.models.scene.part_sums import PartSums
from alignsvc.numerics.models.scene.parted_fit import PartedSceneFitter
from alignsvc.numerics.models.scene.scene import FluxModel, Scene, SkyModel
from alignsvc.numerics.models.scene.scene_fit import SceneFit, SceneFitter
from alignsvc.numerics.models.scene.scene_partition import CutPart, SceneModels, parts_of
from alignsvc.numerics.models.scene.scene_problem import SceneProblem

STARS = 8
PIXELS = 3 * 21**2  # of a star of `eight_stars` in its three windows


def eight_stars() -> Scene:
    rng = np.random.default_rng(4)
    x, y = np.meshgrid([20.0, 60.0, 100.0], [20.0, 60.0, 100.0])
    plane = Points(x.ravel()[:STARS] + rng.uniform(-4, 4, STARS), y.ravel()[:STARS])
    # The last two are fitted together.
    plane.x[7], plane.y[7] = plane.x[6] + 4.0, plane.y[6] + 3.0
    truths = [Truth(), Truth((0.7, 0.2), 0.01), Truth((-0.5, 0.4), -0.02)]
    flux = rng.uniform(1000, 4000, STARS)
    members = [[k] for k in range(6)] + [[6, 7]]
    start = Points(plane.x + 0.2, plane.y - 0.3)
    return scene_of(truths, plane, flux, start=start, shape=(121, 121), members=members)


def in_parts(scene: Scene, pixels: int = 1) -> tuple[SceneFit, PartsInMemory]:
    """Return the fit in parts, and the parts; by default of one group each."""
    made: list[PartsInMemory] = []

    def workshop(*arguments: object) -> PartsInMemory:
        made.append(PartsInMemory.of(*arguments))  # type: ignore[arg-type]
        return made[-1]

    return PartedSceneFitter(LevenbergMarquardt(), workshop, pixels)(scene), made[-1]


def assert_same(fit: SceneFit, whole: SceneFit) -> None:
    """They took the same steps to the same answer."""
    assert (fit.outcome, fit.message) == (whole.outcome, whole.message)
    assert fit.covariance is not None
    assert whole.covariance is not None
    assert fit.source_covariance is not None
    assert whole.source_covariance is not None
    error = np.sqrt(np.diagonal(whole.covariance))
    assert np.abs((fit.value - whole.value) / error).max() < 1e-8
    np.testing.assert_allclose(fit.covariance, whole.covariance, rtol=1e-7, atol=1e-20)
    np.testing.assert_allclose(fit.source_covariance, whole.source_covariance, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.place, whole.place, rtol=1e-11)
    np.testing.assert_allclose(fit.shape, whole.shape, atol=1e-9)
    assert fit.degrees_of_freedom == whole.degrees_of_freedom
    assert len(fit.history) == len(whole.history)
    for one, other in zip(fit.history, whole.history, strict=True):
        assert (one.passes, one.damping) == (other.passes, pytest.approx(other.damping, rel=1e-4))
        assert one.chi2 == pytest.approx(other.chi2, rel=1e-11)
    views, wanted = fit.views, whole.views
    assert views is not None
    assert wanted is not None
    for name in ("exposure", "source", "n_pixels", "lost"):
        assert np.array_equal(getattr(views, name), getattr(wanted, name))
    for name in ("flux", "flux_error", "chi2"):
        np.testing.assert_allclose(getattr(views, name), getattr(wanted, name), rtol=1e-9)


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_in_parts_a_fit_takes_the_same_steps_to_the_same_answer(make: object) -> None:
    scene = make()  # type: ignore[operator]
    fit, parts = in_parts(scene)
    assert len(parts.problems) == len(np.unique(scene.group)) > 1
    assert_same(fit, SceneFitter()(scene))


@pytest.mark.parametrize("pixels", [2 * PIXELS, 4 * PIXELS])
def test_how_many_parts_there_are_changes_rounding_only(pixels: int) -> None:
    scene = eight_stars()
    fit, parts = in_parts(scene, pixels)
    assert 1 < len(parts.problems) < 7
    assert_same(fit, SceneFitter()(scene))


def test_a_pass_over_the_pixels_is_one_exchange() -> None:
    fit, parts = in_parts(eight_stars())
    passes = fit.history[-1].passes
    assert parts.asked.count("TryStep") == passes - 1
    # Beyond that: dampings that were not foreseen, the undamped end, and no pixel.
    assert set(parts.asked) == {"begin", "TryStep", "Damp"}
    assert parts.asked.count("Damp") <= passes


def test_skies_of_exposures_take_a_second_exchange_without_pixels() -> None:
    scene = eight_stars()
    skies = tuple(
        replace(one, sky=Free((Unknown(f"{one.name} sky", 0.0, linear=True),)))
        for one in scene.exposures
    )
    scene = replace(scene, exposures=skies, sky=SkyModel.EXPOSURE)
    fit, parts = in_parts(scene)
    assert_same(fit, SceneFitter()(scene))
    assert parts.asked.count("SettleLinear") == fit.history[-1].passes


def test_a_bound_that_the_parts_together_push_against_holds() -> None:
    scene = of_three_stars()
    bound = Free((Unknown("narrow", 0.4, highest=0.45),))
    scene = replace(
        scene, exposures=(scene.exposures[0], replace(scene.exposures[1], psf_shape=bound))
    )
    fit, _ = in_parts(scene)
    assert fit.value_of("narrow") == 0.45
    assert_same(fit, SceneFitter()(scene))


def test_steps_that_are_rejected_are_rejected_in_parts_too() -> None:
    # So far off that steps go too far.
    scene = of_a_blend()
    place = Points(scene.sources.place.x + 3.0, scene.sources.place.y - 2.4)
    scene = replace(scene, sources=replace(scene.sources, place=place))
    whole = SceneFitter()(scene)
    fit, _ = in_parts(scene)
    assert_same(fit, whole)
    assert len(whole.history) < whole.history[-1].passes  # a trial was no better


def test_a_fit_in_parts_goes_on_from_the_state_of_another() -> None:
    scene = eight_stars()
    fitter = PartedSceneFitter(LevenbergMarquardt(), PartsInMemory.of, 1)
    first = SceneFitter()(scene)
    again = fitter(scene, first.state)
    assert len(again.history) == 1
    assert_same(again, SceneFitter()(scene, first.state))


def test_what_nothing_determines_is_named_in_parts_too() -> None:
    scene = eight_stars()
    free = (replace(scene.exposures[1], name="e0"), *scene.exposures[1:])
    alone = replace(scene, exposures=tuple(replace(e, name=e.name) for e in free))
    fit, _ = in_parts(alone)
    whole = SceneFitter()(alone)
    assert (fit.outcome, fit.message) == (whole.outcome, whole.message)


def test_a_geometry_that_maps_to_no_pixel_is_degenerate_in_parts_too() -> None:
    scene = of_three_stars()
    flat = replace(scene.exposures[0], placing=Fixed((0.0,) * 6))
    fit, _ = in_parts(replace(scene, exposures=(flat, scene.exposures[1])))
    assert fit.outcome is Outcome.DEGENERATE_GEOMETRY


@settings(max_examples=12, deadline=None)
@given(
    choice=st.lists(st.integers(0, 3), min_size=7, max_size=7),
    damping=st.sampled_from([0.0, 1e-3, 10.0]),
    flux=st.sampled_from(list(FluxModel)),
)
def test_any_partition_gives_the_same_reduced_system(
    choice: list[int], damping: float, flux: FluxModel
) -> None:
    scene = replace(EIGHT, flux=flux)
    assert scene.group is not None
    of_source = np.array(choice)[scene.group]
    whole = SceneProblem(scene)
    here = whole.linearise(whole.start())
    assert here is not None
    wanted = PartSums.of(here, damping)
    parts = []
    for part in np.unique(of_source):
        problem = SceneProblem(scene.of_sources(of_source == part))
        there = problem.linearise(problem.start())
        assert there is not None
        parts.append(sent(PartSums.of(there, damping)))
    total = PartSums.total(parts)
    for name in ("triangle", "gradient", "push", "diagonal", "damped_triangle", "damped_vector"):
        found, right = getattr(total, name), getattr(wanted, name)
        assert np.abs(found - right).max(initial=0) <= 1e-12 * np.abs(right).max(initial=1)
    for name in ("chi2", "rounding", "explained", "damped_constant"):
        assert getattr(total, name) == pytest.approx(getattr(wanted, name), rel=1e-12)
    assert (total.n_pixels, total.n_determined) == (wanted.n_pixels, wanted.n_determined)


@pytest.mark.parametrize("damping", [0.0, 1e-3, 10.0])
@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_sums_alone_tell_what_a_step_promises(make: object, damping: float) -> None:
    problem = SceneProblem(make())  # type: ignore[operator]
    here = problem.linearise(problem.start())
    assert here is not None
    wanted, sums = here.step(damping), PartSums.of(here, damping)
    held = here.freedom.reduced_held
    solution = sums.reduced(held).solve()
    assert solution is not None
    assert wanted is not None
    np.testing.assert_allclose(solution, wanted.delta.reduced, rtol=1e-9, atol=1e-12)
    promised = sums.decrease(solution, held, problem.layout.table.linear)
    assert promised == pytest.approx(wanted.decrease, rel=1e-9)


def test_windows_of_each_exposure_add_up_to_the_equations_of_all() -> None:
    scene = eight_stars()
    problem = SceneProblem(scene)
    whole = problem.linearise(problem.start())
    assert whole is not None
    parts = []
    for e in range(3):
        part = SceneProblem(scene.of_exposure(e))
        equations = part.linearise(part.start())
        assert equations is not None
        parts.append(equations)
    blocks = parts[0].blocks + parts[1].blocks + parts[2].blocks
    np.testing.assert_allclose(blocks.group_matrix, whole.blocks.group_matrix, rtol=1e-10)
    np.testing.assert_allclose(blocks.matrix, whole.blocks.matrix, rtol=1e-10, atol=1e-6)
    step = blocks.eliminated(1e-3, whole.freedom)
    solution, wanted = step.reduced.solve(), whole.step(1e-3)
    assert solution is not None
    assert wanted is not None
    np.testing.assert_allclose(solution, wanted.delta.reduced, rtol=1e-8, atol=1e-10)
    assert sum(part.chi2 for part in parts) == pytest.approx(whole.chi2, rel=1e-12)


def test_what_a_worker_returns_does_not_grow_with_its_sources() -> None:
    scene = eight_stars()
    sizes = []
    for which in (np.arange(STARS) < 2, np.arange(STARS) < 6):
        problem = SceneProblem(scene.of_sources(which))
        equations = problem.linearise(problem.start())
        assert equations is not None
        sizes.append(len(bytes_from_table(PartSums.of(equations, 1e-3))))
    assert sizes[0] == sizes[1] < 7000


def test_sums_of_different_dampings_are_not_added() -> None:
    problem = SceneProblem(EIGHT)
    here = problem.linearise(problem.start())
    assert here is not None
    with pytest.raises(ValueError, match="same damping wanted"):
        PartSums.total([PartSums.of(here, 0.1), PartSums.of(here, 0.2)])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), pixels=st.integers(1, 10 * PIXELS))
def test_parts_hold_every_source_once_whole_groups_and_no_more_pixels_than_asked(
    seed: int, pixels: int
) -> None:
    group = np.random.default_rng(seed).integers(0, 4, STARS)
    group[7] = group[6]
    scene = replace(EIGHT, group=group)
    parts = parts_of(scene, pixels)
    assert np.array_equal(np.sum(parts, axis=0), np.ones(STARS))
    for which in parts:
        assert not np.intersect1d(group[which], group[~which]).size
        part = scene.of_sources(which)
        found = sum(views.windows.pixels.size for views in part.views)
        assert found <= pixels + largest(scene) or len(np.unique(group[which])) == 1


def largest(scene: Scene) -> int:
    """Return the pixels of the group that has most."""
    assert scene.group is not None
    return max(
        sum(v.windows.pixels.size for v in scene.of_sources(scene.group == one).views)
        for one in np.unique(scene.group)
    )


@pytest.mark.parametrize("make", SCENES, ids=lambda make: make.__name__)
def test_a_part_comes_back_from_its_table(make: object) -> None:
    scene = make()  # type: ignore[operator]
    single = scene.views[0].windows.pixels.astype(np.float32)
    views = replace(scene.views[0], windows=replace(scene.views[0].windows, pixels=single))
    scene = replace(scene, views=(views, *scene.views[1:]))
    part = CutPart.of(scene)
    back = sent(part.table).scene(SceneModels.of(scene), sent(part.pixels))
    for found, wanted in zip(back.views, scene.views, strict=True):
        for name in ("pixels", "weight", "corner"):
            one, other = getattr(found.windows, name), getattr(wanted.windows, name)
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
        assert np.array_equal(found.source, wanted.source)
    assert np.array_equal(back.sources.kind, scene.sources.kind)
    assert np.array_equal(back.sources.shape, scene.sources.shape)


def test_sources_that_are_fitted_together_are_not_parted() -> None:
    with pytest.raises(ValueError, match="cannot be parted"):
        eight_stars().of_sources(np.arange(STARS) == 7)


def test_a_fit_goes_on_from_the_state_of_another() -> None:
    scene = eight_stars()
    fit = SceneFitter()(scene)
    again = SceneFitter()(scene, fit.state)
    assert len(again.history) == 1
    np.testing.assert_allclose(again.value, fit.value, atol=1e-6)


def test_the_order_of_windows_changes_no_answer() -> None:
    scene = eight_stars()
    turned = tuple(v.select(np.arange(len(v.exposure))[::-1]) for v in scene.views[::-1])
    fit, same = SceneFitter()(scene), SceneFitter()(replace(scene, views=turned))
    np.testing.assert_allclose(same.value, fit.value, atol=1e-8)


EIGHT = eight_stars()
