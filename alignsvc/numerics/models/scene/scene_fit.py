"""The joint maximum-likelihood fit of a scene, and what it found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.blocks import BlockStep, ReducedBlocks
from alignsvc.numerics.models.least_squares import LevenbergMarquardt, PassRecord, Search
from alignsvc.numerics.models.outcomes import Outcome
from alignsvc.numerics.models.parameters import Unknown
from alignsvc.numerics.models.scene.reweighting import Reweighting
from alignsvc.numerics.models.scene.scene import FluxModel, Scene
from alignsvc.numerics.models.scene.scene_layout import Batch
from alignsvc.numerics.models.scene.scene_problem import SceneEquations, SceneProblem
from alignsvc.numerics.models.scene.scene_windows import SceneState, WindowPass, window_models

#: A source with less than so many standard deviations of flux is not seen.
_SEEN = 5.0
#: So many standard deviations of chi2 too many: there is light that the model does not explain.
_UNEXPLAINED = 8.0
#: An exposure with this part of its sources lost is lost.
_LOST_PART = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class FittedViews:
    """Sources in exposures: one row for each member of each window.

    Parameters
    ----------
    exposure, source : int64 arrays, shape (n,)
    flux, flux_error : float64 arrays, shape (n,)
        The error with places and shapes as they are; infinite where the data do not tell.
    chi2 : float64 array, shape (n,)
        Of the window.
    n_pixels : int64 array, shape (n,)
        Of the window.
    lost : bool array, shape (n,)
        Left its window, or has no flux where there is light that nothing explains.
    """

    exposure: IntArray
    source: IntArray
    flux: FloatArray
    flux_error: FloatArray
    chi2: FloatArray
    n_pixels: IntArray
    lost: BoolArray

    @classmethod
    def of(cls, batch: Batch, flux: FloatArray, chi2: FloatArray, seen: SeenMembers) -> FittedViews:
        """Return the rows of a batch: fluxes (n, m), chi2 (n,)."""
        shape, n_pixels = batch.views.source.shape, batch.views.windows.n_pixels
        return cls(
            np.repeat(batch.views.exposure, shape[1]),
            batch.views.source.ravel(),
            flux.ravel(),
            seen.flux_error.ravel(),
            np.broadcast_to(chi2[:, None], shape).ravel(),
            np.broadcast_to(n_pixels[:, None], shape).ravel(),
            seen.lost.ravel(),
        )

    @classmethod
    def of_batches(cls, rows: Iterable[FittedViews]) -> FittedViews:
        """Return the rows of all batches."""
        every = tuple(rows)
        return cls(
            *(
                np.concatenate([getattr(row, name) for row in every])
                for name in cls.__dataclass_fields__
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class SceneFit:
    """How a fit ended and what it found; never NaN.

    Parameters
    ----------
    outcome : Outcome
    message : str
        The outcome in words, with names.
    unknowns : tuple of Unknown
        Of the exposures.
    value : float64 array, shape (r,)
        Of each unknown. Where the outcome is no answer: where the fit stopped.
    covariance : float64 array, shape (r, r), or None
        None where the data do not determine them, or nothing was fitted.
    place : Points, shape (sources,)
        On the plane.
    shape : float64 array, shape (sources, m)
    source_covariance : float64 array, shape (sources, 2 + m, 2 + m), or None
        Of place and shape; 0 for what was held, infinite for what no pixel tells of.
    views : FittedViews or None
    chi2 : float
    degrees_of_freedom : int
    history : tuple of PassRecord
    state : SceneState
        To start another fit of the same scene from.
    """

    outcome: Outcome
    message: str
    unknowns: tuple[Unknown, ...]
    value: FloatArray
    covariance: FloatArray | None
    place: Points
    shape: FloatArray
    source_covariance: FloatArray | None
    views: FittedViews | None
    chi2: float
    degrees_of_freedom: int
    history: tuple[PassRecord, ...]
    state: SceneState

    @property
    def place_covariance(self) -> FloatArray | None:
        """Of each source's place, shape (sources, 2, 2)."""
        return None if self.source_covariance is None else self.source_covariance[:, :2, :2]

    def value_of(self, name: str) -> float:
        """Return an unknown by its name."""
        return float(self.value[self._index(name)])

    def error_of(self, name: str) -> float:
        """Return the standard deviation of an unknown; infinite without a covariance."""
        at = self._index(name)
        return np.inf if self.covariance is None else float(np.sqrt(self.covariance[at, at]))

    def _index(self, name: str) -> int:
        names = [unknown.name for unknown in self.unknowns]
        if name not in names:
            raise KeyError(f"no unknown is named {name}; there are {', '.join(names) or 'none'}")
        return names.index(name)


