"""What a worker does with a part of a scene: values that act on a part where it stands.

Nobody has to remember a part between two actions. What one leaves for the next, a `LinearisedPart`,
holds no pixels: the sums over each window, from which equations at any damping, the sources' step
and their covariances follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.numerics.models.scene.part_sums import PartSums
from alignsvc.numerics.models.scene.scene_fit import seen_members, source_covariance
from alignsvc.numerics.models.scene.scene_layout import SceneLayout
from alignsvc.numerics.models.scene.scene_problem import SceneEquations, SceneProblem
from alignsvc.numerics.models.scene.scene_windows import SceneState, WindowPass, place_members
from alignsvc.numerics.models.scene.window_sums import LinearValues


@dataclass(frozen=True, slots=True, eq=False)
class PartState:
    """A `SceneState` of a part as columns.

    Parameters
    ----------
    unknowns, place, shape, band_flux : float64 arrays
        As in `SceneState`.
    flux, sky : float64 arrays
        Of all windows, view after view.
    """

    unknowns: FloatArray
    place: FloatArray
    shape: FloatArray
    band_flux: FloatArray
    flux: FloatArray
    sky: FloatArray

    @classmethod
    def of(cls, state: SceneState, layout: SceneLayout, n_views: int) -> PartState:
        """Return the columns of a state."""
        flux = [values.flux for values in state.linear]
        sky = [values.sky for values in state.linear]
        return cls(
            state.unknowns,
            state.place,
            state.shape,
            state.band_flux,
            by_view(layout, n_views, flux),
            by_view(layout, n_views, sky),
        )

    def state(self, problem: SceneProblem) -> SceneState:
        """Return the state."""
        sizes = [(len(view.exposure), view.source.shape[1]) for view in problem.scene.views]
        flux = _views_of(self.flux, sizes)
        terms = problem.scene.n_sky_terms
        sky = _views_of(self.sky, [(n, terms) for n, _ in sizes])
        linear = tuple(
            LinearValues(flux[batch.origin][batch.index], sky[batch.origin][batch.index])
            for batch in problem.layout.batches
        )
        return SceneState(self.unknowns, self.place, self.shape, self.band_flux, linear)


def by_view(layout: SceneLayout, n_views: int, of_batches: list[FloatArray]) -> FloatArray:
    """Return rows of windows, batch by batch, in the order of the views, flat."""
    found = [np.zeros(0)]
    for view in range(n_views):
        mine = [k for k, batch in enumerate(layout.batches) if batch.origin == view]
        if mine:
            index = np.concatenate([layout.batches[k].index for k in mine])
            rows = np.concatenate([of_batches[k] for k in mine])
            found.append(np.ravel(rows[np.argsort(index)]))
    return np.concatenate(found)


def _views_of(flat: FloatArray, shapes: list[tuple[int, int]]) -> list[FloatArray]:
    ends = np.cumsum([n * m for n, m in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class LinearisedPart:
    """A part at a state, without its pixels.

    Parameters
    ----------
    unknowns, place, shape, band_flux, flux, sky : float64 arrays
        As in `PartState`.
    gram : float64 array
        `WindowPass.gram` of all batches, one after the other.
    n_determined : int64 array, shape (batches,)
    rounding : float64 array, shape (batches,)
    """

    unknowns: FloatArray
    place: FloatArray
    shape: FloatArray
    band_flux: FloatArray
    flux: FloatArray
    sky: FloatArray
    gram: FloatArray
    n_determined: IntArray
    rounding: FloatArray

    @classmethod
    def of(cls, here: SceneEquations, problem: SceneProblem) -> LinearisedPart:
        """Return what is kept of equations."""
        at = PartState.of(here.state, problem.layout, len(problem.scene.views))
        return cls(
            at.unknowns,
            at.place,
            at.shape,
            at.band_flux,
            at.flux,
            at.sky,
            np.concatenate([np.zeros(0), *(done.gram.ravel() for done in here.passes)]),
            np.array([done.n_determined for done in here.passes], np.int64),
            np.array([done.rounding for done in here.passes], float),
        )

    def equations(self, problem: SceneProblem) -> SceneEquations:
        """Return the equations again, without a look at the pixels."""
        state = PartState(
            self.unknowns, self.place, self.shape, self.band_flux, self.flux, self.sky
        ).state(problem)
        passes, first = [], 0
        for k, batch in enumerate(problem.layout.batches):
            n = len(batch.views.exposure)
            count = batch.n_columns + len(batch.profiles) + problem.scene.n_sky_terms + 1
            last = first + n * count**2
            passes.append(
                WindowPass(
                    place_members(problem.scene, problem.layout, batch, state),
                    self.gram[first:last].reshape(n, count, count),
                    state.linear[k],
                    int(self.n_determined[k]),
                    float(self.rounding[k]),
                )
            )
            first = last
        return _unheld(problem.equations(state, tuple(passes)))


@dataclass(frozen=True, slots=True, eq=False)
class Advance:
    """What an action found.

    Parameters
    ----------
    sums : PartSums
    there : SceneEquations or None
        Where the part stands now; None: where it stood, or it cannot stand there. What is left of
        it for the next action is its `LinearisedPart`.
    """

    sums: PartSums
    there: SceneEquations | None = None


class PartAction(Protocol):
    """Something to be done with a part: a frozen value."""

    def __call__(self, problem: SceneProblem, here: SceneEquations) -> Advance:
        """Return what is found from where the part stands."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BeginPart:
    """Evaluate the pixels where the fit begins.

    Parameters
    ----------
    at : PartState
    damping : float
        With which the reducer wants the equations first.
    """

    at: PartState
    damping: float

    def __call__(self, problem: SceneProblem) -> Advance:
        """Return the sums there."""
        return _evaluated(problem, self.at.state(problem), self.damping)


