"""The fit of one exposure by itself, against the truth and against tweakwcs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tweakwcs.linearfit import iter_linear_fit

from alignsvc.domain.correction import Geometry, rotation_matrix
from alignsvc.domain.geometry import Points
from alignsvc.domain.measurement import Factors
from alignsvc.errors import NothingToMeasure
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.reasons import SkipReason

NO_CLIPPING = Clipping(iterations=0)


def positions(geometry: Geometry, noise: float, n: int = 80):
    """Positions in an image, in the reference, and weights; the map between them."""
    generator = np.random.default_rng(4)
    image = generator.uniform([-200, -700], [800, 300], (n, 2))
    matrix = {
        Geometry.SHIFT: np.eye(2),
        Geometry.RSHIFT: rotation_matrix(0.001),
        Geometry.RSCALE: 1.001 * rotation_matrix(0.3),
        Geometry.GENERAL: np.array([[1.001, 3e-4], [-5e-4, 0.9993]]),
    }[geometry]
    shift = np.array([0.7, -1.3])
    sigma = noise * generator.uniform(0.2, 3, n)
    reference = image @ matrix.T + shift + generator.normal(size=(n, 2)) * sigma[:, None]
    return image, reference, 1 / np.maximum(sigma, 1e-3) ** 2, (matrix, shift)


@pytest.mark.parametrize("geometry", list(Geometry))
def test_an_exact_map_comes_back_exactly(geometry):
    image, reference, weights, (matrix, shift) = positions(geometry, 0.0)
    fit = LinearFitter(geometry).between(Points(*image.T), Points(*reference.T), weights)
    found = np.eye(2) + fit.step[2:].reshape(2, 2)
    # The rotation of rshift is of first order: w^2 / 2 = 1.5e-10.
    assert np.abs(found - matrix).max() < (2e-10 if geometry is Geometry.RSHIFT else 1e-12)
    assert np.abs(fit.step[:2] - shift).max() < 1e-7
    assert fit.rmse < 1e-6


@pytest.mark.parametrize("geometry", [Geometry.SHIFT, Geometry.RSCALE, Geometry.GENERAL])
@pytest.mark.parametrize("weighted", [True, False])
def test_it_agrees_with_tweakwcs(geometry, weighted):
    image, reference, weights, _ = positions(geometry, 0.05)
    weights = weights if weighted else np.ones(len(weights))
    fit = LinearFitter(geometry, NO_CLIPPING).between(
        Points(*image.T), Points(*reference.T), weights
    )
    theirs = iter_linear_fit(
        reference, image, wuv=weights, fitgeom=geometry.value, center=(0.0, 0.0), nclip=0
    )
    assert np.abs(np.eye(2) + fit.step[2:].reshape(2, 2) - theirs["matrix"]).max() < 1e-11
    assert np.abs(fit.step[:2] - theirs["shift"]).max() < 1e-8
    assert fit.rmse == pytest.approx(theirs["rmse"], rel=1e-6)
    assert fit.mae == pytest.approx(theirs["mae"], rel=1e-6)


def test_clipping_agrees_with_tweakwcs_on_who_is_an_outlier():
    image, reference, _, _ = positions(Geometry.RSCALE, 0.0)
    generator = np.random.default_rng(9)
    reference = reference + generator.normal(0, 0.01, reference.shape)
    reference[[3, 17, 40]] += [[0.5, 0.0], [-2.0, 1.0], [0.0, 5.0]]
    fit = LinearFitter(Geometry.RSCALE).between(
        Points(*image.T), Points(*reference.T), np.full(len(image), 1e4)
    )
    theirs = iter_linear_fit(
        reference, image, fitgeom="rscale", center=(0.0, 0.0), nclip=10, clip_accum=True
    )
    assert np.flatnonzero(~fit.used).tolist() == [3, 17, 40]
    assert np.flatnonzero(~theirs["fitmask"]).tolist() == [3, 17, 40]
    # Theirs has an edge, ours doubts a row that is nearly an outlier.
    error = np.sqrt(np.diag(fit.covariance)[:2])
    assert (np.abs(fit.step[:2] - theirs["shift"]) < 0.02 * error).all()


def test_the_covariance_is_the_scatter_of_many_fits(scene, layouts):
    pulls = []
    for seed in range(60):
        case = scene(layouts["pair"][:1], Geometry.GENERAL, noise=1.0, seed=seed)
        offsets = scene(layouts["pair"][:1], Geometry.GENERAL, seed=seed).factors[0].residual
        true = case.factors[0].jacobian @ case.truth[0]
        # The scene has an offset per source; one exposure by itself sees a perfect template.
        alone = replace(case.factors[0], residual=case.factors[0].residual - offsets + true)
        fit = LinearFitter(clipping=NO_CLIPPING)(alone)
        wrong = fit.step - case.truth[0]
        pulls.append(wrong @ np.linalg.solve(fit.covariance, wrong))
    # The mean of 60 values of chi2 with 6 degrees of freedom.
    assert np.mean(pulls) == pytest.approx(6.0, abs=4 * np.sqrt(12 / 60))


def test_what_is_not_fitted_has_no_variance():
    image, reference, weights, _ = positions(Geometry.SHIFT, 0.05)
    fit = LinearFitter(Geometry.SHIFT).between(Points(*image.T), Points(*reference.T), weights)
    assert not fit.step[2:].any()
    assert not fit.covariance[2:].any()
    assert (np.diag(fit.covariance)[:2] > 0).all()


def test_outliers_do_not_pull_the_fit():
    image, reference, weights, (_, shift) = positions(Geometry.GENERAL, 0.01)
    generator = np.random.default_rng(1)
    reference[::10] += generator.uniform(1, 20, (8, 2))
    fit = LinearFitter().between(Points(*image.T), Points(*reference.T), weights)
    assert not fit.used[::10].any()
    assert np.abs(fit.step[:2] - shift).max() < 0.01


def test_a_weight_of_zero_leaves_a_row_out():
    image, reference, weights, _ = positions(Geometry.GENERAL, 0.01)
    weights[5] = 0.0
    reference[5] = 1e6
    fit = LinearFitter(clipping=NO_CLIPPING).between(
        Points(*image.T), Points(*reference.T), weights
    )
    assert not fit.used[5]
    assert fit.rmse < 0.1


def test_too_few_sources_are_named_with_a_way_out():
    image, reference, weights, _ = positions(Geometry.GENERAL, 0.01, n=2)
    with pytest.raises(NothingToMeasure) as caught:
        LinearFitter().between(Points(*image.T), Points(*reference.T), weights)
    assert caught.value.reason is SkipReason.TOO_FEW_SOURCES
    assert str(caught.value) == (
        "2 sources left after clipping, geometry 'general' needs 3; "
        "set alignment.geometry: shift or lower detection.threshold"
    )


@pytest.mark.parametrize(
    ("geometry", "width"), [(Geometry.GENERAL, 0.0), (Geometry.GENERAL, 1e-4), (Geometry.RSCALE, 0)]
)
def test_sources_on_a_line_or_a_point_are_degenerate(geometry, width):
    along = np.linspace(0, 1, 20) * (1000.0 if geometry is Geometry.GENERAL else 0.0)
    across = width * np.cos(37 * along)
    image = Points(5000 + along - across, 7000 + along + across)
    with pytest.raises(NothingToMeasure) as caught:
        LinearFitter(geometry).between(image, image, np.ones(20))
    assert caught.value.reason is SkipReason.DEGENERATE_FIT


def test_a_far_tangent_point_is_no_degeneracy():
    image, reference, weights, (matrix, _) = positions(Geometry.GENERAL, 0.0)
    far = Points(image[:, 0] + 2e5, image[:, 1] - 1e5)
    moved = reference - image
    fit = LinearFitter().between(far, Points(far.x + moved[:, 0], far.y + moved[:, 1]), weights)
    assert np.abs(np.eye(2) + fit.step[2:].reshape(2, 2) - matrix).max() < 1e-9


def factors_with(case, hidden: float, seed: int) -> Factors:
    """The first exposure of a scene against the truth, with errors that nobody told of."""
    own = case.factors[0]
    generator = np.random.default_rng(seed)
    formal = generator.normal(size=(len(own), 2)) / np.sqrt(own.information[:, :1, 0])
    extra = generator.normal(0.0, hidden, (len(own), 2)) if hidden else 0.0
    return replace(own, residual=own.jacobian @ case.truth[0] + formal + extra)


@pytest.mark.parametrize("geometry", [Geometry.SHIFT, Geometry.RSCALE, Geometry.GENERAL])
def test_errors_that_nobody_told_of_are_found(scene, layouts, geometry):
    """Formal errors are 0.001 to 0.006: what is left shows the hidden 0.02, and pulls hold."""
    case = scene(layouts["pair"], geometry, density=200.0)
    pulls, floors = [], []
    for seed in range(40):
        fit = LinearFitter(geometry)(factors_with(case, 0.02, seed))
        floors.append(fit.floor)
        pulls.append((fit.step - case.truth[0])[:2] / np.sqrt(np.diag(fit.covariance)[:2]))
    assert np.median(floors) == pytest.approx(0.02, rel=0.15)
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=0.25)


def test_where_formal_errors_suffice_there_is_no_floor(scene, layouts):
    case = scene(layouts["pair"], Geometry.GENERAL, density=200.0)
    fits = [LinearFitter()(factors_with(case, 0.0, seed)) for seed in range(20)]
    assert sum(fit.floor > 0.0 for fit in fits) <= 2


@pytest.mark.parametrize("geometry", [Geometry.SHIFT, Geometry.RSHIFT, Geometry.GENERAL])
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10_000))
def test_a_fifth_of_outliers_is_as_if_they_had_been_left_out(scene, layouts, geometry, seed):
    case = scene(layouts["pair"], geometry)
    sound = factors_with(case, 0.0, seed)
    generator = np.random.default_rng(seed)
    bad = generator.random(len(sound)) < 0.2
    sigma = 1.0 / np.sqrt(sound.information[:, 0, 0])
    angle = generator.uniform(0.0, 2.0 * np.pi, len(sound))
    length = bad * sigma * 10.0 ** generator.uniform(1.0, 2.0, len(sound))
    error = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    fit = LinearFitter(geometry)(replace(sound, residual=sound.residual + error))
    known = LinearFitter(geometry)(replace(sound, use=~bad))
    assert not fit.used[bad].any()
    change = (case.footprints[0].jacobian @ (fit.step - known.step)).ravel()
    rows = case.footprints[0].jacobian.reshape(-1, 6)
    variance = np.einsum("ka,ab,kb->k", rows, known.covariance, rows)
    assert np.sqrt((change**2 / variance).mean()) < 1.5
