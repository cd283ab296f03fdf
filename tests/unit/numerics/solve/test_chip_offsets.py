"""Offsets of chips: found with the exposures' corrections, held where nothing tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.chip_offsets import ChipDesign, chip_step
from alignsvc.numerics.solve.clipping import Clipping
from alignsvc.numerics.solve.joint_chips import ChipFit, JointChipFitter
from alignsvc.numerics.solve.joint_fit import JointFitter

SIDE = 100.0  # arcsec, of an exposure of 2 x 2 chips
SCALE = 0.2  # arcsec per pixel
OFFSETS = np.array([[0.8, -0.3], [-0.5, 0.1], [0.2, 0.6], [-0.5, -0.4]])  # their mean is 0
DITHERS = np.random.default_rng(3).normal(0, 15, (8, 2))


def chipped(
    factors: Sequence[Factors],
    centres: np.ndarray,
    offsets: np.ndarray,
    turned: Sequence[int] = (),
) -> tuple[list[Factors], ChipDesign]:
    """Cut exposures into 2 x 2 chips that lack `offsets` (4, 2) px; some cameras upside down."""
    found, columns, designs = [], [], []
    for i, (own, centre) in enumerate(zip(factors, centres, strict=True)):
        sign = -1.0 if i in turned else 1.0
        inside = sign * (own.jacobian[:, 0, 2:4] - centre)
        chip = 2 * (inside[:, 1] > 0) + (inside[:, 0] > 0).astype(np.int64)
        per_px = sign * SCALE * np.eye(2)
        moved = offsets[chip] @ per_px.T
        found.append(replace(own, residual=own.residual + moved, chip=chip))
        columns.append(chip)
        designs.append(np.broadcast_to(per_px, (len(own), 2, 2)))
    return found, ChipDesign(tuple(columns), tuple(designs), np.tile(np.eye(2), 4), 4)


def unrejecting(factors: Sequence[Factors], footprints: Sequence[object], chips: ChipDesign):  # type: ignore[no-untyped-def]
    fitter = JointFitter(Clipping(iterations=0), error_floor=None)
    fit = fitter(factors, footprints)
    return fit, chip_step(fit.solved, chips, len(factors))


@pytest.mark.parametrize("geometry", list(Geometry))
@pytest.mark.parametrize("turned", [(), (1, 4, 5)], ids=["upright", "turned"])
def test_chips_and_exposures_are_found_together(scene, geometry, turned):
    case = scene(DITHERS, geometry, density=200.0)
    factors, chips = chipped(case.factors, DITHERS, OFFSETS, turned)
    found = JointChipFitter(JointFitter())(factors, case.footprints, chips)
    assert np.abs(found.chips.offset - OFFSETS).max() < 1e-6
    assert case.local_errors_arcsec(found.fit.steps).max() < 1e-6
    assert found.chips.is_known.all()


def dense_solution(
    factors: Sequence[Factors], geometry: Geometry, chips: ChipDesign
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares for exposures, chips and sources at once: offsets, and their covariance."""
    basis = geometry.basis
    p, n_exposures = basis.shape[1], len(factors)
    ids = np.unique(np.concatenate([f.source for f in factors]))
    width = n_exposures * p + 2 * chips.n_chips + 2 * len(ids)
    rows, values = [], []
    for i, own in enumerate(factors):
        root = np.sqrt(own.information[:, 0, 0])
        block = np.zeros((len(own), 2, width))
        block[:, :, i * p : (i + 1) * p] = own.jacobian @ basis
        at = np.searchsorted(ids, own.source)
        for axis in (0, 1):
            for k in (0, 1):
                column = n_exposures * p + 2 * chips.column[i] + k
                block[np.arange(len(own)), axis, column] = chips.design[i][:, axis, k]
            block[np.arange(len(own)), axis, width - 2 * len(ids) + 2 * at + axis] = 1.0
        rows.append((root[:, None, None] * block).reshape(-1, width))
        values.append((root[:, None] * own.residual).ravel())
    design = np.concatenate(rows)
    size = np.abs(design).max(axis=0)
    inverse = np.linalg.pinv(design / size, rcond=1e-9)
    solution = (inverse @ np.concatenate(values)) / size
    covariance = (inverse @ inverse.T) / np.outer(size, size)
    own = slice(n_exposures * p, n_exposures * p + 2 * chips.n_chips)
    # In the gauge in which the chips' mean is zero.
    mean = np.kron(np.eye(4) - 0.25, np.eye(2))
    return (mean @ solution[own]).reshape(-1, 2), mean @ covariance[own, own] @ mean.T


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), geometry=st.sampled_from(list(Geometry)))
def test_elimination_gives_what_all_unknowns_at_once_would(scene, seed, geometry):
    generator = np.random.default_rng(seed)
    centres = generator.normal(0, 20, (3, 2))
    case = scene(centres, geometry, noise=1.0, density=40.0, seed=seed)
    offsets = generator.normal(0, 0.01, (4, 2))
    factors, chips = chipped(case.factors, centres, offsets)
    _, step = unrejecting(factors, case.footprints, chips)
    assume(round(np.trace(step.information @ step.covariance)) == 6)  # no direction is pinned
    offset, covariance = dense_solution(factors, geometry, chips)
    error = np.sqrt(np.diag(covariance)).reshape(-1, 2)
    assert np.abs((step.offset - offset) / error).max() < 1e-3
    assert np.allclose(step.covariance, covariance, rtol=1e-3, atol=1e-3 * covariance.max())
    assert np.abs(step.offset.mean(axis=0)).max() < 1e-9


