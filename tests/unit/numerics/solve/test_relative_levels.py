"""Levels of exposures that are known only against each other."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.solve.relative_levels import LevelRows, LevelSolver, RelativeLevels

SOLVE = LevelSolver()
NOISE = 0.02


def rows_of(
    levels: FloatArray, groups: list[tuple[range, range]], seed: int = 1, outliers: float = 0.0
) -> LevelRows:
    """Return what exposures measure at places: each group its own exposures and places.

    Every place adds a number of its own; an exposure sees three places of four.
    """
    rng = np.random.default_rng(seed)
    exposure, place = (
        np.concatenate([np.repeat(e, len(p)) for e, p in groups]),
        np.concatenate([np.tile(p, len(e)) for e, p in groups]),
    )
    seen = rng.random(len(exposure)) < 0.75
    exposure, place = exposure[seen], place[seen]
    value = levels[exposure] + 5.0 * np.sin(place) + rng.normal(0.0, NOISE, len(place))
    value += np.where(rng.random(len(place)) < outliers, rng.normal(0.0, 3.0, len(place)), 0.0)
    return LevelRows(exposure, place, value, np.full(len(place), NOISE**2))


def off(found: RelativeLevels, levels: FloatArray, members: FloatArray) -> FloatArray:
    """Return errors of levels against the mean of some exposures."""
    error = found.value[members] - levels[members]
    return np.asarray(error - error.mean())


def test_levels_are_found_in_each_component_by_itself() -> None:
    levels = np.log(np.random.default_rng(0).uniform(0.3, 3.0, 12))
    groups = [(range(7), range(40)), (range(7, 12), range(40, 80))]
    found = SOLVE(rows_of(levels, groups), 12)
    assert found.component.tolist() == [0] * 7 + [1] * 5
    for label in (0, 1):
        members = np.flatnonzero(found.component == label)
        assert np.abs(off(found, levels, members)).max() < 4 * NOISE / np.sqrt(30)


def test_the_median_exposure_of_a_component_keeps_its_level() -> None:
    levels = np.array([0.0, 0.0, 0.0, 0.0, np.log(3.0)])
    found = SOLVE(rows_of(levels, [(range(5), range(60))]), 5)
    assert np.median(found.value) == 0.0
    assert np.abs(found.value[:4]).max() < 0.01
    assert found.value[4] == pytest.approx(np.log(3.0), abs=0.01)


def test_a_chain_of_exposures_is_held_together_by_what_neighbours_share() -> None:
    levels = np.linspace(-1.0, 1.0, 9)
    groups = [(range(k, k + 2), range(30 * k, 30 * k + 30)) for k in range(8)]
    found = SOLVE(rows_of(levels, groups), 9)
    assert np.abs(off(found, levels, np.arange(9))).max() < 0.03


def test_places_that_differ_for_their_own_reasons_do_not_pull() -> None:
    levels = np.log(np.random.default_rng(3).uniform(0.3, 3.0, 8))
    found = SOLVE(rows_of(levels, [(range(8), range(50))], outliers=0.15), 8)
    assert np.abs(off(found, levels, np.arange(8))).max() < 0.03


def test_an_exposure_that_shares_nothing_is_left_as_it_is() -> None:
    levels = np.array([0.5, -0.5, 2.0])
    rows = rows_of(levels, [(range(2), range(30)), (range(2, 3), range(30, 60))])
    found = SOLVE(rows, 3)
    assert found.value[2] == 0.0
    assert np.isinf(found.error[2])
    assert len(set(found.component.tolist())) == 2


def test_nothing_measured_changes_nothing() -> None:
    none = np.zeros(0)
    found = SOLVE(LevelRows(none.astype(int), none.astype(int), none, none), 3)
    assert (found.value == 0.0).all()
    assert np.isinf(found.error).all()


def test_errors_are_as_large_as_they_say() -> None:
    levels = np.log(np.random.default_rng(0).uniform(0.3, 3.0, 6))
    pulls = []
    for seed in range(16):
        found = SOLVE(rows_of(levels, [(range(6), range(40))], seed=seed), 6)
        pulls.append(off(found, levels, np.arange(6)) / found.error)
    assert 0.8 < float(np.std(pulls)) < 1.2


def test_scatter_beyond_the_errors_becomes_a_floor() -> None:
    levels = np.zeros(6)
    rows = rows_of(levels, [(range(6), range(80))])
    tenth = LevelRows(rows.exposure, rows.place, rows.value, rows.variance / 100)
    assert SOLVE(rows, 6).floor < 0.5 * NOISE
    assert SOLVE(tenth, 6).floor == pytest.approx(NOISE, rel=0.15)


def test_a_variance_of_nothing_is_refused() -> None:
    rows = rows_of(np.zeros(2), [(range(2), range(10))])
    with pytest.raises(ValueError, match="variance above 0"):
        SOLVE(LevelRows(rows.exposure, rows.place, rows.value, 0 * rows.variance), 2)


def test_the_median_holds_the_scale_and_where_some_are_frozen_they_do() -> None:
    component = np.array([0, 0, 0, 1, 1])
    levels = RelativeLevels(np.zeros(5), np.ones(5), component, 0.0)
    total, before = np.array([1.0, 2.0, 6.0, 3.0, 5.0]), np.array([0.0, 0.0, 0.0, 0.5, 0.0])
    nobody, one = np.zeros(5, bool), np.array([False, False, False, True, False])
    assert levels.in_gauge(total, before, nobody).tolist() == [-1.0, 0.0, 4.0, -1.0, 1.0]
    assert levels.in_gauge(total, before, one).tolist() == [-1.0, 0.0, 4.0, 0.5, 2.5]
