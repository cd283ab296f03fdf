"""Two ways to measure the same noisy pixels: the difference of their corrections, and its error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.agreement import MethodComparison, MethodDifference, difference_of
from alignsvc.numerics.solve.selection import NotSolved
from alignsvc.reasons import SkipReason

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
    seeds = range(12 if n == 2 else 5)
    each = [one for seed in seeds for one in found(scene, seed, layout)]
    made = scene(layout, Geometry.RSHIFT, density=30.0)
    stated = 1.0 / np.sqrt(sum(f.information[:, 0, 0].sum() for f in made.factors) / n)
    errors = np.array([one.error_arcsec for one in each])
    # Root sum of squares would be 1.4 of the stated error; what differs is a fifth of it.
    assert np.median(errors) < 0.6 * stated
    significance = np.array([one.significance for one in each])
    assert np.sqrt(np.mean(significance**2)) == pytest.approx(1.0, abs=0.25)


def test_a_shift_of_one_exposure_is_found_and_its_sources_do_not_hide_it(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0, density=30.0)
    second = measured_again(made.factors, 0)
    second[3] = replace(second[3], residual=second[3].residual + np.array([0.004, 0.0]))
    each = MethodComparison()(made.factors, second, made.footprints)
    # In the mean's gauge the others take an eighth of it.
    assert each[3].centre_arcsec == pytest.approx([0.0035, 0.0], abs=4 * each[3].error_arcsec)
    assert each[3].significance > 8
    assert each[3].n_apart == 0
    assert max(one.largest_arcsec for i, one in enumerate(each) if i != 3) < 0.0015


def test_what_is_not_known_of_all_places_of_an_exposure_is_no_disagreement(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0, density=30.0)
    second = measured_again(made.factors, 0)
    n = len(second[3])
    second[3] = replace(
        second[3],
        residual=second[3].residual + np.array([0.004, 0.0]),
        profile_error=np.broadcast_to(0.004 * np.eye(2), (n, 2, 2)),
    )
    each = MethodComparison()(made.factors, second, made.footprints)
    assert each[3].error_arcsec == pytest.approx(0.0035, rel=0.1)
    assert each[3].significance < 2
    assert each[3].n_apart == 0


def test_sources_that_a_way_misplaces_are_counted_and_move_nothing(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0, density=30.0)
    second = measured_again(made.factors, 0)
    clean = MethodComparison()(made.factors, second, made.footprints)
    bad = second[0].residual.copy()
    bad[:3] += 0.05
    second[0] = replace(second[0], residual=bad)
    each = MethodComparison()(made.factors, second, made.footprints)
    assert each[0].n_apart >= 3
    assert each[0].n_sources == clean[0].n_sources
    assert max(one.n_apart for one in each[1:]) <= 1
    for one, was in zip(each, clean, strict=True):
        assert one.significance == pytest.approx(was.significance, abs=1.0)


def test_exposures_whose_differences_scatter_more_have_larger_errors(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0, density=60.0)
    second = measured_again(made.factors, 0)
    second[5] = measured_again(made.factors, 0, noise=4 * OWN_NOISE)[5]
    each = MethodComparison()(made.factors, second, made.footprints)
    others = [one for i, one in enumerate(each) if i != 5]
    assert each[5].error_arcsec > 1.8 * np.median([one.error_arcsec for one in others])
    assert each[5].scatter_arcsec > 2.5 * np.median([one.scatter_arcsec for one in others])


def test_the_same_measurement_twice_does_not_differ(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["pair"], Geometry.RSHIFT, noise=1.0)
    for one in MethodComparison()(made.factors, made.factors, made.footprints):
        assert one.significance < 0.1 and one.largest_arcsec < 1e-9 and one.n_apart == 0


def test_only_sources_that_both_ways_measured_count(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["pair"], Geometry.SHIFT, noise=1.0)
    first, second = made.factors[0], measured_again(made.factors, 0)[0]
    use, held = np.ones(len(first), bool), np.zeros(len(first), bool)
    use[:4], held[2:4] = False, True  # two were not measured, two were held out
    found = difference_of(replace(first, use=use, held_out=held), second)
    assert found.source.tolist() == first.source[2:].tolist()
    assert found.use.all()
    expected = second.residual[2:] - first.residual[2:]
    np.testing.assert_allclose(found.residual, expected, atol=1e-15)
    stated = 1 / first.information[2:, 0, 0] + 1 / second.information[2:, 0, 0]
    np.testing.assert_allclose(1 / found.information[:, 0, 0], stated)


def test_too_few_common_sources_are_no_agreement(
    scene: Callable, layouts: dict[str, np.ndarray]
) -> None:
    made = scene(layouts["stack"], Geometry.RSHIFT, noise=1.0)
    second = measured_again(made.factors, 0)
    second[2] = replace(second[2], use=np.arange(len(second[2])) < 1)
    each = MethodComparison()(made.factors, second, made.footprints)
    assert isinstance(each[2], NotSolved) and each[2].reason is SkipReason.TOO_FEW_SOURCES
    assert all(isinstance(one, MethodDifference) for i, one in enumerate(each) if i != 2)