@dataclass(frozen=True, slots=True, eq=False)
class TryStep:
    """Take the step that belongs to a reduced one, and evaluate the pixels there.

    Parameters
    ----------
    solution : float64 array, shape (r,)
        Of the reduced system.
    damping : float
        Of that system.
    next_damping : float
        With which the reducer will want the equations there, if all goes well.
    """

    solution: FloatArray
    damping: float
    next_damping: float

    def __call__(self, problem: SceneProblem, here: SceneEquations) -> Advance:
        """Return the sums at the trial."""
        step = here.eliminated(self.damping).step(self.solution)
        return _evaluated(problem, problem.moved(here.state, step), self.next_damping)


@dataclass(frozen=True, slots=True, eq=False)
class SettleLinear:
    """Put shared fluxes and skies at their best, which all parts together tell.

    Parameters
    ----------
    solution : float64 array, shape (r,)
        Of the skies; all else 0.
    damping : float
        With which the reducer will want the equations.
    """

    solution: FloatArray
    damping: float

    def __call__(self, problem: SceneProblem, here: SceneEquations) -> Advance:
        """Return the sums there: exact, without the pixels."""
        step = here.eliminated_linear().step(self.solution)
        there = _unheld(problem.settled(here, step))
        return Advance(PartSums.of(there, self.damping), there)


@dataclass(frozen=True, slots=True)
class Damp:
    """Ask for the same equations at another damping.

    Parameters
    ----------
    damping : float
    """

    damping: float

    def __call__(self, problem: SceneProblem, here: SceneEquations) -> Advance:
        """Return the sums; the part stays where it is."""
        return Advance(PartSums.of(here, self.damping))


@dataclass(frozen=True, slots=True, eq=False)
class FoundPart:
    """A part where the fit ended.

    Parameters
    ----------
    place, shape, band_flux, flux, sky : float64 arrays
        As in `PartState`.
    flux_error, chi2 : float64 arrays
        Of each member of each window, view after view; of each window.
    lost : bool array
        Of each member.
    source_covariance : float64 array, shape (sources, 2 + m, 2 + m)
        Without rows if the reduced unknowns have no covariance.
    """

    place: FloatArray
    shape: FloatArray
    band_flux: FloatArray
    flux: FloatArray
    sky: FloatArray
    flux_error: FloatArray
    chi2: FloatArray
    lost: BoolArray
    source_covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ConcludePart:
    """Say what was found of the sources.

    Parameters
    ----------
    covariance : float64 array, shape (r, r)
        Of the reduced unknowns; no elements if there is none.
    """

    covariance: FloatArray

    def __call__(self, problem: SceneProblem, here: SceneEquations) -> FoundPart:
        """Return the sources' values and errors."""
        at = PartState.of(here.state, problem.layout, len(problem.scene.views))
        layout, views = problem.layout, len(problem.scene.views)
        width = 2 + at.shape.shape[1]
        spread = np.zeros((0, width, width))
        if self.covariance.size or not len(here.blocks.gradient):
            r = len(here.blocks.gradient)
            found = here.eliminated(0.0).group_covariances(self.covariance.reshape(r, r))
            spread = source_covariance(problem, found)
        seen = [
            seen_members(problem.scene, batch, done)
            for batch, done in zip(layout.batches, here.passes, strict=True)
        ]
        return FoundPart(
            at.place,
            at.shape,
            at.band_flux,
            at.flux,
            at.sky,
            by_view(layout, views, [one.flux_error for one in seen]),
            by_view(layout, views, [done.chi2[:, None] for done in here.passes]),
            by_view(layout, views, [one.lost.astype(float) for one in seen]) > 0,
            spread,
        )


def _evaluated(problem: SceneProblem, state: SceneState, damping: float) -> Advance:
    """Return a part's sums at a state; only of what is linear if parts must agree on that first."""
    linear = problem.layout.table.linear
    shared = bool(linear.any())
    here = problem.evaluated(state) if shared else problem.linearise(state)
    if here is None:
        return Advance(PartSums.unsound())
    here = _unheld(here)
    sums = PartSums.of(here, 0.0, linear) if shared else PartSums.of(here, damping)
    return Advance(sums, here)


def _unheld(here: SceneEquations) -> SceneEquations:
    """Return equations that hold no reduced unknown: what pushes one is the sum of all parts."""
    free = replace(here.freedom, reduced_held=np.zeros(len(here.freedom.reduced_held), bool))
    return replace(here, freedom=free)
