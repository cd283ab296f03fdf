"""The joint fit of a scene in parts: the reducer's side.

Parts hand over sums without their sources; what is left, the exposures' unknowns, is solved for
here, and every part finds its sources' step from the solution. A pass over the pixels is one
exchange with all parts, or two where skies are shared, on which parts have to agree first.
Equations at a damping that was not foreseen are asked for once more, without a look at a pixel.
Sums are added up in the order of the parts, so that no bit depends on who was ready first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.numerics.models.blocks import ReducedBlocks
from alignsvc.numerics.models.least_squares import LevenbergMarquardt, Search, Step, damping_after
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import ParameterTable
from alignsvc.numerics.models.scene.part_sums import PartSums
from alignsvc.numerics.models.scene.scene import Scene
from alignsvc.numerics.models.scene.scene_fit import (
    FittedViews,
    FoundScene,
    SceneFit,
    SeenMembers,
    concluded,
    no_fit,
    nothing_to_fit,
)
from alignsvc.numerics.models.scene.scene_partition import (
    PIXELS_PER_PART,
    CutPart,
    SceneModels,
    ScenePart,
    parts_of,
)
from alignsvc.numerics.models.scene.scene_parts import (
    BeginPart,
    ConcludePart,
    Damp,
    FoundPart,
    PartAction,
    PartState,
    SettleLinear,
    TryStep,
)
from alignsvc.numerics.models.scene.scene_problem import SceneProblem
from alignsvc.numerics.models.scene.scene_windows import SceneState
from alignsvc.numerics.models.scene.window_sums import LinearValues


@dataclass(frozen=True, slots=True)
class Standing:
    """A part after an action.

    Parameters
    ----------
    sums : PartSums
    base : object
        Names the `LinearisedPart` that the next action starts from, to who made it.
    """

    sums: PartSums
    base: object


class PartsAtWork(Protocol):
    """Does actions with all parts of a scene; answers come in the order of the parts."""

    def begin(self, actions: Sequence[BeginPart]) -> tuple[Standing, ...]:
        """Do with each part its own action."""
        ...

    def advance(self, action: PartAction, bases: Sequence[object]) -> tuple[Standing, ...]:
        """Do the same with each part, from its base; one that cannot stand there has no base."""
        ...

    def conclude(self, action: ConcludePart, bases: Sequence[object]) -> tuple[FoundPart, ...]:
        """Return what was found of the sources."""
        ...


class PartsWorkshop(Protocol):
    """Takes the parts of a scene, with their pixels, to where they are worked on."""

    def __call__(self, models: SceneModels, parts: Iterator[CutPart]) -> PartsAtWork:
        """Return the parts at work."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ReducedStep:
    """A step of the reduced unknowns, and the damping of the system that it solves."""

    solution: FloatArray
    damping: float


@dataclass(frozen=True, slots=True, eq=False)
class PartedState:
    """Where all parts stand, or the step to be taken from there.

    Parameters
    ----------
    unknowns : float64 array, shape (r,)
        After the step.
    bases : tuple
        Before it, one for each part.
    step : ReducedStep or None
    """

    unknowns: FloatArray
    bases: tuple[object, ...]
    step: ReducedStep | None = None


class PartedEquations:
    """A scene in parts, linearised: what `LevenbergMarquardt` sees.

    Parameters
    ----------
    problem : PartedProblem
    state : PartedState
    sums : PartSums
        Of all parts, at the damping that was foreseen.
    """

    def __init__(self, problem: PartedProblem, state: PartedState, sums: PartSums) -> None:
        self._problem = problem
        self._known = {sums.damping: sums}
        self.state = state
        self.chi2 = sums.chi2
        self.rounding = sums.rounding
        self.degrees_of_freedom = sums.n_pixels - sums.n_determined - len(state.unknowns)
        self.held: BoolArray = problem.table.stopped(state.unknowns, sums.push)

    def step(self, damping: float) -> Step[ReducedStep] | None:
        """Return the step for a damping; None if the reduced matrix is not positive definite."""
        sums = self._at(damping)
        solution = sums.reduced(self.held).solve()
        if solution is None:
            return None
        decrease = sums.decrease(solution, self.held, self._problem.table.linear)
        return Step(ReducedStep(solution, damping), decrease)

    def reduced(self) -> ReducedBlocks:
        """Return the undamped reduced system."""
        return self._at(0.0).reduced(self.held)

    def sources(self, covariance: FloatArray | None) -> tuple[FoundPart, ...]:
        """Return what each part found, given the covariance of the reduced unknowns, if any."""
        action = ConcludePart(np.zeros(0) if covariance is None else covariance)
        return self._problem.parts.conclude(action, self.state.bases)

    def _at(self, damping: float) -> PartSums:
        if damping not in self._known:
            answers = self._problem.parts.advance(Damp(damping), self.state.bases)
            self._known[damping] = PartSums.total(answer.sums for answer in answers)
        return self._known[damping]


