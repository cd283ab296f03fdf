"""Exposures on a plane with known corrections: factors exactly as the model has them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.gauge import Footprint, footprint_of, hold_mean

PLANE = TangentPlane(150.0, 2.0)
SIDE = 100.0  # arcsec, of an exposure


@dataclass(frozen=True)
class Scene:
    """Factors of exposures whose lacking corrections are known."""

    factors: list[Factors]
    footprints: list[Footprint]
    truth: np.ndarray  # (n, 6): the step that each exposure lacks
    geometry: Geometry

    def in_gauge(self, members: list[int] | None = None) -> np.ndarray:
        """The truth, less the motion common to all `members` over their footprints."""
        members = list(range(len(self.truth))) if members is None else members
        basis = self.geometry.basis
        moved, motions = [], []
        for i in members:
            step = self.footprints[i].jacobian @ self.truth[i]
            moved.append((step + self.footprints[i].displacement).ravel())
            motions.append((self.footprints[i].jacobian @ basis).reshape(-1, basis.shape[1]))
        scale = np.abs(np.concatenate(motions)).max(axis=0)
        fit = np.linalg.lstsq(np.concatenate(motions) / scale, np.concatenate(moved))[0]
        return self.truth - basis @ (fit / scale)

    def errors_arcsec(self, steps: np.ndarray, members: list[int] | None = None) -> np.ndarray:
        """Largest displacement error of each exposure over its corners, in the mean gauge."""
        wrong = steps - self.in_gauge(members)
        return np.array(
            [np.abs(f.jacobian @ w).max() for f, w in zip(self.footprints, wrong, strict=True)]
        )

    def local_errors_arcsec(self, steps: np.ndarray) -> np.ndarray:
        """Largest error of each exposure over its corners, whatever the gauge."""
        prints = [replace(f.unmoved(), geometry=self.geometry) for f in self.footprints]
        wrong = hold_mean(steps - self.truth, prints)
        return np.array([np.abs(f.jacobian @ w).max() for f, w in zip(prints, wrong, strict=True)])

    def with_upright_mean(self) -> np.ndarray:
        """The truth, less a common map that leaves the matrices' mean at the identity."""
        common = self.truth.mean(axis=0)
        moved = [
            f.jacobian @ (step - common)
            for f, step in zip(self.footprints, self.truth, strict=True)
        ]
        common[:2] += np.mean(np.concatenate(moved), axis=0)
        return self.truth - common


def corners_of(centre: np.ndarray) -> Points:
    half = SIDE / 2
    return Points(
        centre[0] + np.array([-half, half, half, -half, 0.0]),
        centre[1] + np.array([-half, -half, half, half, 0.0]),
    )


def make_scene(
    centres: np.ndarray,
    geometry: Geometry = Geometry.GENERAL,
    *,
    noise: float = 0.0,
    density: float = 60.0,  # sources per exposure
    seed: int = 0,
    totals: list[Correction] | None = None,
) -> Scene:
    """Sources at random over the field, each exposure lacking a random correction."""
    generator = np.random.default_rng(seed)
    low, high = centres.min(axis=0) - SIDE / 2, centres.max(axis=0) + SIDE / 2
    n_sources = int(density * np.prod((high - low) / SIDE))
    position = generator.uniform(low, high, (n_sources, 2))
    offset = generator.normal(0, 0.05, (n_sources, 2))
    sigma = 0.002 * generator.uniform(0.5, 3.0, n_sources)
    factors, footprints, truth = [], [], []
    for i, centre in enumerate(centres):
        inside = np.flatnonzero((np.abs(position - centre) < SIDE / 2).all(axis=1))
        jacobian = step_jacobian(Points(*position[inside].T), PLANE, PLANE)
        step = geometry.basis @ (
            generator.normal(0, 1, geometry.n_parameters)
            * np.array([0.2, 0.2, 3e-4, 3e-4, 3e-4, 3e-4])[: geometry.n_parameters]
        )
        error = generator.normal(0, 1, (len(inside), 2)) * sigma[inside, None] * noise
        factors.append(
            Factors(
                exposure=i,
                source=1000 + inside,
                residual=jacobian @ step + offset[inside] + error,
                jacobian=jacobian,
                information=np.eye(2) / sigma[inside, None, None] ** 2,
                weight_share=np.full(len(inside), 0.1),
                use=np.ones(len(inside), bool),
                held_out=np.zeros(len(inside), bool),
            )
        )
        total = Correction.identity(PLANE, geometry) if totals is None else totals[i]
        footprints.append(footprint_of(PLANE.to_sky(corners_of(centre)), total, PLANE))
        truth.append(step)
    return Scene(factors, footprints, np.array(truth), geometry)


def stack_of(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 3.0, (n, 2))


def strip_of(n: int) -> np.ndarray:
    return np.stack([np.arange(n) * 0.8 * SIDE, np.zeros(n)], axis=1)


def grid_of(n: int) -> np.ndarray:
    y, x = np.mgrid[:n, :n] * 0.8 * SIDE
    return np.stack([x.ravel(), y.ravel()], axis=1)
