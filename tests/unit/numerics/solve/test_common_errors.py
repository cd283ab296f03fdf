"""Errors that measurements have in common, in the covariances of corrections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.gauge import FixedGauge
from alignsvc.numerics.solve.joint_fit import JointFit, JointFitter

#: Nothing is thrown out and no error is estimated: steps are linear in the residuals.
LINEAR = JointFitter(Clipping(iterations=0), error_floor=None)
N_OWN = 3


def with_errors(factors: Sequence[Factors], seed: int = 0) -> list[Factors]:
    """Three errors that the sources of each exposure have in common, and one of all exposures."""
    random = np.random.default_rng(seed)
    return [
        replace(
            one,
            profile_error=random.normal(0, 0.01, (1, 2, N_OWN))
            + random.normal(0, 1e-3, (len(one), 2, N_OWN)),
            convention_error=random.normal(0, 0.02, (1, 2, 1)) + np.zeros((len(one), 2, 1)),
        )
        for one in factors
    ]


def simulated(
    factors: Sequence[Factors], fit: JointFit, solve: Callable[[list[Factors]], JointFit]
) -> np.ndarray:
    """The same covariances from one solve for each number, which is 1 there and 0 elsewhere."""
    total = np.zeros_like(fit.covariances)
    for number in range(N_OWN * len(factors) + 1):
        moved = []
        for i, one in enumerate(factors):
            if number == N_OWN * len(factors):
                error = one.convention_error[:, :, 0]
            elif number // N_OWN == i:
                error = one.profile_error[:, :, number % N_OWN]
            else:
                error = 0.0
            moved.append(replace(one, residual=one.residual + error))
        change = solve(moved).steps - fit.steps
        total += change[:, :, None] * change[:, None, :]
    return total


@pytest.mark.parametrize("geometry", [Geometry.SHIFT, Geometry.RSHIFT, Geometry.GENERAL])
@pytest.mark.parametrize("layout", ["stack", "strip"])
def test_they_are_what_the_errors_do_to_the_solution(scene, layouts, layout, geometry) -> None:
    case = scene(layouts[layout][:6], geometry, noise=1.0)
    factors = with_errors(case.factors)
    fit = LINEAR(factors, case.footprints)
    wanted = simulated(factors, fit, lambda moved: LINEAR(moved, case.footprints))
    scale = np.abs(wanted).max(axis=0)
    assert (np.abs(fit.common_covariances - wanted) <= 1e-6 * scale).all()
    assert np.sqrt(wanted[:, 0, 0]).min() > 0.003


def test_the_solution_and_its_own_covariances_know_nothing_of_them(scene, layouts) -> None:
    case = scene(layouts["stack"], noise=1.0)
    plain, fit = (
        JointFitter()(factors, case.footprints)
        for factors in (case.factors, with_errors(case.factors))
    )
    assert (plain.steps == fit.steps).all()
    assert (plain.covariances == fit.covariances).all()
    assert not plain.common_covariances.any()
    assert fit.common_covariances.any()


def test_what_a_convention_does_to_all_exposures_alike_adds_nothing(scene, layouts) -> None:
    """Each source in its own way: the offsets of sources take it up."""
    case = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0)
    of_source = np.random.default_rng(2).normal(0, 0.05, (5000, 2))
    factors = [
        replace(one, convention_error=of_source[one.source, :, None]) for one in case.factors
    ]
    fit = LINEAR(factors, case.footprints)
    assert np.sqrt(fit.common_covariances[:, 0, 0]).max() < 1e-9


def test_an_exposure_that_cannot_move_passes_its_errors_to_the_others(scene, layouts) -> None:
    case = scene(layouts["pair"], Geometry.SHIFT, noise=1.0)
    along_x = np.tile([[[0.01], [0.0]]], (len(case.factors[0]), 1, 1))
    held = replace(case.factors[0], profile_error=along_x)
    fit = replace(LINEAR, gauge=FixedGauge((0,)))([held, case.factors[1]], case.footprints)
    assert not fit.common_covariances[0].any()
    assert np.sqrt(fit.common_covariances[1, 0, 0]) == pytest.approx(0.01, rel=1e-6)


def test_of_more_numbers_than_are_looked_at_one_by_one_the_scatter_is_drawn(
    scene, layouts, monkeypatch
) -> None:
    case = scene(layouts["stack"], Geometry.SHIFT, noise=1.0)
    factors = with_errors(case.factors)
    exact = LINEAR(factors, case.footprints).common_covariances
    monkeypatch.setattr("alignsvc.numerics.solve.common_errors._MOST_NUMBERS", 24)
    drawn = LINEAR(factors, case.footprints).common_covariances
    ratio = np.sqrt(np.trace(drawn.sum(axis=0)) / np.trace(exact.sum(axis=0)))
    assert ratio == pytest.approx(1.0, abs=0.3)
    again = LINEAR(factors, case.footprints).common_covariances
    assert (again == drawn).all()
