"""What all exposures have in common is not movement, and does not drift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.numerics.solve.gauge import footprint_of, hold_mean
from alignsvc.numerics.solve.priors import ShapePrior
from alignsvc.numerics.solve.steps import departure, step_correction

PLANE = TangentPlane(10.0, 50.0)


def footprints(n: int, total: Correction | None = None):
    generator = np.random.default_rng(0)
    total = Correction.identity(PLANE, Geometry.GENERAL) if total is None else total
    corner = np.array([-50.0, 50.0, 50.0, -50.0]), np.array([-50.0, -50.0, 50.0, 50.0])
    shifted = (Points(corner[0] + x, corner[1] + y) for x, y in generator.normal(0, 60, (n, 2)))
    return [footprint_of(PLANE.to_sky(points), total, PLANE) for points in shifted]


@pytest.mark.parametrize("geometry", list(Geometry))
def test_a_common_motion_of_all_steps_is_no_movement(geometry):
    generator = np.random.default_rng(1)
    own = generator.normal(size=(5, geometry.n_parameters)) @ geometry.basis.T * 1e-3
    common = 1e-3 * geometry.basis @ generator.normal(size=geometry.n_parameters)
    prints = footprints(5, Correction.identity(PLANE, geometry))
    held = hold_mean(own, prints)
    np.testing.assert_allclose(hold_mean(own + common, prints), held, atol=1e-10)
    moved = np.concatenate([f.jacobian @ s for f, s in zip(prints, held, strict=True)])
    assert np.abs(moved.mean(axis=0)).max() < 1e-10


def test_the_mean_of_the_total_is_held_not_that_of_the_step():
    total = step_correction(PLANE, np.array([1.0, 2, 0, 0, 0, 0]), np.zeros((6, 6)), Geometry.SHIFT)
    prints = footprints(4, total)
    held = hold_mean(np.zeros((4, 6)), prints)
    np.testing.assert_allclose(held[:, :2], [[-1.0, -2.0]] * 4, atol=1e-6)
    alone = hold_mean(np.zeros((4, 6)), [f.unmoved() for f in prints])
    assert not alone.any()


def test_a_footprint_knows_how_far_it_has_moved():
    step = np.array([0.5, -0.2, 1e-4, 0, 0, 1e-4])
    (moved,) = footprints(1, step_correction(PLANE, step, np.zeros((6, 6)), Geometry.GENERAL))
    (unmoved,) = footprints(1)
    np.testing.assert_allclose(moved.displacement, unmoved.jacobian @ step, atol=1e-9)
    np.testing.assert_allclose(moved.departure, step, atol=1e-15)


def test_a_footprint_off_the_plane_is_refused():
    total = Correction.identity(PLANE, Geometry.SHIFT)
    behind = PLANE.to_sky(Points(np.zeros(1), np.zeros(1)))
    with pytest.raises(ValueError, match="finite"):
        footprint_of(behind, total, TangentPlane(190.0, -50.0))


def test_many_rigid_steps_stay_rigid():
    total = Correction.identity(PLANE, Geometry.RSHIFT)
    step = np.array([1.0, 0.3, 0.0, 2e-3, -2e-3, 0.0])
    for _ in range(50):
        total = step_correction(PLANE, step, np.zeros((6, 6)), Geometry.RSHIFT).after(total)
    assert total.is_rigid
    assert total.rotation_deg == pytest.approx(50 * math.degrees(2e-3), rel=1e-5)


def test_a_prior_binds_only_what_it_names():
    rotation = step_correction(
        PLANE, np.array([0, 0, 0, 1e-4, -1e-4, 0]), np.zeros((6, 6)), Geometry.RSHIFT
    )
    for prior, geometry, expected in [
        (ShapePrior(rotation_deg=math.degrees(1e-4)), Geometry.RSHIFT, 1.0),
        (ShapePrior(scale=1e-6, skew_deg=1e-6), Geometry.RSCALE, 0.0),
    ]:
        information = prior.information(geometry)
        chi2 = departure(rotation) @ information @ departure(rotation)
        assert chi2 == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ValueError, match="scale must be positive"):
        ShapePrior(scale=0.0)
