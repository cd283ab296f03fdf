"""A scene in parts: what workers would return adds up to the fit in one piece."""

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scenes_of_stars import Truth, scene_of

from alignsvc.domain.arrays import BoolArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.blocks import BlockStep, Elimination, ReducedBlocks
from alignsvc.numerics.models.least_squares import LevenbergMarquardt, Step
from alignsvc.numerics.models.scene import Scene
from alignsvc.numerics.models.scene_fit import SceneFitter
from alignsvc.numerics.models.scene_problem import SceneEquations, SceneProblem
from alignsvc.numerics.models.scene_windows import SceneState

STARS = 8


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


@dataclass(frozen=True)
class ByGroups:
    """A scene in parts of sources: only reduced blocks, chi2 and steps pass between them."""

    parts: tuple[SceneProblem, ...]

    @classmethod
    def of(cls, scene: Scene, choice: list[BoolArray]) -> "ByGroups":
        return cls(tuple(SceneProblem(scene.of_sources(which)) for which in choice))

    def start(self) -> tuple[SceneState, ...]:
        return tuple(part.start() for part in self.parts)

    def linearise(self, state: tuple[SceneState, ...]) -> "Together | None":
        found = [part.linearise(one) for part, one in zip(self.parts, state, strict=True)]
        return Together(tuple(one for one in found if one is not None))

    def moved(
        self, state: tuple[SceneState, ...], delta: tuple[BlockStep, ...]
    ) -> tuple[SceneState, ...]:
        each = zip(self.parts, state, delta, strict=True)
        return tuple(part.moved(one, step) for part, one, step in each)


@dataclass(frozen=True)
class Together:
    parts: tuple[SceneEquations, ...]

    @property
    def state(self) -> tuple[SceneState, ...]:
        return tuple(part.state for part in self.parts)

    @property
    def chi2(self) -> float:
        return sum(part.chi2 for part in self.parts)

    @property
    def degrees_of_freedom(self) -> int:
        return 1

    @property
    def rounding(self) -> float:
        return sum(part.rounding for part in self.parts)

    def step(self, damping: float) -> Step[tuple[BlockStep, ...]] | None:
        each: list[Elimination] = [part.eliminated(damping) for part in self.parts]
        sent = [pickle.loads(pickle.dumps(one.reduced)) for one in each]  # noqa: S301
        solution = ReducedBlocks.total(sent).solve()
        if solution is None:
            return None
        steps = tuple(one.step(solution) for one in each)
        slope = sum(one.slope(step) for one, step in zip(each, steps, strict=True))
        bending = sum(one.bending(step) for one, step in zip(each, steps, strict=True))
        return Step(steps, 2 * slope - bending)


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_the_sources_reach_the_answer_of_the_whole(parts: int) -> None:
    scene = eight_stars()
    group = np.minimum(np.arange(STARS), 6)
    problem = ByGroups.of(scene, [group % parts == k for k in range(parts)])
    search = LevenbergMarquardt(tolerance=1e-12)(problem, problem.start())
    whole = SceneFitter(LevenbergMarquardt(tolerance=1e-12))(scene)
    assert search is not None
    for part in search.equations.state:
        np.testing.assert_allclose(part.unknowns, whole.value, atol=1e-8)
    assert search.equations.chi2 == pytest.approx(whole.chi2, rel=1e-12)
    assert search.passes == whole.history[-1].passes


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
        sizes.append(len(pickle.dumps(equations.eliminated(1e-3).reduced)))
    assert sizes[0] == sizes[1] < 4000


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
