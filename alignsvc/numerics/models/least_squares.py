"""Levenberg-Marquardt for problems that linearise themselves.

A problem hands out equations at a state: chi2 and the step for a damping. Equations may be dense
or blocks from many workers; the search does not see them. State in, state out: a search can be
stopped and taken up again anywhere, with the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from alignsvc.numerics.models.outcomes import Outcome

State = TypeVar("State")
State_co = TypeVar("State_co", covariant=True)
Delta = TypeVar("Delta")

#: A trial is taken if it gains this part of what was predicted.
_LEAST_GAIN = 1e-4
#: The damping falls to this part of it at most.
_FASTEST_FALL = 0.1
#: Below the first damping is none; beyond the second there is no step.
_NO_DAMPING, _FULL_DAMPING = 1e-9, 1e12


@dataclass(frozen=True, slots=True)
class Step(Generic[Delta]):
    """A step and what it promises.

    Parameters
    ----------
    delta : Delta
        What the problem understands as a change of its state.
    decrease : float
        Of chi2, as the linearised problem predicts it.
    """

    delta: Delta
    decrease: float


class Equations(Protocol[State_co, Delta]):
    """A problem, linearised.

    Values in which the problem is linear may have been put at their best in ``state``.
    """

    @property
    def state(self) -> State_co:
        """Where the problem is linearised."""
        ...

    @property
    def chi2(self) -> float:
        """Of what is not explained there."""
        ...

    @property
    def degrees_of_freedom(self) -> int:
        """Of chi2."""
        ...

    @property
    def rounding(self) -> float:
        """By how much arithmetic may falsify chi2."""
        ...

    def step(self, damping: float) -> Step[Delta] | None:
        """Return the step for a damping, relative to the diagonal; None: not positive definite."""
        ...


class Problem(Protocol[State, Delta]):
    """What can be fitted."""

    def linearise(self, state: State) -> Equations[State, Delta] | None:
        """Return the equations at a state; None where the model is not defined."""
        ...

    def moved(self, state: State, delta: Delta) -> State:
        """Return the state after a step, within bounds."""
        ...


@dataclass(frozen=True, slots=True)
class PassRecord:
    """One state that the search took.

    Parameters
    ----------
    passes : int
        Evaluations of the problem until then.
    chi2 : float
    degrees_of_freedom : int
    damping : float
        With which it goes on.
    """

    passes: int
    chi2: float
    degrees_of_freedom: int
    damping: float

    @property
    def chi2_per_degree(self) -> float:
        """chi2/dof; NaN without a degree of freedom."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom > 0 else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Search(Generic[State, Delta]):
    """Where a search stands.

    Parameters
    ----------
    equations : Equations
        At the best state so far.
    damping, growth : float
        The present damping, and the factor by which the next rejection raises it.
    passes : int
        Evaluations so far.
    outcome : Outcome or None
        None: it goes on.
    history : tuple of PassRecord
    """

    equations: Equations[State, Delta]
    damping: float
    growth: float
    passes: int
    outcome: Outcome | None
    history: tuple[PassRecord, ...]

    def ended(self, outcome: Outcome) -> Search[State, Delta]:
        """Return the same with an outcome."""
        return replace(self, outcome=outcome)

    def rejected(self, passes: int) -> Search[State, Delta]:
        """Return the same with more damping, which grows faster with each rejection in a row."""
        damping = max(self.damping, _NO_DAMPING) * self.growth
        return replace(self, damping=damping, growth=2.0 * self.growth, passes=passes)


