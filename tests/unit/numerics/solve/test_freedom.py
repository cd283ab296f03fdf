"""Each exposure is as free as its measurements ask for; freedom that is not used costs nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.numerics.solve.freedom import GeometryChoice
from alignsvc.numerics.solve.gauge import FixedGauge
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.priors import Shape, ShapePrior
from alignsvc.numerics.solve.shared_prior import Departures, SharedPrior
from alignsvc.numerics.solve.steps import departure, stepped

ALL = SharedPrior(frozenset(Shape))
CHOOSING = JointFitter(shared=ALL, choice=GeometryChoice(), stiffens=True)
PLANE = TangentPlane(150.0, 2.0)


def as_free_as(footprints, geometry):
    return [replace(footprint, geometry=geometry) for footprint in footprints]


def thinned(factors, n_left: int):
    """Factors of which only the first few are in use."""
    return replace(factors, use=np.arange(len(factors)) < n_left)


@pytest.mark.parametrize("geometry", list(Geometry))
@pytest.mark.parametrize("name", ["pair", "stack", "strip"])
def test_what_the_headers_lack_is_chosen_and_no_more(scene, layouts, name, geometry):
    case = scene(layouts[name], geometry, noise=1.0, seed=3)
    fit = CHOOSING(case.factors, as_free_as(case.footprints, Geometry.GENERAL))
    assert set(fit.geometries) == {geometry}
    known = JointFitter()(case.factors, case.footprints)
    best = case.local_errors_arcsec(known.steps).max()
    # One draw of the noise: bends of a strip scatter by as much as they are.
    assert case.local_errors_arcsec(fit.steps).max() < 2.0 * best


def test_what_is_not_free_stays_exactly_as_it_is(scene, layouts):
    case = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0)
    mixed = [
        replace(footprint, geometry=geometry)
        for footprint, geometry in zip(case.footprints, 2 * list(Geometry), strict=True)
    ]
    fit = JointFitter()(case.factors, mixed)
    for step, covariance, footprint in zip(fit.steps, fit.covariances, mixed, strict=True):
        basis = footprint.geometry.basis
        inside = basis @ np.linalg.pinv(basis)
        np.testing.assert_allclose(inside @ step, step, atol=1e-15)
        held = np.abs(covariance).max(axis=0) == 0.0
        assert held.tolist() == (np.abs(basis).max(axis=1) == 0.0).tolist()


def test_one_exposure_may_be_freer_than_the_others(scene, layouts):
    """The others stand still, and say so: only the one that is skewed gets the skew."""
    case = scene(layouts["stack"], Geometry.SHIFT, noise=1.0)
    skew = np.array([0.0, 0.0, 3e-4, 2e-4, 2e-4, -3e-4])
    factors = list(case.factors)
    moved = np.einsum("nij,j->ni", factors[2].jacobian, skew)
    factors[2] = replace(factors[2], residual=factors[2].residual + moved)
    free = [replace(f, geometry=Geometry.SHIFT) for f in case.footprints]
    free[2] = replace(free[2], geometry=Geometry.GENERAL)
    fit = JointFitter()(factors, free)
    np.testing.assert_allclose(fit.steps[2, 2:], skew[2:], atol=5e-5)
    assert not fit.steps[[0, 1, 3, 4, 5, 6, 7], 2:].any()


def test_an_exposure_is_no_freer_than_its_sources_carry(scene, layouts):
    case = scene(layouts["stack"], Geometry.GENERAL, noise=1.0)
    factors = list(case.factors)
    factors[1], factors[4] = thinned(factors[1], 2), thinned(factors[4], 1)
    fit = CHOOSING(factors, case.footprints)
    assert not fit.not_solved
    assert fit.geometries[1] in (Geometry.RSCALE, Geometry.RSHIFT, Geometry.SHIFT)
    assert fit.geometries[4] is Geometry.SHIFT
    assert {fit.geometries[i] for i in (0, 2, 3, 5, 6, 7)} == {Geometry.GENERAL}


def test_what_a_stiffer_geometry_cannot_express_is_undone(scene, layouts):
    """Totals that turned by mistake: the set asks for shifts, and the rotation goes again."""
    turned = Correction.from_parameters(
        PLANE, np.array([0.1, 0, 1, 2e-4, -2e-4, 1.0]), Geometry.RSHIFT
    )
    case = scene(layouts["stack"], Geometry.SHIFT, noise=1.0, totals=[turned] * 8)
    factors = [
        replace(f, residual=f.residual - f.jacobian @ departure(turned) + f.jacobian[:, :, 0] * 0.1)
        for f in case.factors
    ]
    fit = CHOOSING(factors, case.footprints)
    assert set(fit.geometries) == {Geometry.SHIFT}
    for step, covariance in zip(fit.steps, fit.covariances, strict=True):
        total = stepped(turned, step, covariance, Geometry.SHIFT)
        assert (total.matrix == np.eye(2)).all()
    assert fit.chi2 / fit.dof < 1.2


def test_a_geometry_needs_half_as_many_sources_again_as_it_has_parameters():
    carried = [GeometryChoice().carried_by(n) for n in (0, 4, 5, 6, 8, 9)]
    assert carried == ["shift", "shift", "rshift", "rscale", "rscale", "general"]


def departed(rotations, floor_share: float) -> Departures:
    """Exposures of three free parameters, known to 1e-5, of which only the rotation counts."""
    n, basis = len(rotations), Geometry.RSHIFT.basis
    error = 1e-10 * basis[:, 2:] @ basis[:, 2:].T
    return Departures(
        value=np.outer(rotations, basis[:, 2]),
        covariance=np.array([error] * n),
        common=np.zeros((n, 6, 6)),
        own_covariance=np.array([error] * n),
        geometries=(Geometry.RSHIFT,) * n,
        floor_share=floor_share,
    )


def test_exposures_that_share_their_errors_are_one_witness():
    """Two and a half errors may be chance once, however many see it; not eight times over."""
    eight = np.array([1, -1] * 4) * 2.5e-5
    prior = ShapePrior(rotation_deg=np.degrees(2.5e-5))
    chosen = {share: GeometryChoice()(departed(eight, share), prior) for share in (0.0, 1.0)}
    assert set(chosen[0.0]) == {Geometry.RSHIFT}
    assert set(chosen[1.0]) == {Geometry.SHIFT}


def test_one_that_departs_strongly_departs_alone():
    rotations = np.array([0.0, 0.0, 0.0, 9e-5])
    prior = ShapePrior(rotation_deg=np.degrees(9e-3))
    chosen = GeometryChoice()(departed(rotations, 1.0), prior)
    assert chosen == (Geometry.SHIFT,) * 3 + (Geometry.RSHIFT,)


def test_a_choice_needs_to_know_what_freedom_is_worth():
    with pytest.raises(ValueError, match="give or share"):
        JointFitter(choice=GeometryChoice(), prior=ShapePrior(scale=1e-5))


def test_a_reference_is_not_free_and_the_others_turn_about_it(scene, layouts):
    case = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0)
    fitter = replace(CHOOSING, gauge=FixedGauge((1,)))
    fit = fitter(case.factors, as_free_as(case.footprints, Geometry.GENERAL))
    assert fit.geometries[1] is Geometry.SHIFT
    assert set(fit.geometries[2:]) == {Geometry.RSHIFT}
    assert not fit.steps[1].any() and not fit.covariances[1].any()


def test_a_choice_made_twice_is_the_same(scene, layouts):
    case = scene(layouts["grid"], Geometry.RSHIFT, noise=1.0)
    one, two = (CHOOSING(case.factors, case.footprints) for _ in range(2))
    assert one.geometries == two.geometries
    assert (one.steps == two.steps).all() and (one.covariances == two.covariances).all()
