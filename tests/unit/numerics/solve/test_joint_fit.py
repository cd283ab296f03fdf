"""The joint solve finds corrections that are known, from factors that are exactly the model's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve import reduced
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.gauge import FixedGauge, GaugeKind, footprint_of
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.priors import CatalogOffsets, ShapePrior
from alignsvc.numerics.solve.repeatability import Repetition
from alignsvc.numerics.solve.sparse_system import SparseSystem
from alignsvc.reasons import SkipReason

NAMES = ["stack", "pair", "strip", "grid"]
COLUMNS = [
    *("source", "residual", "jacobian", "information"),
    *("weight_share", "use", "held_out", "chip"),
]


def true_offsets(scene) -> tuple[np.ndarray, np.ndarray]:
    """Ids and latent offsets of all sources of a noise-free scene."""
    found = {}
    for factors, step in zip(scene.factors, scene.truth, strict=True):
        offsets = factors.residual - factors.jacobian @ step
        found.update(zip(factors.source.tolist(), offsets, strict=True))
    ids = np.array(sorted(found))
    return ids, np.array([found[i] for i in ids])


def with_outliers(scene, fraction: float, seed: int = 5) -> list[Factors]:
    """Errors of 10 to 100 standard deviations in a fraction of the rows."""
    generator = np.random.default_rng(seed)
    spoilt = []
    for factors in scene.factors:
        n = len(factors)
        sigma = 1 / np.sqrt(factors.information[:, 0, 0])
        length = 10 ** generator.uniform(1, 2, n) * sigma * (generator.random(n) < fraction)
        angle = generator.uniform(0, 2 * np.pi, n)
        error = length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        spoilt.append(replace(factors, residual=factors.residual + error))
    return spoilt


@pytest.mark.parametrize("geometry", list(Geometry))
@pytest.mark.parametrize("name", NAMES)
def test_one_solve_finds_the_truth_for_any_overlap_graph(scene, layouts, name, geometry):
    case = scene(layouts[name], geometry)
    fit = JointFitter()(case.factors, case.footprints)
    assert case.errors_arcsec(fit.steps).max() < 1e-9
    assert not fit.not_solved
    assert fit.component.tolist() == [0] * len(case.factors)
    assert fit.gauges == (GaugeKind.MEAN,)


@pytest.mark.parametrize("name", ["pair", "strip"])
def test_stepping_to_the_mean_of_the_others_does_not_get_there(scene, layouts, name):
    """The trap that the joint solve is for: a Jacobi iteration, even without any noise."""
    case = scene(layouts[name], Geometry.SHIFT)
    lacking = case.in_gauge()[:, :2]
    sees = [set(f.source.tolist()) for f in case.factors]
    n = len(sees)
    shared = np.array([[len(sees[i] & sees[j]) * (i != j) for j in range(n)] for i in range(n)])
    start = np.ptp(lacking, axis=0).max()
    for _ in range(10):
        lacking = (shared / shared.sum(axis=1, keepdims=True)) @ lacking
    assert np.ptp(lacking, axis=0).max() > 0.3 * start


@pytest.mark.parametrize("geometry", [Geometry.RSHIFT, Geometry.GENERAL])
@pytest.mark.parametrize("name", NAMES)
def test_the_covariance_says_how_wrong_the_fit_is(scene, layouts, name, geometry):
    squared_pulls, chi2, dof = [], 0.0, 0
    for seed in range(4 if name == "grid" else 25 if name == "pair" else 10):
        case = scene(layouts[name], geometry, noise=1.0, seed=seed)
        fit = JointFitter(Clipping(iterations=0))(case.factors, case.footprints)
        wrong = fit.steps - case.in_gauge()
        for footprint, error, covariance in zip(
            case.footprints, wrong, fit.covariances, strict=True
        ):
            rows = footprint.jacobian.reshape(-1, 6)
            variance = np.einsum("ka,ab,kb->k", rows, covariance, rows)
            squared_pulls.append((rows @ error) ** 2 / variance)
        chi2, dof = chi2 + fit.chi2, dof + fit.dof
    # Errors along a strip go together, so that few of the pulls are independent.
    assert np.mean(squared_pulls) == pytest.approx(1.0, abs=0.35)
    assert chi2 / dof == pytest.approx(1.0, abs=5 * np.sqrt(2 / dof))


@pytest.mark.parametrize("name", ["stack", "strip"])
def test_a_step_is_significant_as_far_as_it_changes_residuals(scene, layouts, name):
    """Noise alone makes steps of about 1, whatever the motion that it causes; truth, many."""
    noisy = scene(layouts[name], Geometry.GENERAL, noise=1.0, seed=1)
    fit = JointFitter()(noisy.factors, noisy.footprints)
    repeated = [
        replace(f, residual=f.residual - f.jacobian @ step)
        for f, step in zip(noisy.factors, fit.steps, strict=True)
    ]
    again = JointFitter()(repeated, noisy.footprints)
    generator = np.random.default_rng(2)
    other = [
        replace(f, residual=f.residual + 0.05 * generator.normal(size=(len(f), 2)) / sigma)
        for f in repeated
        for sigma in [np.sqrt(f.information[:, :1, 0])]
    ]
    measured_again = JointFitter()(other, noisy.footprints)
    assert fit.significance.min() > 10.0
    assert again.significance.max() < 1e-6
    assert 0.01 < measured_again.significance.max() < 0.15


def test_the_mean_gauge_holds_for_the_total_correction(scene, layouts, small_step):
    generator = np.random.default_rng(2)
    scales = np.array([0.3, 0.3, 1e-4, 1e-4, 1e-4, 1e-4])
    totals = [small_step(scales * generator.normal(1, 1, 6), Geometry.GENERAL) for _ in range(8)]
    case = scene(layouts["stack"], totals=totals)
    fit = JointFitter()(case.factors, case.footprints)
    before = np.array([f.displacement for f in case.footprints])
    moved = [f.jacobian @ s for f, s in zip(case.footprints, fit.steps, strict=True)]
    total = before + moved
    assert np.abs(before.mean(axis=(0, 1))).max() > 0.1
    assert np.abs(total.mean(axis=(0, 1))).max() < 1e-12
    position = np.array([f.position for f in case.footprints])
    design = np.concatenate([position.reshape(-1, 2), np.ones((total.size // 2, 1))], axis=1)
    assert np.abs(np.linalg.lstsq(design, total.reshape(-1, 2))[0][:2]).max() < 1e-12
    # What is off from the truth is the same for all.
    assert np.ptp(fit.steps - case.truth, axis=0).max() < 1e-10


def test_groups_without_common_sources_are_told_apart_and_each_solved(scene, layouts):
    stack = layouts["stack"]
    centres = np.concatenate([stack[:4], stack[4:7] + np.array([600.0, 0.0]), [[1500.0, 0.0]]])
    case = scene(centres)
    fit = JointFitter()(case.factors, case.footprints)
    assert fit.component.tolist() == [0, 0, 0, 0, 1, 1, 1, -1]
    assert case.errors_arcsec(fit.steps, [0, 1, 2, 3])[:4].max() < 1e-9
    assert case.errors_arcsec(fit.steps, [4, 5, 6])[4:7].max() < 1e-9
    assert [found.exposure for found in fit.not_solved] == [7]
    assert fit.not_solved[0].reason is SkipReason.TOO_FEW_SOURCES
    assert not fit.steps[7].any()


def test_an_exposure_with_too_few_shared_sources_says_how_many_it_has(scene, layouts):
    case = scene(layouts["stack"])
    few = replace(case.factors[3], use=np.arange(len(case.factors[3])) < 2)
    factors = [*case.factors[:3], few, *case.factors[4:]]
    fit = JointFitter()(factors, case.footprints)
    (found,) = fit.not_solved
    assert (found.exposure, found.reason) == (3, SkipReason.TOO_FEW_SOURCES)
    assert found.message == (
        "2 sources left after clipping, geometry 'general' needs 3; "
        "set alignment.geometry: shift or lower detection.threshold"
    )
    others = [0, 1, 2, 4, 5, 6, 7]
    assert case.errors_arcsec(fit.steps, others)[others].max() < 1e-9


def test_sources_on_a_line_are_a_degenerate_fit_and_harm_nobody_else(scene, layouts):
    case = scene(layouts["stack"])
    jacobian = np.array(case.factors[2].jacobian)
    jacobian[:, 0, 3] = jacobian[:, 1, 5] = jacobian[:, 0, 2]  # y = x
    factors = list(case.factors)
    factors[2] = replace(factors[2], jacobian=jacobian)
    fit = JointFitter()(factors, case.footprints)
    assert [(f.exposure, f.reason) for f in fit.not_solved] == [(2, SkipReason.DEGENERATE_FIT)]
    others = [0, 1, 3, 4, 5, 6, 7]
    assert case.errors_arcsec(fit.steps, others)[others].max() < 1e-9


def test_two_groups_linked_along_a_line_are_refused_not_solved_at_random(scene, layouts):
    """Each exposure is well determined, but one group can shear against the other."""
    generator = np.random.default_rng(0)
    case = scene(layouts["stack"])
    plane = TangentPlane(150.0, 2.0)

    def exposure(index: int, ids: np.ndarray, position: np.ndarray) -> Factors:
        jacobian = step_jacobian(Points(*position.T), plane, plane)
        n = len(ids)
        return Factors(
            index, ids, np.zeros((n, 2)), jacobian, np.tile(1e6 * np.eye(2), (n, 1, 1)),
            np.zeros(n), np.ones(n, bool), np.zeros(n, bool),
        )  # fmt: skip

    line = np.stack([np.zeros(8), np.linspace(-40, 40, 8)], axis=1)
    field = [generator.uniform(-50, 50, (20, 2)) for _ in range(2)]
    factors = []
    for index in range(4):
        group = index // 2
        ids = np.concatenate([np.arange(8), 100 * (group + 1) + np.arange(20)])
        factors.append(exposure(index, ids, np.concatenate([line, field[group]])))
    fit = JointFitter()(factors, case.footprints[:4])
    assert {found.reason for found in fit.not_solved} == {SkipReason.DEGENERATE_FIT}
    assert len(fit.not_solved) == 4


@pytest.mark.parametrize("name", NAMES)
def test_outliers_of_10_to_100_sigma_in_a_tenth_of_the_rows_change_little(scene, layouts, name):
    case = scene(layouts[name], Geometry.SHIFT, noise=1.0)
    clean = JointFitter()(case.factors, case.footprints)
    spoilt = with_outliers(case, 0.1)
    fit = JointFitter()(spoilt, case.footprints)
    outlier = [
        (a.residual != b.residual).any(axis=1) for a, b in zip(case.factors, spoilt, strict=True)
    ]
    kept = sum(int((used & bad).sum()) for used, bad in zip(fit.used, outlier, strict=True))
    assert kept <= 0.02 * sum(int(bad.sum()) for bad in outlier)
    # No worse than losing the sources that the outliers took with them.
    change = np.abs(fit.steps - clean.steps)[:, :2] / np.sqrt(fit.covariances[:, [0, 1], [0, 1]])
    assert change.max() < 3.5
    assert fit.chi2 / fit.dof < 1.3


@pytest.mark.parametrize("geometry", [Geometry.SHIFT, Geometry.RSHIFT, Geometry.GENERAL])
@pytest.mark.parametrize(("name", "density"), [("pair", 60.0), ("stack", 60.0), ("strip", 300.0)])
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 10_000))
def test_a_fifth_of_outliers_is_as_if_they_had_been_left_out(
    scene, layouts, name, density, geometry, seed
):
    """Within 1.5 standard errors, root mean square over the footprints.

    The strip has sixty sources in each overlap. With thirty a free linear map fails in one of
    some tens of strips, with twelve in most: a third of outliers (each source has two chances)
    is then half of them here and there, and no one can say which half it is.
    """
    case = scene(layouts[name][:12], geometry, noise=1.0, density=density, seed=seed)
    spoilt = with_outliers(case, 0.2, seed)
    left_out = [
        replace(factors, use=(factors.residual == other.residual).all(axis=1))
        for factors, other in zip(case.factors, spoilt, strict=True)
    ]
    known = JointFitter()(left_out, case.footprints)
    fit = JointFitter()(spoilt, case.footprints)
    squared = []
    for footprint, change, covariance in zip(
        case.footprints, fit.steps - known.steps, known.covariances, strict=True
    ):
        rows = footprint.jacobian.reshape(-1, 6)
        squared.append((rows @ change) ** 2 / np.einsum("ka,ab,kb->k", rows, covariance, rows))
    assert np.sqrt(np.mean(squared)) < 1.5


def test_no_clipping_uses_every_row_of_a_shared_source(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    fit = JointFitter(clipping=Clipping(iterations=0))(with_outliers(case, 0.05), case.footprints)
    _, seen = np.unique(np.concatenate([f.source for f in case.factors]), return_counts=True)
    assert sum(int(used.sum()) for used in fit.used) == seen[seen > 1].sum()
    assert fit.chi2 / fit.dof > 10


def test_both_sides_of_a_pair_that_disagrees_are_rejected(scene, layouts):
    case = scene(layouts["pair"], noise=1.0)
    both = np.intersect1d(case.factors[0].source, case.factors[1].source)
    row = int(np.flatnonzero(case.factors[0].source == both[5])[0])
    residual = np.array(case.factors[0].residual)
    residual[row] += 1.0
    spoilt = [replace(case.factors[0], residual=residual), case.factors[1]]
    fit = JointFitter()(spoilt, case.footprints)
    for factors, used in zip(spoilt, fit.used, strict=True):
        assert both[5] not in factors.source[used]


def test_a_row_that_may_not_be_used_changes_nothing(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    use = np.ones(len(case.factors[0]), bool)
    use[::7] = False
    held = [replace(case.factors[0], use=use), *case.factors[1:]]
    wild = np.array(case.factors[0].residual)
    wild[::7] += 100.0
    other = [replace(case.factors[0], use=use, residual=wild), *case.factors[1:]]
    one = JointFitter()(held, case.footprints)
    two = JointFitter()(other, case.footprints)
    assert (one.steps == two.steps).all()
    assert not one.used[0][::7].any()


def test_the_same_input_gives_the_same_bits(scene, layouts):
    case = scene(layouts["grid"], noise=1.0)
    one, two = (JointFitter()(case.factors, case.footprints) for _ in range(2))
    assert one.steps.tobytes() == two.steps.tobytes()
    assert one.covariances.tobytes() == two.covariances.tobytes()


def test_the_order_of_exposures_and_sources_does_not_matter(scene, layouts):
    case = scene(layouts["grid"], Geometry.RSCALE, noise=1.0)
    generator = np.random.default_rng(3)
    order = generator.permutation(len(case.factors))
    shuffled = []
    for i in order:
        f, rows = case.factors[i], generator.permutation(len(case.factors[i]))
        shuffled.append(
            Factors(0, f.source[rows], f.residual[rows], f.jacobian[rows], f.information[rows],
                    f.weight_share[rows], f.use[rows], f.held_out[rows])
        )  # fmt: skip
    one = JointFitter()(case.factors, case.footprints)
    two = JointFitter()(shuffled, [case.footprints[i] for i in order])
    change = one.steps[order] - two.steps
    moved = [case.footprints[i].jacobian @ c for i, c in zip(order, change, strict=True)]
    assert np.abs(moved).max() < 1e-11  # arcsec; steps are of order 0.1
    assert np.abs(change).max() < 1e-11


def test_a_fixed_exposure_stays_and_the_others_come_to_it(scene, layouts):
    case = scene(layouts["stack"])
    fit = JointFitter(gauge=FixedGauge((1,)))(case.factors, case.footprints)
    assert fit.gauges == (GaugeKind.FIXED,)
    assert not fit.steps[1].any()
    assert not fit.covariances[1].any()
    wanted = case.truth - case.truth[1]
    assert max(np.abs(f.jacobian @ (s - w)).max() for f, s, w in zip(
        case.footprints, fit.steps, wanted, strict=True)) < 1e-9  # fmt: skip


def test_a_catalogue_fixes_the_gauge(scene, layouts):
    case = scene(layouts["strip"])
    ids, offsets = true_offsets(case)
    information = np.tile(np.eye(2) / 1e-3**2, (len(ids[::3]), 1, 1))
    catalog = CatalogOffsets(ids[::3], offsets[::3], information)
    fit = JointFitter()(case.factors, case.footprints, catalog)
    assert fit.gauges == (GaugeKind.CATALOG,)
    errors = [f.jacobian @ (s - t) for f, s, t in zip(
        case.footprints, fit.steps, case.truth, strict=True)]  # fmt: skip
    assert np.abs(errors).max() < 1e-9


def test_a_catalogue_that_shares_too_few_sources_leaves_the_mean_gauge(scene, layouts):
    case = scene(layouts["stack"])
    ids, offsets = true_offsets(case)
    catalog = CatalogOffsets(ids[:2], offsets[:2] + 5.0, np.tile(1e6 * np.eye(2), (2, 1, 1)))
    fit = JointFitter()(case.factors, case.footprints, catalog)
    assert fit.gauges == (GaugeKind.MEAN,)
    assert case.errors_arcsec(fit.steps).max() < 1e-9


def test_a_prior_on_the_shape_calms_a_strip_of_thin_overlaps(scene, layouts):
    case = scene(layouts["strip"], noise=1.0)
    free = JointFitter()(case.factors, case.footprints)
    prior = ShapePrior(rotation_deg=0.03, scale=6e-4, skew_deg=0.05)  # as the truth was drawn
    told = JointFitter(prior=prior)(case.factors, case.footprints)
    assert case.errors_arcsec(told.steps).max() < 0.5 * case.errors_arcsec(free.steps).max()
    assert (np.trace(told.covariances, axis1=1, axis2=2) < np.trace(
        free.covariances, axis1=1, axis2=2)).all()  # fmt: skip


def test_a_prior_and_the_gauge_do_not_pull_against_each_other(scene, layouts):
    """Without noise the answer is exact even where the prior holds every matrix stiffly.

    The shifts of the headers, on average, look like a common map. To undo it is the gauge's
    task only where nothing else says what the matrices are.
    """
    case = scene(layouts["strip"], geometry=Geometry.SHIFT)
    prior = ShapePrior(rotation_deg=1e-4, scale=1e-6, skew_deg=1e-4)
    free = [replace(f, geometry=Geometry.GENERAL) for f in case.footprints]
    fit = JointFitter(prior=prior)(case.factors, free)
    assert fit.chi2 < 1e-6
    assert np.abs(fit.steps[:, 2:]).max() < 1e-9


@pytest.mark.parametrize("geometry", list(Geometry))
def test_each_exposure_may_have_its_own_tangent_plane(geometry):
    """A field of 3 degrees near the pole: north differs by 15 degrees from side to side."""
    generator = np.random.default_rng(0)
    common, side = TangentPlane(150.0, 80.0), 0.65 * 3600
    position = generator.uniform(-6500, 6500, (3000, 2))
    offset = generator.normal(0, 0.05, (3000, 2))
    sky = common.to_sky(Points(*position.T))
    scales = np.array([0.2, 0.2, 3e-6, 3e-6, 3e-6, 3e-6])[: geometry.n_parameters]
    factors, footprints = [], []
    for x, y in np.stack(np.meshgrid(*[np.linspace(-1.5, 1.5, 7) * 3600] * 2)).reshape(2, -1).T:
        middle = common.to_sky(Points(np.array(x), np.array(y)))
        own = TangentPlane(float(middle.ra), float(middle.dec))
        place = own.from_sky(sky)
        inside = (np.abs(place.x) < side / 2) & (np.abs(place.y) < side / 2)
        jacobian = step_jacobian(Points(*position[inside].T), common, own)
        step = geometry.basis @ (generator.normal(size=geometry.n_parameters) * scales)
        n = int(inside.sum())
        factors.append(
            Factors(len(factors), np.flatnonzero(inside), jacobian @ step + offset[inside],
                    jacobian, np.tile(1e6 * np.eye(2), (n, 1, 1)), np.zeros(n), np.ones(n, bool),
                    np.zeros(n, bool))
        )  # fmt: skip
        corners = Points(side / 2 * np.array([-1, 1, 1, -1]), side / 2 * np.array([-1, -1, 1, 1]))
        footprints.append(
            footprint_of(own.to_sky(corners), Correction.identity(own, geometry), common)
        )
    fit = JointFitter()(factors, footprints)
    assert not fit.not_solved
    assert np.abs(fit.steps[:, :2]).max() > 0.3
    # The common motions are nearly, not exactly, free: the square of the field in radians.
    assert fit.rmse_arcsec.max() < 1e-5


@pytest.mark.parametrize("gauge", ["mean", "fixed"])
@pytest.mark.parametrize("layout", ["grid", "strip", "two fields"])
def test_wide_sets_have_the_answer_and_covariances_of_dense_algebra(
    scene, layouts, monkeypatch, layout, gauge
):
    far = np.concatenate([layouts["pair"], layouts["grid"] + 500.0])
    case = scene(far if layout == "two fields" else layouts[layout], noise=1.0, density=30.0)
    fitter = JointFitter() if gauge == "mean" else JointFitter(gauge=FixedGauge((0, 7)))
    measured = with_outliers(case, 0.05)
    dense = fitter(measured, case.footprints)
    monkeypatch.setattr(reduced, "_DENSE_UNKNOWNS", 0)
    monkeypatch.setattr(reduced, "_FILLED_UNKNOWNS", 0)
    sparse = fitter(measured, case.footprints)
    assert isinstance(sparse.solved.system, SparseSystem)
    assert np.abs(sparse.steps - dense.steps).max() < 1e-9
    np.testing.assert_allclose(sparse.covariances, dense.covariances, rtol=1e-6, atol=1e-16)
    drawn = [
        Repetition().significance(fit, np.full(len(measured), 1e-4)) for fit in (dense, sparse)
    ]
    np.testing.assert_allclose(*drawn, rtol=1e-6)


def test_a_source_on_two_chips_of_an_exposure_counts_twice_in_wide_sets_too(
    scene, layouts, monkeypatch
):
    case = scene(layouts["grid"], noise=1.0)
    twice = [
        replace(one, **{name: np.repeat(getattr(one, name), 2, axis=0) for name in COLUMNS})
        for one in case.factors
    ]
    dense = JointFitter()(twice, case.footprints)
    monkeypatch.setattr(reduced, "_DENSE_UNKNOWNS", 0)
    monkeypatch.setattr(reduced, "_FILLED_UNKNOWNS", 0)
    sparse = JointFitter()(twice, case.footprints)
    np.testing.assert_allclose(sparse.covariances, dense.covariances, rtol=1e-6, atol=1e-16)


def test_factors_may_come_from_any_sequence_one_at_a_time(scene, layouts):
    case = scene(layouts["grid"], noise=1.0)

    class OneAtATime(Sequence):
        def __len__(self) -> int:
            return len(case.factors)

        def __getitem__(self, index: int) -> Factors:
            one = case.factors[index]
            return replace(one, jacobian=np.array(one.jacobian))

    fit, plain = (JointFitter()(f, case.footprints) for f in (OneAtATime(), case.factors))
    assert (fit.steps == plain.steps).all()
    assert (fit.covariances == plain.covariances).all()


def test_one_exposure_alone_is_not_solved(scene, layouts):
    case = scene(layouts["stack"])
    fit = JointFitter()(case.factors[:1], case.footprints[:1])
    assert fit.component.tolist() == [-1]
    assert fit.not_solved[0].reason is SkipReason.TOO_FEW_SOURCES
    assert np.isnan(fit.rmse_arcsec[0])


def test_scatter_is_that_of_the_rows_used(scene, layouts):
    case = scene(layouts["stack"], noise=1.0)
    fit = JointFitter()(with_outliers(case, 0.05), case.footprints)
    assert fit.n_used.tolist() == [int(used.sum()) for used in fit.used]
    assert (fit.mae_arcsec <= fit.rmse_arcsec).all()
    assert fit.rmse_arcsec.max() < 0.01  # an outlier would be 0.02 to 0.6


def test_mismatched_inputs_are_refused(scene, layouts):
    case = scene(layouts["pair"])
    with pytest.raises(ValueError, match="2 factors and 1 footprints"):
        JointFitter()(case.factors, case.footprints[:1])
