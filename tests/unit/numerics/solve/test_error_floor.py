"""The error that displacements have on top of their formal one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.numerics.solve.error_floor import ErrorFloor, FitRows, leverage, with_floor
from alignsvc.numerics.solve.joint_fit import JointFitter


def rows_of(n_exposures=6, n_sources=300, floor=0.0, bad=0.0, seed=0):
    """Sources of very different brightness in every exposure, no correction lacking."""
    rng = np.random.default_rng(seed)
    sigma = np.repeat(10 ** rng.uniform(-3, -0.5, n_sources), n_exposures)
    source = np.repeat(np.arange(n_sources), n_exposures)
    error = rng.normal(size=(len(source), 2)) * np.hypot(sigma, floor)[:, None]
    error[rng.uniform(size=len(source)) < bad] += 0.5
    offset = rng.normal(0, 0.1, (n_sources, 2))[source]
    return FitRows(
        source=source,
        exposure=np.tile(np.arange(n_exposures), n_sources),
        residual=error + offset,
        design=np.zeros((len(source), 2, 2)),
        information=np.eye(2) / sigma[:, None, None] ** 2,
    )


def test_errors_that_are_right_need_no_floor():
    smallest_error = 1e-3
    floors = [ErrorFloor()(rows_of(seed=seed)) for seed in range(10)]
    assert max(floors) < 0.3 * smallest_error
    assert np.median(floors) == 0.0


@pytest.mark.parametrize("n_exposures", [2, 3, 10])
def test_the_floor_is_found(n_exposures):
    assert ErrorFloor()(rows_of(n_exposures, floor=0.02)) == pytest.approx(0.02, rel=0.2)


def test_a_fifth_of_outliers_is_left_to_the_clipping():
    assert ErrorFloor()(rows_of(floor=0.02, bad=0.2)) == pytest.approx(0.02, rel=0.2)


def test_the_floor_scales_with_the_unit():
    rows = rows_of(floor=0.02)
    large = FitRows(
        rows.source, rows.exposure, 60 * rows.residual, rows.design, rows.information / 60**2
    )
    assert ErrorFloor()(large) == pytest.approx(60 * ErrorFloor()(rows))


def test_nothing_measured_has_no_floor():
    rows = rows_of()
    none = FitRows(
        rows.source[:0], rows.exposure[:0], rows.residual[:0], rows.design[:0], rows.information[:0]
    )
    assert ErrorFloor()(none) == ErrorFloor(before=0.1)(none) == 0.0


def test_a_star_that_alone_fixes_the_fit_says_nothing_for_it():
    rows = rows_of(n_sources=8, floor=0.1, seed=3)
    sigma = np.where(rows.source == 0, 1e-4, 0.01)
    residual = np.where((rows.source == 0)[:, None], 0.0, rows.residual)  # the fit went through it
    shift = np.broadcast_to(np.eye(2), rows.design.shape)
    information = np.eye(2) / sigma[:, None, None] ** 2
    fixed = FitRows(rows.source, rows.exposure, residual, shift, information)
    assert ErrorFloor()(fixed) > 0.03
    unaware = FitRows(rows.source, rows.exposure, residual, 0 * shift, information)
    assert ErrorFloor()(unaware) == 0.0


#: Formal errors of five stars: the brightest nearly fixes the fit of each exposure by itself.
FIVE_STARS = np.array([0.015, 0.02, 0.025, 0.12, 0.4])


def five_stars(floor, seed, n_exposures=9):
    """What a shift fitted to each exposure leaves of the same five stars."""
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(5), n_exposures)
    exposure = np.tile(np.arange(n_exposures), 5)
    sigma = FIVE_STARS[source]
    residual = rng.normal(size=(len(source), 2)) * np.hypot(sigma, floor)[:, None]
    weight = 1.0 / (sigma**2 + floor**2)
    for one in range(n_exposures):
        rows = exposure == one
        residual[rows] -= np.average(residual[rows], axis=0, weights=weight[rows])
    design = np.broadcast_to(np.eye(2), (len(source), 2, 2))
    return FitRows(source, exposure, residual, design, np.eye(2) / sigma[:, None, None] ** 2)


def looks_at(rows, *, remembers, seed, n_looks=6):
    """Floors found one after the other, of residuals that differ by thousandths of a pixel."""
    rng = np.random.default_rng(seed)
    found = [0.0]
    for _ in range(n_looks):
        residual = rows.residual + rng.normal(0, 0.005, rows.residual.shape)
        estimate = ErrorFloor(before=found[-1] if remembers else 0.0)
        found.append(estimate(replace(rows, residual=residual)))
    return np.array(found[1:])


def test_of_few_stars_the_floor_stays_from_look_to_look():
    """Without memory it jumps between 0 and half of the truth, and the fit's weights with it."""
    jumps = {
        remembers: np.mean(
            [
                np.ptp(looks_at(five_stars(0.03, seed), remembers=remembers, seed=seed))
                for seed in range(12)
            ]
        )
        for remembers in (False, True)
    }
    assert jumps[False] > 0.005
    assert jumps[True] < 0.3 * jumps[False]