@dataclass(frozen=True, slots=True, eq=False)
class PartedProblem:
    """A scene in parts for the search.

    Parameters
    ----------
    table : ParameterTable
        Of the exposures.
    parts : PartsAtWork
    start : tuple of PartState
    damping : float
        With which the search begins.
    """

    table: ParameterTable
    parts: PartsAtWork
    start: tuple[PartState, ...]
    damping: float

    def linearise(self, state: PartedState) -> PartedEquations | None:
        """Return the equations at a state; None where a source is mapped to no pixel."""
        step = state.step
        if step is None:
            damping = self.damping
            found = self.parts.begin([BeginPart(at, damping) for at in self.start])
        else:
            damping = damping_after(step.damping, 1.0)
            found = self.parts.advance(TryStep(step.solution, step.damping, damping), state.bases)
        sums = PartSums.total(one.sums for one in found)
        if not sums.is_sound:
            return None
        there = PartedState(state.unknowns, tuple(one.base for one in found))
        if self.table.linear.any():
            return self._settled(there, sums, damping)
        return PartedEquations(self, there, sums)

    def moved(self, state: PartedState, delta: ReducedStep) -> PartedState:
        """Return the state after a step; the sources' own is found by those who have them."""
        return PartedState(self.table.moved(state.unknowns, delta.solution), state.bases, delta)

    def _settled(self, here: PartedState, sums: PartSums, damping: float) -> PartedEquations:
        """Return the equations at the best shared skies."""
        linear = self.table.linear
        held = self.table.stopped(here.unknowns, sums.push)[linear]
        solution = sums.reduced(held).solve()
        action: PartAction = Damp(damping)
        unknowns = here.unknowns
        if solution is not None:
            step = np.zeros(len(linear))
            step[linear] = solution
            action, unknowns = SettleLinear(step, damping), self.table.moved(unknowns, step)
        found = self.parts.advance(action, here.bases)
        there = PartedState(unknowns, tuple(one.base for one in found))
        return PartedEquations(self, there, PartSums.total(one.sums for one in found))


@dataclass(frozen=True, slots=True)
class PartedSceneFitter:
    """Fit of a scene in parts: the answer is that of `SceneFitter`, but for rounding.

    Parameters
    ----------
    search : LevenbergMarquardt
    workshop : PartsWorkshop
        Where the parts are worked on.
    pixels_per_part : int
        Decides the parts, and so the last bits.
    """

    search: LevenbergMarquardt
    workshop: PartsWorkshop = field(repr=False)
    pixels_per_part: int = PIXELS_PER_PART

    def looking(self) -> PartedSceneFitter:
        """Return what takes one pass and no step: equations and covariances at the start."""
        return replace(self, search=replace(self.search, max_passes=1))

    def __call__(self, scene: Scene, start: SceneState | None = None) -> SceneFit:
        """Return the fit; `start` None: from the scene's own start values."""
        whole = SceneProblem(scene)
        state = whole.start() if start is None else start
        nothing = nothing_to_fit(whole, state)
        if nothing is not None:
            return nothing
        chosen = parts_of(scene, self.pixels_per_part)
        parts = tuple(ScenePart.of(scene, which) for which in chosen)
        cut = (CutPart.of(scene.of_sources(which)) for which in chosen)
        problem = PartedProblem(
            whole.layout.table,
            self.workshop(SceneModels.of(scene), cut),
            _divided(whole, state, parts),
            self.search.damping,
        )
        search = self.search(problem, PartedState(state.unknowns, ()))
        if search is None:
            return no_fit(whole, state, Outcome.DEGENERATE_GEOMETRY)
        return _concluded(whole, parts, search)


