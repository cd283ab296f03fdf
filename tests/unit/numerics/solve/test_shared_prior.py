"""The set itself says how far its corrections stray from the identity."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.priors import Shape, ShapePrior
from alignsvc.numerics.solve.shared_prior import SharedPrior

ALL = SharedPrior(frozenset(Shape))


@pytest.mark.parametrize("name", ["stack", "strip", "grid"])
def test_the_scatter_of_the_corrections_is_found(scene, layouts, name):
    """Matrix elements were drawn with 3e-4: rotation and scale have that, the skew is of two."""
    case = scene(layouts[name], Geometry.GENERAL, noise=1.0, seed=2)
    found = JointFitter(shared=ALL)(case.factors, case.footprints).prior
    assert found.scale == pytest.approx(3e-4, rel=0.5)
    assert math.radians(found.rotation_deg) == pytest.approx(3e-4, rel=0.6)
    assert math.radians(found.skew_deg) == pytest.approx(3e-4 * math.sqrt(2), rel=0.6)


def test_freedom_that_nobody_uses_costs_nothing(scene, layouts):
    """Pure shifts, fitted with free linear maps: as good as if the maps had been held."""
    worse = {"alone": 0.0, "shared": 0.0, "held": 0.0}
    for seed in range(5):
        case = scene(layouts["strip"], Geometry.SHIFT, noise=1.0, seed=seed)
        free = [replace(f, geometry=Geometry.GENERAL) for f in case.footprints]
        fits = {
            "alone": JointFitter()(case.factors, free),
            "shared": JointFitter(shared=ALL)(case.factors, free),
            "held": JointFitter()(case.factors, case.footprints),
        }
        for name, fit in fits.items():
            worse[name] += float((case.local_errors_arcsec(fit.steps) ** 2).sum())
    assert worse["shared"] < 1.3 * worse["held"]
    assert worse["alone"] > 20.0 * worse["held"]


def test_the_errors_of_a_shared_prior_hold(scene, layouts):
    squared = []
    for seed in range(6):
        case = scene(layouts["stack"], Geometry.GENERAL, noise=1.0, seed=seed)
        fit = JointFitter(shared=ALL)(case.factors, case.footprints)
        for footprint, error, covariance in zip(
            case.footprints, fit.steps - case.with_upright_mean(), fit.covariances, strict=True
        ):
            rows = footprint.jacobian.reshape(-1, 6)
            squared.append((rows @ error) ** 2 / np.einsum("ka,ab,kb->k", rows, covariance, rows))
    assert np.mean(squared) == pytest.approx(1.0, abs=0.35)


def test_what_is_given_stays_as_it_is(scene, layouts):
    case = scene(layouts["stack"], Geometry.GENERAL, noise=1.0)
    fitter = JointFitter(
        prior=ShapePrior(rotation_deg=0.5), shared=SharedPrior(frozenset({Shape.SCALE}))
    )
    found = fitter(case.factors, case.footprints).prior
    assert found.rotation_deg == 0.5
    assert found.skew_deg is None
    assert found.scale == pytest.approx(3e-4, rel=0.5)


def test_two_exposures_lose_little_by_it(scene, layouts):
    """One number says little of a deviation: what the pair lacks is not taken off it."""
    for seed in range(5):
        case = scene(layouts["pair"], Geometry.RSHIFT, noise=1.0, seed=seed)
        free = JointFitter()(case.factors, case.footprints)
        told = JointFitter(shared=ALL)(case.factors, case.footprints)
        apart = [fit.steps[0, 3] - fit.steps[1, 3] for fit in (free, told)]
        assert abs(apart[0] - apart[1]) < math.sqrt(free.covariances[0, 3, 3])