def test_a_remembered_floor_comes_nearer_to_the_truth_than_the_least():
    least = [ErrorFloor()(five_stars(0.03, seed)) for seed in range(20)]
    kept = [looks_at(five_stars(0.03, seed), remembers=True, seed=seed)[-1] for seed in range(20)]
    assert np.mean(least) < np.mean(kept) < 1.1 * 0.03


@pytest.mark.parametrize("before", [0.005, 0.02, 0.03, 1.0])
def test_many_stars_overrule_what_was_found_before(before):
    assert ErrorFloor(before=before)(rows_of(floor=0.02)) == pytest.approx(0.02, rel=0.1)


def test_many_good_stars_leave_next_to_nothing_of_a_floor_found_before():
    smallest_error = 1e-3
    floors = [ErrorFloor(before=0.05)(rows_of(seed=seed)) for seed in range(10)]
    assert max(floors) < smallest_error
    assert np.median(floors) < 0.4 * smallest_error


def test_the_leverages_of_an_exposure_add_up_to_its_parameters():
    rng = np.random.default_rng(2)
    rows = rows_of(3, 40)
    design = rng.normal(size=(len(rows.source), 2, 6)) * np.array([1, 1, 1e4, 1e4, 1e4, 1e4])
    given = FitRows(rows.source, rows.exposure, rows.residual, design, rows.information)
    taken = leverage(given, np.broadcast_to(np.eye(2), rows.information.shape))
    assert np.bincount(rows.exposure, taken) == pytest.approx([3.0, 3.0, 3.0])


def test_a_floor_adds_to_the_covariance_and_gives_no_information_to_rows_without():
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    information = np.stack([np.linalg.inv(covariance), np.zeros((2, 2))])
    floored = with_floor(information, 3.0)
    assert np.linalg.inv(floored[0]) == pytest.approx(covariance + 9.0 * np.eye(2))
    assert (floored[1] == 0).all()
    assert with_floor(information, 0.0) is information


def test_with_a_floor_the_joint_fit_comes_nearer_to_the_truth(scene, layouts):
    rng = np.random.default_rng(5)
    aware, unaware = [], []
    for seed in range(4):
        case = scene(layouts["stack"], noise=1.0, density=100.0, seed=seed)
        for factors in case.factors:
            extra = rng.normal(0, 0.02, (len(factors), 2))
            object.__setattr__(factors, "residual", factors.residual + extra)
        fit = JointFitter()(case.factors, case.footprints)
        assert fit.floor_arcsec == pytest.approx(0.02, rel=0.15)
        assert fit.chi2 / fit.dof == pytest.approx(1.0, abs=0.25)
        aware.append(case.errors_arcsec(fit.steps))
        fit = JointFitter(error_floor=None)(case.factors, case.footprints)
        assert fit.floor_arcsec == 0.0
        unaware.append(case.errors_arcsec(fit.steps))
    assert np.mean(aware) < 0.85 * np.mean(unaware)
