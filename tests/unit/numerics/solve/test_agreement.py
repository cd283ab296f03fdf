"""Two ways to measure the same noisy pixels: the difference of their corrections, and its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.agreement import MethodComparison, MethodDifference
from alignsvc.numerics.solve.selection import NotSolved

#: What the second way adds to the noise that both share, in units of the stated errors.
OWN_NOISE = 0.2


def measured_again(
    factors: Sequence[Factors], seed: int, noise: float = OWN_NOISE
) -> list[Factors]:
    """The same displacements with a little noise of another way's own, and offsets of sources."""
    random = np.random.default_rng(1000 + seed)
    offsets = random.normal(0.0, 0.01, (100_000, 2))  # a way's own idea of each source's place
    return [
        replace(
            one,
            residual=one.residual
            + offsets[one.source]
            + noise * random.normal(size=(len(one), 2)) / np.sqrt(one.information[:, :1, 0]),
        )
        for one in factors
    ]


def found(
    scene: Callable, seed: int, layout: np.ndarray, geometry: Geometry = Geometry.RSHIFT
) -> tuple[MethodDifference | NotSolved, ...]:
    made = scene(layout, geometry, noise=1.0, density=30.0, seed=seed)
    second = measured_again(made.factors, seed)
    return MethodComparison()(made.factors, second, made.footprints)


@pytest.mark.parametrize("n", [2, 8])
def test_errors_are_those_of_the_difference_not_of_two_measurements(
    scene: Callable, layouts: dict[str, np.ndarray], n: int
) -> None:
    layout = layouts["stack"][:n]
    seeds = range(40 if n == 2 else 12)
    each = [one for seed in seeds for one in found(scene, seed, layout)]
    made = scene(layout, Geometry.RSHIFT, density=30.0)
    stated = 1.0 / np.sqrt(sum(f.information[:, 0, 0].sum() for f in made.factors) / n)
    errors = np.array([one.error_arcsec for one in each])
    # Root sum of squares would be 1.4 of the stated error; what differs is a fifth of it.
    assert np.median(errors) < 0.6 * stated
    pulls = np.array([one.largest_arcsec / one.error_arcsec for one in each])
    significance = np.array([one.significance for one in each])
    print(
        f"n {n}: rms pull at the farthest point {np.sqrt(np.mean(pulls**2)):.2f}, "
        f"rms significance {np.sqrt(np.mean(significance**2)):.2f}"
    )
    assert np.sqrt(np.mean(significance**2)) == pytest.approx(1.0, abs=0.2)
