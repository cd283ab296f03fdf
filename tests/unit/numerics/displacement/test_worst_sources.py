"""Which sources people are shown: the worst in their own errors, and some that were rejected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.displacement.worst_sources import (
    Badness,
    WorstSources,
    deviations,
    significance,
)

N = 40


def measured(error_px: float = 0.01, **columns: object) -> Displacements:
    """Return sources on a chip whose header is turned and shifted, without noise."""
    random = np.random.default_rng(5)
    x, y = random.uniform(0, 500, (2, N))
    covariance = np.tile([error_px**2, 0.0, error_px**2], (N, 1))
    made = {
        **{"source": np.arange(N), "chip": np.zeros(N, np.int64), "x": x, "y": y},
        **{"dx": 1.5 - 2e-3 * y, "dy": -0.7 + 2e-3 * x},
        **{"own_covariance": covariance, "template_covariance": 0 * covariance},
        **{"weight_share": np.full(N, 0.25), "peak": np.ones(N), "flags": np.zeros(N, np.int64)},
    }
    return Displacements(**{**made, **columns})


def test_what_all_share_is_no_deviation_however_large() -> None:
    assert deviations(measured()).max() < 0.01


def test_a_deviation_counts_in_the_source_s_own_errors() -> None:
    plain = measured()
    dx, own = plain.dx.copy(), plain.own_covariance.copy()
    dx[3] += 0.1  # ten errors
    dx[7] += 0.5  # five of its errors, which are ten times as large
    own[7] *= 100
    found = deviations(measured(dx=dx, own_covariance=own))
    assert found[3] == pytest.approx(10, rel=0.05)
    assert found[7] == pytest.approx(5, rel=0.05)
    chosen = WorstSources(2)(Badness.of(measured(dx=dx, own_covariance=own), np.ones(N)))
    assert chosen.tolist() == [3, 7]


def test_one_wild_bright_star_does_not_drag_the_common_displacement() -> None:
    plain = measured()
    dx, own = plain.dx.copy(), plain.own_covariance.copy()
    dx[0] += 3.0
    own[0] = [1e-8, 0, 1e-8]
    found = deviations(measured(dx=dx, own_covariance=own))
    assert found[1:].max() < 1.0
    assert found[0] > 1000


def test_a_quarter_is_rejected_ones_the_brightest_first_and_held_out_ones_are_sound() -> None:
    flags = np.zeros(N, np.int64)
    flags[:10] = DisplacementFlag.SATURATED
    flags[10] = DisplacementFlag.HELD_OUT
    plain = measured()
    dx = plain.dx.copy()
    dx[10] += 0.4
    snr = np.arange(N, dtype=float)
    chosen = WorstSources(8)(Badness.of(measured(dx=dx, flags=flags), snr))
    assert chosen[0] == 10
    assert chosen[6:].tolist() == [9, 8]


def test_few_sources_are_compared_with_their_median() -> None:
    few = measured().select(np.arange(3))
    assert np.isfinite(deviations(few)).all()
    assert len(WorstSources()(Badness.of(few, np.ones(3)))) == 3
    assert len(WorstSources()(Badness.of(few.select(np.arange(0)), np.ones(0)))) == 0


def test_what_was_not_measured_has_no_deviation_and_is_rejected() -> None:
    dx = measured().dx.copy()
    dx[4] = np.nan
    bad = Badness.of(measured(dx=dx), np.ones(N))
    assert np.isnan(bad.deviation[4])
    assert not bad.is_sound[4]


def test_significance_is_the_length_in_errors() -> None:
    off = np.array([[3.0, 4.0], [1.0, 1.0], [1.0, 0.0]])
    covariance = np.array([[1.0, 0.0, 1.0], [2.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
    found = significance(off, covariance)
    assert found[:2] == pytest.approx([5.0, 1.0])
    assert np.isnan(found[2])  # singular: no covariance


@given(
    most=st.integers(0, 30),
    sound=st.lists(st.booleans(), max_size=60),
    seed=st.integers(0, 1000),
)
def test_as_many_as_there_are_are_chosen_each_once_and_never_more(
    most: int, sound: list[bool], seed: int
) -> None:
    random = np.random.default_rng(seed)
    n = len(sound)
    bad = Badness(random.random(n), np.array(sound, bool), random.random(n))
    chosen = WorstSources(most)(bad).tolist()
    assert len(chosen) == len(set(chosen)) == min(most, n)
    of_sound = [row for row in chosen if sound[row]]
    assert of_sound == sorted(of_sound, key=lambda row: -bad.deviation[row])
    left_out = set(np.flatnonzero(sound).tolist()) - set(of_sound)
    assert all(bad.deviation[row] <= bad.deviation[of_sound].min() for row in left_out if of_sound)
