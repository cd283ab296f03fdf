"""Stars that move between exposures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.domain.reference_catalog import moved
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.motions import (
    DriftTest,
    SourceMotions,
    less_steps,
    plane_from_local,
    without_sources,
)

YEARS = np.linspace(2010.0, 2020.0, 8)
MIDDLE = 2015.0


def motions_of(case, speed_mas, plane, *, error_mas=0.0):
    """Give every source of a scene a motion; return it as a catalogue knows it."""
    ids = np.unique(np.concatenate([f.source for f in case.factors]))
    rng = np.random.default_rng(4)
    sky = plane.to_sky(Points(*rng.uniform(-50, 50, (2, len(ids)))))
    motion = rng.normal(0.0, speed_mas, (len(ids), 2))
    covariance = np.tile(error_mas**2 * np.eye(2), (len(ids), 1, 1))
    return SourceMotions(ids, sky, motion, covariance, MIDDLE, plane)


def seen_moving(case, motions, plane):
    """The factors as measured of stars that move: ``r = B theta + c - mu (t - T)``."""
    start = plane.from_sky(motions.sky)
    seen = []
    for one, year in zip(case.factors, YEARS, strict=True):
        end = plane.from_sky(moved(motions.sky, motions.motion_mas, year - MIDDLE))
        path = np.stack([end.x - start.x, end.y - start.y], axis=1)
        rows = np.searchsorted(motions.source, one.source)
        seen.append(replace(one, residual=one.residual - path[rows]))
    return seen


@pytest.fixture
def plane():
    return TangentPlane(150.0, 2.0)


def test_with_motions_taken_off_the_corrections_are_the_true_ones(scene, layouts, plane):
    case = scene(layouts["stack"])
    motions = motions_of(case, 30.0, plane)
    seen = seen_moving(case, motions, plane)
    blind = JointFitter()(seen, case.footprints)
    assert case.errors_arcsec(blind.steps).max() > 0.01
    still = [motions.taken_off(one, year) for one, year in zip(seen, YEARS, strict=True)]
    fit = JointFitter()(still, case.footprints)
    assert case.errors_arcsec(fit.steps).max() < 1e-9


def test_the_error_of_a_motion_weakens_what_is_far_in_time(scene, layouts, plane):
    (one, *_) = scene(layouts["stack"]).factors
    case = scene(layouts["stack"])
    motions = motions_of(case, 0.0, plane, error_mas=2.0)
    near, far = motions.taken_off(one, MIDDLE), motions.taken_off(one, MIDDLE + 10.0)
    np.testing.assert_allclose(near.information, one.information, rtol=1e-12)
    grown = np.linalg.inv(far.information) - np.linalg.inv(one.information)
    np.testing.assert_allclose(grown, np.tile(0.02**2 * np.eye(2), (len(one), 1, 1)), atol=1e-9)


def test_sources_that_the_catalogue_does_not_know_stay_as_they_are(scene, layouts, plane):
    case = scene(layouts["stack"])
    one = case.factors[0]
    known = motions_of(case, 30.0, plane)
    few = replace(
        known,
        source=known.source[:3],
        sky=SkyPoints(known.sky.ra[:3], known.sky.dec[:3]),
        motion_mas=known.motion_mas[:3],
        covariance=known.covariance[:3],
    )
    changed = few.taken_off(one, 2020.0)
    other = ~np.isin(one.source, few.source)
    np.testing.assert_array_equal(changed.residual[other], one.residual[other])
    assert (changed.residual[~other] != one.residual[~other]).all()


def test_an_exposure_without_a_time_does_without_what_moves(scene, layouts, plane):
    case = scene(layouts["stack"])
    one = case.factors[0]
    motions = motions_of(case, 30.0, plane)
    left = motions.movers_left_out(one, years=10.0, limit_arcsec=0.2)
    speed = np.hypot(*motions.motion_mas.T)[np.searchsorted(motions.source, one.source)]
    np.testing.assert_array_equal(left.use, one.use & (speed * 10.0 <= 200.0))


def test_local_directions_turn_with_the_meridians(plane):
    sky = SkyPoints(np.array([150.0, 153.0]), np.array([2.0, 2.0]))
    near, away = plane_from_local(sky, plane)
    np.testing.assert_allclose(near, np.eye(2), atol=1e-5)
    assert away[1, 0] == pytest.approx(np.radians(3.0) * np.sin(np.radians(2.0)), rel=0.01)


def drift_ids(case, seen, **settings):
    fit = JointFitter()(seen, case.footprints)
    left = less_steps(seen, fit.steps)
    return DriftTest(**settings)(left, YEARS, fit.floor_arcsec)


def test_a_star_that_drifts_is_found_and_those_that_stand_are_not(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    fast = case.factors[0].source[5]
    seen = []
    for one, year in zip(case.factors, YEARS, strict=True):
        residual = np.array(one.residual)
        residual[one.source == fast] -= np.array([0.02, 0.01]) * (year - MIDDLE)
        seen.append(replace(one, residual=residual))
    assert drift_ids(case, seen).tolist() == [fast]
    assert drift_ids(case, case.factors).tolist() == []
    left_out = without_sources(seen, np.array([fast]))
    assert not any(one.use[one.source == fast].any() for one in left_out)


def test_one_bad_row_is_not_a_drift(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    residual = np.array(case.factors[7].residual)
    residual[5] += 0.2
    seen = [*case.factors[:7], replace(case.factors[7], residual=residual)]
    assert drift_ids(case, seen).tolist() == []


def test_within_a_night_nothing_is_tested(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    tonight = 2020.0 + (YEARS - 2010.0) * 1e-3
    assert DriftTest()(case.factors, tonight, 0.0).tolist() == []
    assert DriftTest()(case.factors, np.full(len(YEARS), np.nan), 0.0).tolist() == []