@dataclass(frozen=True, slots=True)
class LevenbergMarquardt:
    """Search for the least chi2 with a gain-ratio rule.

    Parameters
    ----------
    tolerance : float
        Of chi2. Converged means that the best *undamped* step would lower chi2 by less, times
        chi2/dof where that exceeds 1: all parameters together are then within the root of it, in
        units of their errors, of where they would end.
    max_passes : int
        Evaluations of the problem at most.
    damping : float
        At the start, relative to the diagonal.

    Notes
    -----
    Marquardt (1963); gain ratio and growth of the damping after Nielsen (1999), Damping
    Parameter in Marquardt's Method. One evaluation serves a trial's chi2 and the next step.
    """

    tolerance: float = 1e-5
    max_passes: int = 60
    damping: float = 1e-3

    def __call__(
        self,
        problem: Problem[State, Delta],
        start: State,
        seen: Callable[[Search[State, Delta]], None] | None = None,
    ) -> Search[State, Delta] | None:
        """Return where the search ended; None if the model is not defined at the start.

        `seen` is told of every state of the search.
        """
        search = self.begin(problem, start)
        while search is not None and search.outcome is None:
            search = self.advance(problem, search)
            if seen is not None:
                seen(search)
        return search

    def begin(self, problem: Problem[State, Delta], start: State) -> Search[State, Delta] | None:
        """Return a search at its start; None if the model is not defined there."""
        equations = problem.linearise(start)
        if equations is None or not math.isfinite(equations.chi2):
            return None
        record = PassRecord(1, equations.chi2, equations.degrees_of_freedom, self.damping)
        return Search(equations, self.damping, 4.0, 1, None, (record,))

    def advance(
        self, problem: Problem[State, Delta], search: Search[State, Delta]
    ) -> Search[State, Delta]:
        """Return the search after one more trial, or ended."""
        here = search.equations
        step = here.step(search.damping)
        if step is None:
            blocked = search.damping > _FULL_DAMPING
            return (
                search.ended(Outcome.ILL_CONDITIONED) if blocked else search.rejected(search.passes)
            )
        enough = self.tolerance * max(1.0, here.chi2 / max(here.degrees_of_freedom, 1))
        if step.decrease <= enough:
            # A damped step may promise little because it is damped.
            free = here.step(0.0)
            if free is None:
                return search.ended(Outcome.ILL_CONDITIONED)
            if free.decrease <= enough:
                return search.ended(Outcome.CONVERGED)
            if search.damping > _FULL_DAMPING:
                return search.ended(Outcome.STEP_TOO_SMALL)
            if search.growth == 4.0:
                step, search = free, replace(search, damping=0.0)
        if search.passes >= self.max_passes:
            return search.ended(Outcome.ITERATIONS)
        there = problem.linearise(problem.moved(here.state, step.delta))
        passes = search.passes + 1
        gain = (
            -math.inf
            if there is None or not math.isfinite(there.chi2)
            else (here.chi2 - there.chi2) / step.decrease
        )
        if there is None or not gain > _LEAST_GAIN:
            if step.decrease <= here.rounding:
                return self._below_rounding(search, step, there, passes)
            return search.rejected(passes)
        return _taken(search, there, gain, passes)

    def _below_rounding(
        self,
        search: Search[State, Delta],
        step: Step[Delta],
        there: Equations[State, Delta] | None,
        passes: int,
    ) -> Search[State, Delta]:
        """Go on while the gradient falls: chi2 can no longer tell which place is better."""
        here = search.equations
        if there is not None and there.chi2 - here.chi2 <= here.rounding:
            further = there.step(search.damping)
            if further is not None and further.decrease < 0.5 * step.decrease:
                return _taken(search, there, 1.0, passes)
        return replace(search, passes=passes, outcome=Outcome.NOISE_FLOOR)


def _taken(
    search: Search[State, Delta], there: Equations[State, Delta], gain: float, passes: int
) -> Search[State, Delta]:
    damping = damping_after(search.damping, gain)
    record = PassRecord(passes, there.chi2, there.degrees_of_freedom, damping)
    return Search(there, damping, 4.0, passes, None, (*search.history, record))


def damping_after(damping: float, gain: float) -> float:
    """Return the damping with which the search goes on from a trial that it took.

    Parameters
    ----------
    damping : float
        Of the step that led to the trial.
    gain : float
        What chi2 fell by over what was predicted.
    """
    damping *= max(_FASTEST_FALL, 1.0 - (2.0 * min(gain, 1.0) - 1.0) ** 3)
    return damping if damping > _NO_DAMPING else 0.0