def test_stated_errors_of_chips_and_exposures_are_right(scene):
    of_chips, of_exposures = [], []
    for seed in range(6):
        case = scene(DITHERS, Geometry.RSHIFT, noise=1.0, density=100.0, seed=seed)
        factors, chips = chipped(case.factors, DITHERS, OFFSETS)
        found = JointChipFitter(JointFitter())(factors, case.footprints, chips)
        error = np.sqrt(np.diag(found.chips.covariance)).reshape(-1, 2)
        of_chips.append((found.chips.offset - OFFSETS) / error)
        wrong = found.fit.steps - case.in_gauge()
        sigma = np.sqrt(np.diagonal(found.fit.covariances, axis1=1, axis2=2))
        of_exposures.append(wrong[:, :2] / sigma[:, :2])
    assert np.sqrt(np.mean(np.square(of_chips))) == pytest.approx(1.0, abs=0.3)
    assert np.sqrt(np.mean(np.square(of_exposures))) == pytest.approx(1.0, abs=0.25)


def with_wrong_ones(factors: Sequence[Factors], fraction: float) -> list[Factors]:
    generator = np.random.default_rng(5)
    return [
        replace(f, residual=f.residual + generator.normal(0, 0.5, (len(f), 2)) * wrong[:, None])
        for f in factors
        for wrong in [generator.random(len(f)) < fraction]
    ]


def test_wrong_sources_bend_neither_chips_nor_exposures(scene):
    case = scene(DITHERS, Geometry.RSHIFT, noise=1.0, density=200.0)
    clean, chips = chipped(case.factors, DITHERS, OFFSETS)
    found = JointChipFitter(JointFitter())(with_wrong_ones(clean, 0.15), case.footprints, chips)
    error = np.sqrt(np.diag(found.chips.covariance)).reshape(-1, 2)
    assert np.abs((found.chips.offset - OFFSETS) / error).max() < 5.0
    assert case.local_errors_arcsec(found.fit.steps).max() < 0.02 * SCALE


def fitted(case: object, centres: np.ndarray, offsets: np.ndarray) -> ChipFit:
    factors, chips = chipped(case.factors, centres, offsets)  # type: ignore[attr-defined]
    return JointChipFitter(JointFitter())(factors, case.footprints, chips)  # type: ignore[attr-defined]


def test_chips_that_never_see_each_others_sources_are_held_where_headers_have_them(scene):
    """A stack without dithers: what chips have of their own, sources take up."""
    still = np.zeros((4, 2))
    case = scene(still, Geometry.RSHIFT, noise=1.0, density=200.0)
    found = fitted(case, still, OFFSETS)
    assert not found.chips.is_known.any()
    assert (found.chips.offset == 0.0).all()
    assert (found.chips.covariance == 0.0).all()
    without = JointFitter()(case.factors, case.footprints)
    assert np.allclose(found.fit.steps, without.steps, atol=1e-9)


def test_a_pattern_that_pointings_can_take_up_is_held(scene):
    """On a regular grid a stretch of the camera is a stretch of the pointings."""
    y, x = np.mgrid[:4, :4] * 0.8 * SIDE
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    stretch = np.array([[-0.4, 0.0], [0.4, 0.0], [-0.4, 0.0], [0.4, 0.0]])
    found = fitted(scene(grid, Geometry.SHIFT, density=150.0), grid, stretch)
    assert not found.chips.is_known.any()
    assert np.abs(found.chips.offset).max() < 1e-6
    assert np.isfinite(found.fit.steps).all()
    twist = np.array([[0.4, 0.0], [-0.4, 0.0], [-0.4, 0.0], [0.4, 0.0]])
    both = fitted(scene(grid, Geometry.SHIFT, density=150.0), grid, stretch + twist)
    assert np.abs(both.chips.offset - twist).max() < 1e-6


def test_one_chip_of_another_size_is_weighted_by_its_area(scene):
    """The camera's mean is held, each chip counting as large as it is."""
    case = scene(DITHERS, Geometry.SHIFT, density=200.0)
    factors, chips = chipped(case.factors, DITHERS, OFFSETS)
    area = np.array([4.0, 1.0, 1.0, 1.0]) / 7.0
    common = np.concatenate([a * np.eye(2) for a in area], axis=1)
    found = JointChipFitter(JointFitter())(factors, case.footprints, replace(chips, common=common))
    assert np.abs(found.chips.offset - (OFFSETS - area @ OFFSETS)).max() < 1e-6