def _divided(
    whole: SceneProblem, state: SceneState, parts: tuple[ScenePart, ...]
) -> tuple[PartState, ...]:
    """Return each part's own state."""
    flux, sky = _rows(whole, state)
    return tuple(
        PartState(
            state.unknowns,
            state.place[part.source],
            state.shape[part.source],
            state.band_flux[part.source],
            _flat(flux, part),
            _flat(sky, part),
        )
        for part in parts
    )


def _rows(whole: SceneProblem, state: SceneState) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return fluxes and skies of the windows of each view."""
    terms = whole.scene.n_sky_terms
    flux = [np.zeros(view.source.shape) for view in whole.scene.views]
    sky = [np.zeros((len(view.exposure), terms)) for view in whole.scene.views]
    for batch, values in zip(whole.layout.batches, state.linear, strict=True):
        flux[batch.origin][batch.index] = values.flux
        sky[batch.origin][batch.index] = values.sky
    return flux, sky


def _flat(rows: list[FloatArray], part: ScenePart) -> FloatArray:
    mine = [of[at].ravel() for of, at in zip(rows, part.window, strict=True)]
    return np.concatenate([np.zeros(0), *mine])


def _concluded(
    whole: SceneProblem,
    parts: tuple[ScenePart, ...],
    search: Search[PartedState, ReducedStep],
) -> SceneFit:
    """Return the fit that a search found, with its sources."""
    equations = search.equations
    assert isinstance(equations, PartedEquations) and search.outcome is not None
    reduced = equations.reduced()
    covariance = reduced.inverse()
    gathered = _Gathered(whole, parts, equations.sources(covariance))
    state, views = gathered.state(equations.state.unknowns), gathered.views()
    spread = None if covariance is None else gathered.of_sources("source_covariance")
    return concluded(whole, search, FoundScene(state, reduced, covariance, spread, views))


@dataclass(frozen=True, slots=True, eq=False)
class _Gathered:
    """What parts found, put where it stands in the whole scene."""

    whole: SceneProblem
    parts: tuple[ScenePart, ...]
    found: tuple[FoundPart, ...]

    def state(self, unknowns: FloatArray) -> SceneState:
        """Return the state of all."""
        terms = self.whole.scene.n_sky_terms
        flux = self._of_windows("flux")
        sky = self._of_windows("sky", terms)
        linear = tuple(
            LinearValues(flux[batch.origin][batch.index], sky[batch.origin][batch.index])
            for batch in self.whole.layout.batches
        )
        place, shape = self.of_sources("place"), self.of_sources("shape")
        return SceneState(unknowns, place, shape, self.of_sources("band_flux"), linear)

    def views(self) -> FittedViews:
        """Return the rows of all sources in all exposures, as a fit in one piece has them."""
        flux, error = self._of_windows("flux"), self._of_windows("flux_error")
        chi2, lost = self._of_windows("chi2", 1), self._of_windows("lost")
        return FittedViews.of_batches(
            FittedViews.of(
                batch,
                flux[batch.origin][batch.index],
                chi2[batch.origin][batch.index, 0],
                SeenMembers(error[batch.origin][batch.index], lost[batch.origin][batch.index] > 0),
            )
            for batch in self.whole.layout.batches
        )

    def of_sources(self, name: str) -> FloatArray:
        """Return a column of sources."""
        first = getattr(self.found[0], name)
        column = np.zeros((len(self.whole.scene.sources), *first.shape[1:]))
        for part, one in zip(self.parts, self.found, strict=True):
            column[part.source] = getattr(one, name)
        return column

    def _of_windows(self, name: str, width: int | None = None) -> list[FloatArray]:
        """Return a column of each view's windows; `width` None: as many as there are members."""
        columns = []
        for view in self.whole.scene.views:
            n, members = view.source.shape
            columns.append(np.zeros((n, members if width is None else width)))
        for part, one in zip(self.parts, self.found, strict=True):
            flat, first = getattr(one, name), 0
            for column, at in zip(columns, part.window, strict=True):
                last = first + len(at) * column.shape[1]
                column[at] = flat[first:last].reshape(len(at), column.shape[1])
                first = last
        return columns
