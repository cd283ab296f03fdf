"""The search, on small dense problems."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.least_squares import LevenbergMarquardt, Search, Step
from alignsvc.numerics.models.outcomes import OUTCOME_TEXT, Outcome


@dataclass(frozen=True)
class DenseEquations:
    state: FloatArray
    residual: FloatArray
    jacobian: FloatArray
    rounding: float

    @property
    def chi2(self) -> float:
        return float(self.residual @ self.residual)

    @property
    def degrees_of_freedom(self) -> int:
        return len(self.residual) - len(self.state)

    def step(self, damping: float) -> Step[FloatArray] | None:
        matrix = self.jacobian.T @ self.jacobian
        gradient = self.jacobian.T @ self.residual
        damped = matrix + damping * np.diag(np.diagonal(matrix))
        if np.linalg.eigvalsh(damped).min() <= 1e-13:
            return None
        delta = -np.linalg.solve(damped, gradient)
        return Step(delta, float(-2 * delta @ gradient - delta @ matrix @ delta))


@dataclass(frozen=True)
class DenseProblem:
    residual: Callable[[FloatArray], FloatArray]
    jacobian: Callable[[FloatArray], FloatArray]
    rounding: float = 1e-16

    def linearise(self, state: FloatArray) -> DenseEquations | None:
        if not np.isfinite(state).all():
            return None
        return DenseEquations(state, self.residual(state), self.jacobian(state), self.rounding)

    def moved(self, state: FloatArray, delta: FloatArray) -> FloatArray:
        return state + delta


ROSENBROCK = DenseProblem(
    lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]),
    lambda x: np.array([[-20 * x[0], 10.0], [-1.0, 0.0]]),
)
START = np.array([-1.2, 1.0])


def fit(problem: DenseProblem, start: FloatArray, **settings: float) -> Search:
    search = LevenbergMarquardt(**settings)(problem, start)  # type: ignore[arg-type]
    assert search is not None
    return search


def test_a_curved_valley_is_followed_to_its_end() -> None:
    search = fit(ROSENBROCK, START, tolerance=1e-16)
    assert search.outcome is Outcome.CONVERGED
    np.testing.assert_allclose(search.equations.state, [1, 1], atol=1e-7)


def test_chi2_falls_from_each_record_of_the_history_to_the_next() -> None:
    history = fit(ROSENBROCK, START).history
    assert len(history) > 3
    assert all(b.chi2 < a.chi2 and b.passes > a.passes for a, b in zip(history, history[1:]))  # noqa: B905, RUF007


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been() -> None:
    settings = LevenbergMarquardt()
    seen: list[Search] = []
    whole = settings(ROSENBROCK, START, seen.append)
    search = seen[4]
    while search.outcome is None:
        search = settings.advance(ROSENBROCK, search)
    assert whole is not None
    assert np.array_equal(search.equations.state, whole.equations.state)
    assert search.history == whole.history


def test_passes_run_out() -> None:
    search = fit(ROSENBROCK, START, max_passes=3)
    assert search.outcome is Outcome.ITERATIONS
    assert search.passes == 3


def test_two_parameters_that_do_the_same_are_ill_conditioned() -> None:
    problem = DenseProblem(
        lambda x: np.array([x[0] + x[1] - 3, x[0] + x[1] - 4]), lambda x: np.ones((2, 2))
    )
    assert fit(problem, np.zeros(2)).outcome is Outcome.ILL_CONDITIONED


def test_wrong_derivatives_are_no_convergence() -> None:
    problem = DenseProblem(lambda x: np.array([x[0] - 3.0, 1.0]), lambda x: np.array([[-1.0], [0]]))
    assert fit(problem, np.zeros(1)).outcome is Outcome.STEP_TOO_SMALL


def test_below_rounding_nothing_is_asked_of_chi2() -> None:
    problem = DenseProblem(
        lambda x: np.array([np.round(x[0] - 3.3, 2)]), lambda x: np.array([[1.0]]), rounding=1e-4
    )
    wavy = DenseProblem(
        lambda x: np.array([100.0 + (x[0] > 1) * 1e-9, x[0] * 0 - 1e-2]),
        lambda x: np.array([[1e-4], [1e-2]]),
        rounding=1.0,
    )
    assert fit(problem, np.zeros(1)).outcome in (Outcome.CONVERGED, Outcome.NOISE_FLOOR)
    assert fit(wavy, np.zeros(1)).outcome is Outcome.NOISE_FLOOR


def test_where_the_model_is_not_defined_there_is_no_search() -> None:
    assert LevenbergMarquardt()(ROSENBROCK, np.array([np.nan, 0.0])) is None


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_its_sentence(outcome: Outcome) -> None:
    assert outcome.message == OUTCOME_TEXT[outcome]
    assert outcome.is_answer == (outcome in (Outcome.CONVERGED, Outcome.NOISE_FLOOR))
    assert outcome.is_answer or not outcome.message.startswith("converged")
