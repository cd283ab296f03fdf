"""Robust pieces: medians by label, normalised lengths, thresholds."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.solve.clipping import (
    Clipping,
    lengths_from_mean,
    lengths_from_median,
    weighted_median_by,
)
from alignsvc.numerics.solve.sums import cholesky_2x2, inverse_2x2, sum_by


def test_the_median_of_each_label_in_any_order():
    label = np.array([1, 0, 1, 0, 1, 3])
    values = np.array([5.0, 2.0, 100.0, 4.0, 6.0, -1.0])
    median = weighted_median_by(label, values, np.ones(6), 4)
    assert median.tolist() == [3.0, 6.0, 0.0, -1.0]


def test_a_heavy_row_draws_the_median_to_itself():
    median = weighted_median_by(
        np.zeros(4, int), np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 1.0, 1.0, 4.0]), 1
    )
    assert median.tolist() == [9.0]


def test_one_bad_row_of_three_is_told_from_the_two_good_ones():
    residual = np.array([[0.0, 0.0], [0.1, 0.0], [50.0, 0.0]])
    lengths = lengths_from_median(np.zeros(3, int), residual, np.tile(np.eye(2), (3, 1, 1)))
    assert (lengths > 5).tolist() == [False, False, True]


def test_two_rows_that_disagree_are_equally_wrong_whatever_their_weights():
    information = np.stack([np.eye(2), 7.0 * np.eye(2)])
    residual = np.array([[0.0, 0.0], [9.0, 3.0]])
    lengths = lengths_from_mean(np.zeros(2, int), residual, information, np.ones(2))
    assert lengths[0] == pytest.approx(lengths[1])
    assert lengths[0] > 5


def test_good_rows_stay_when_their_errors_are_understated():
    lengths = 10.0 * np.random.default_rng(0).rayleigh(size=5000)
    assert Clipping().trust_within(lengths, 1).mean() > 0.995


def test_a_perfect_fit_is_not_eaten_up():
    assert (Clipping().trust_within(np.array([0.0, 0.0, 0.0, 1e-9, 2.0]), 1) == 1.0).all()


def test_a_source_near_the_threshold_is_trusted_in_part():
    clipping = Clipping(sigma=3.0)
    lengths = np.append(np.ones(1000), np.sqrt(2.0) * 3.0 * np.array([0.6, 0.9, 1.0, 1.1, 1.4]))
    trust = clipping.trust_within(lengths, 1)[-5:]
    np.testing.assert_allclose(trust, [1.0, 2 / 3, 0.5, 1 / 3, 0.0])


def test_an_untrusted_row_does_not_move_the_mean_that_it_is_judged_by():
    residual = np.array([[0.0, 0.0], [1.0, 0.0], [40.0, 0.0]])
    unit = np.tile(np.eye(2), (3, 1, 1))
    lengths = lengths_from_mean(np.zeros(3, int), residual, unit, np.array([1.0, 1.0, 0.0]))
    # Variances 1/2, 1/2 and 1 + 1/2 about a mean of 0.5.
    np.testing.assert_allclose(lengths, [np.sqrt(0.5), np.sqrt(0.5), 39.5 / np.sqrt(1.5)])


def test_trust_falls_with_the_length_and_never_rises():
    trust = Clipping().trust_by_length(np.array([0.0, 1.0, 3.0, 30.0]))
    assert trust[0] == 1.0
    assert (np.diff(trust) < 0).all()
    assert trust[-1] < 0.01


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="iterations must be >= 0"):
        Clipping(iterations=-1)


def test_small_matrices_agree_with_numpy():
    generator = np.random.default_rng(0)
    half = generator.normal(size=(10, 2, 2))
    matrices = half @ np.swapaxes(half, 1, 2) + 0.1 * np.eye(2)
    np.testing.assert_allclose(inverse_2x2(matrices), np.linalg.inv(matrices), rtol=1e-9)
    np.testing.assert_allclose(cholesky_2x2(matrices), np.linalg.cholesky(matrices), rtol=1e-9)
    total = sum_by(np.array([2, 0] * 5), matrices, 3)
    np.testing.assert_allclose(total[2], matrices[::2].sum(axis=0))
    assert not total[1].any()
