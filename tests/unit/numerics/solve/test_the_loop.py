"""From displacements against the mosaic of the others to aligned exposures, pass by pass."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Displacements
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces
from alignsvc.numerics.solve.gauge import footprint_of
from alignsvc.numerics.solve.joint_fit import JointFitter
from alignsvc.numerics.solve.linear_fit import LinearFitter
from alignsvc.numerics.solve.steps import step_correction

PLANE = TangentPlane(5.0, 5.0)
GRID = MosaicGrid(0, PLANE, 0.1, 500.0, 500.0, (1000, 1000), (250, 250))
CORNERS = Points(np.array([-50.0, 50, 50, -50]), np.array([-50.0, -50, 50, 50]))
GEOMETRY = Geometry.GENERAL


class Sky:
    """Sources in a plane; exposures see them through small errors that are to be undone."""

    def __init__(self, weights: np.ndarray) -> None:
        generator = np.random.default_rng(8)
        self.weights = weights / weights.sum()
        self.true = generator.uniform(-50, 50, (60, 2))
        steps = generator.normal(size=(len(weights), 6)) * [0.1, 0.1, 1e-4, 1e-4, 1e-4, 1e-4]
        self.totals = [Correction.identity(PLANE, GEOMETRY) for _ in steps]
        self.errors = [self.correction(step) for step in steps]

    @staticmethod
    def correction(step: np.ndarray) -> Correction:
        return step_correction(PLANE, step, np.zeros((6, 6)), GEOMETRY)

    def positions(self) -> np.ndarray:
        """Where each exposure, as corrected so far, puts each source: (n, 60, 2) arcsec."""
        seen = []
        for error, total in zip(self.errors, self.totals, strict=True):
            seen.append(np.stack(total.after(error).apply(Points(*self.true.T)), axis=1))
        return np.array(seen)

    def displacements(self) -> list[tuple[Displacements, GridPlaces]]:
        """Against the weighted mean of the others, in chip pixels equal to grid pixels."""
        seen, shares = self.positions(), self.weights
        whole = np.einsum("i,isk->sk", shares, seen)
        found = []
        n = seen.shape[1]
        for share, place in zip(shares, seen, strict=True):
            others = (whole - share * place) / (1 - share)
            d = (others - place) / 0.1 * [-1, 1]
            pixel = GRID.pixel_from_plane(Points(*place.T))
            small = np.tile([1e-6, 0.0, 1e-6], (n, 1))
            found.append((
                Displacements(np.arange(n), np.zeros(n, int), pixel.x, pixel.y, d[:, 0], d[:, 1],
                              small, small, np.full(n, share), np.ones(n), np.zeros(n, int)),
                GridPlaces(pixel, np.tile(np.eye(2), (n, 1, 1))),
            ))  # fmt: skip
        return found

    def apply(self, steps: np.ndarray) -> None:
        self.totals = [self.correction(s).after(t) for s, t in zip(steps, self.totals, strict=True)]

    def disagreement(self) -> float:
        return float(np.ptp(self.positions(), axis=0).max())


def joint_pass(sky: Sky) -> None:
    builder = FactorBuilder(GRID, PLANE)
    factors = [builder.to_mosaic(i, *m) for i, m in enumerate(sky.displacements())]
    samples = PLANE.to_sky(CORNERS)
    sky.apply(JointFitter()(factors, [footprint_of(samples, t, PLANE) for t in sky.totals]).steps)


def independent_pass(sky: Sky) -> None:
    builder = FactorBuilder(GRID, PLANE)
    sky.apply([LinearFitter()(builder.to_others(0, *m)).step for m in sky.displacements()])


@pytest.mark.parametrize("weights", [[1, 1], [5, 1], [1, 2, 3, 10], [1] * 8])
def test_the_joint_solve_aligns_in_one_pass_whatever_the_weights(weights):
    sky = Sky(np.array(weights, float))
    before = sky.disagreement()
    joint_pass(sky)
    assert sky.disagreement() < 1e-3 * before  # corrections of corrections: second order
    joint_pass(sky)
    assert sky.disagreement() < 1e-8


def test_nothing_drifts_once_aligned():
    sky = Sky(np.array([1.0, 2.0, 3.0]))
    joint_pass(sky)
    joint_pass(sky)
    settled = sky.positions()
    for _ in range(3):
        joint_pass(sky)
    assert np.abs(sky.positions() - settled).max() < 1e-6


def test_a_pair_solved_one_by_one_swaps_places_for_ever():
    sky = Sky(np.ones(2))
    before = sky.disagreement()
    for _ in range(6):
        independent_pass(sky)
        assert sky.disagreement() == pytest.approx(before, rel=1e-3)


def test_a_stack_solved_one_by_one_gains_a_factor_n_minus_one_each_pass():
    sky = Sky(np.ones(8))
    for _ in range(3):
        before = sky.disagreement()
        independent_pass(sky)
        assert sky.disagreement() == pytest.approx(before / 7, rel=0.01)