class FitsScenes(Protocol):
    """A way to fit a scene: here, or in parts on workers."""

    def __call__(self, scene: Scene, start: SceneState | None = None) -> SceneFit:
        """Return the fit; `start` None: from the scene's own start values."""
        ...

    def looking(self) -> FitsScenes:
        """Return what takes one pass and no step: equations and covariances at the start."""
        ...


@dataclass(frozen=True, slots=True)
class SceneFitter:
    """Fit of a scene.

    Parameters
    ----------
    search : LevenbergMarquardt
    reweighting : Reweighting or None
        How weights follow from a fit, for the next.
    rounds : int
        So often weights are chosen anew, with a fit each, from where the last ended.
    """

    search: LevenbergMarquardt = field(default_factory=LevenbergMarquardt)
    reweighting: Reweighting | None = None
    rounds: int = 1

    def looking(self) -> SceneFitter:
        """Return what takes one pass and no step: equations and covariances at the start."""
        return SceneFitter(replace(self.search, max_passes=1))

    def __call__(self, scene: Scene, start: SceneState | None = None) -> SceneFit:
        """Return the fit; `start` None: from the scene's own start values."""
        found = self._once(scene, start)
        if self.reweighting is None:
            return found
        for _ in range(self.rounds):
            if not found.outcome.is_answer:
                break
            models = window_models(scene, SceneProblem(scene).layout, found.state)
            weights = [
                self.reweighting(views.windows, model)
                for views, model in zip(scene.views, models, strict=True)
            ]
            found = self._once(scene.with_weights(weights), found.state)
        return found

    def _once(self, scene: Scene, start: SceneState | None) -> SceneFit:
        problem = SceneProblem(scene)
        state = problem.start() if start is None else start
        nothing = nothing_to_fit(problem, state)
        if nothing is not None:
            return nothing
        search = self.search(problem, state)
        if search is None:
            return no_fit(problem, state, Outcome.DEGENERATE_GEOMETRY)
        return _judged(problem, search)


def nothing_to_fit(problem: SceneProblem, state: SceneState) -> SceneFit | None:
    """Return the fit of a scene that shows nothing; None if it shows something."""
    if not len(problem.scene.sources) or not problem.layout.batches:
        return no_fit(problem, state, Outcome.NO_SOURCES)
    if not any(views.windows.weight.any() for views in problem.scene.views):
        return no_fit(problem, state, Outcome.NO_PIXELS)
    return None


def no_fit(problem: SceneProblem, state: SceneState, outcome: Outcome) -> SceneFit:
    """Return a fit that did not begin."""
    return SceneFit(
        outcome,
        outcome.message,
        problem.layout.table.unknowns,
        state.unknowns,
        None,
        Points(*state.place.T),
        state.shape,
        None,
        None,
        0.0,
        0,
        (),
        state,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """How a fit ended, looked at once more with what it found.

    Parameters
    ----------
    outcome : Outcome
    message : str
    """

    outcome: Outcome
    message: str


def verdict_of(
    problem: SceneProblem, outcome: Outcome, reduced: ReducedBlocks, views: FittedViews
) -> Verdict:
    """Return the verdict on where a search ended.

    Parameters
    ----------
    problem : SceneProblem
    outcome : Outcome
        Of the search.
    reduced : ReducedBlocks
        Undamped, there.
    views : FittedViews
    """
    message = outcome.message
    names = [unknown.name for unknown in problem.layout.table.unknowns]
    if reduced.inverse() is None:
        outcome = Outcome.ILL_CONDITIONED
        free = [names[k] for k in np.flatnonzero(reduced.undetermined())]
        message = f"{outcome.message}: {', '.join(free) or 'together'}"
    lost = _lost_exposures(problem.scene, views)
    if lost:
        outcome, message = Outcome.LOST, f"{Outcome.LOST.message}: {', '.join(lost)}"
    return Verdict(outcome, message)


@dataclass(frozen=True, slots=True, eq=False)
class FoundScene:
    """What the equations say at the end of a search.

    Parameters
    ----------
    state : SceneState
    reduced : ReducedBlocks
        Without damping.
    covariance : float64 array, shape (r, r), or None
        Its inverse; None where it has none.
    source_covariance : float64 array or None
        See `SceneFit`.
    views : FittedViews
    """

    state: SceneState
    reduced: ReducedBlocks
    covariance: FloatArray | None
    source_covariance: FloatArray | None
    views: FittedViews


def concluded(problem: SceneProblem, search: Search[Any, Any], found: FoundScene) -> SceneFit:
    """Return the fit that a search ended with."""
    equations = search.equations
    assert equations is not None and search.outcome is not None
    verdict = verdict_of(problem, search.outcome, found.reduced, found.views)
    return SceneFit(
        verdict.outcome,
        verdict.message,
        problem.layout.table.unknowns,
        found.state.unknowns,
        found.covariance,
        Points(*found.state.place.T),
        found.state.shape,
        found.source_covariance,
        found.views,
        equations.chi2,
        equations.degrees_of_freedom,
        search.history,
        found.state,
    )


def _judged(problem: SceneProblem, search: Search[SceneState, BlockStep]) -> SceneFit:
    equations = search.equations
    assert isinstance(equations, SceneEquations) and search.outcome is not None
    state = equations.state
    eliminated = equations.eliminated(0.0)
    covariance = eliminated.reduced.inverse()
    spread = None
    if covariance is not None:
        spread = source_covariance(problem, eliminated.group_covariances(covariance))
    found = FoundScene(state, eliminated.reduced, covariance, spread, _views(problem, equations))
    return concluded(problem, search, found)


def source_covariance(problem: SceneProblem, found: tuple[FloatArray, ...]) -> FloatArray:
    """Return the covariance of each source's place and shape from those of the groups."""
    groups, sources = problem.layout.groups, problem.layout.sources
    unknown = np.concatenate([sources.place, sources.shape], axis=1)
    spread = np.zeros((*unknown.shape, unknown.shape[1]))
    for part, whole in zip(groups.classes, found, strict=True):
        mine = np.flatnonzero(groups.size[sources.group] == part.size)
        start = groups.start[sources.group[mine]]
        at = np.maximum(unknown[mine] - start[:, None], 0)
        group = (start - part.start) // part.size
        free = unknown[mine] >= 0
        both = free[:, :, None] & free[:, None, :]
        own = whole[group[:, None, None], at[:, :, None], at[:, None, :]]
        spread[mine] = np.where(both, own, 0.0)
    return spread


@dataclass(frozen=True, slots=True, eq=False)
class SeenMembers:
    """Members of a batch's windows, as seen there: arrays of shape (n, m)."""

    flux_error: FloatArray
    lost: BoolArray


def seen_members(scene: Scene, batch: Batch, done: WindowPass) -> SeenMembers:
    """Return how well each member of each window is seen, and whether it left its window."""
    windows, members = batch.views.windows, len(batch.profiles)
    own, first = scene.flux is FluxModel.EXPOSURE, batch.n_columns
    diagonal = np.einsum("nii->ni", done.gram)[:, first : first + members]
    # Eliminated columns hold minus their covariance, kept ones their information.
    known = (diagonal < 0) if own else (diagonal > 0)
    safe = np.where(known, np.abs(diagonal), 1.0)
    error = np.where(known, np.sqrt(safe if own else 1.0 / safe), np.inf)
    placed = done.placed
    inside = (np.abs(placed.x - 0.5 * (windows.side - 1)) <= 0.5 * windows.side) & (
        np.abs(placed.y - 0.5 * (windows.side - 1)) <= 0.5 * windows.side
    )
    n_pixels = windows.n_pixels
    excess = done.chi2 - n_pixels > _UNEXPLAINED * np.sqrt(2.0 * n_pixels)
    dark = done.values.flux < _SEEN * error
    lost = (n_pixels > 0)[:, None] & (~inside | (dark & excess[:, None]))
    return SeenMembers(error, lost)


def _views(problem: SceneProblem, equations: SceneEquations) -> FittedViews:
    """Return the sources in each exposure, in the order of the batches."""
    return FittedViews.of_batches(
        FittedViews.of(batch, done.values.flux, done.chi2, seen_members(problem.scene, batch, done))
        for batch, done in zip(problem.layout.batches, equations.passes, strict=True)
    )


def _lost_exposures(scene: Scene, views: FittedViews) -> list[str]:
    """Return names of exposures whose sources are mostly lost, or in which none is seen."""
    names = []
    significance = np.where(views.flux > 0, views.flux / views.flux_error, 0.0)
    for e, exposure in enumerate(scene.exposures):
        mine = (views.exposure == e) & (views.n_pixels > 0)
        if not mine.any():
            continue
        unseen = float(np.sum(significance[mine] ** 2)) < _SEEN**2
        if unseen or views.lost[mine].mean() >= _LOST_PART:
            names.append(exposure.name)
    return names
