"""Which sources are held out of the fit."""

from __future__ import annotations

import numpy as np

from alignsvc.numerics.sources.selection import FEWEST_TO_HOLD_OUT, HoldOut


def some_snr(n: int) -> np.ndarray:
    return np.random.default_rng(1).lognormal(3.0, 1.0, n)


def held_out(ids: np.ndarray, snr: np.ndarray, fraction: float) -> np.ndarray:
    return HoldOut.among(snr, fraction)(ids, snr)


def test_about_the_fraction_asked_for_is_held_out():
    ids = np.arange(5000)
    assert abs(held_out(ids, some_snr(5000), 0.2).mean() - 0.9 * 0.2) < 0.01


def test_the_brightest_tenth_always_serves_the_fit():
    snr = some_snr(1000)
    held = held_out(np.arange(1000), snr, 0.5)
    assert snr[held].max() < np.sort(snr)[-99]


def test_where_all_are_alike_none_is_spared():
    ids = np.arange(5000)
    assert abs(held_out(ids, np.ones(5000), 0.2).mean() - 0.2) < 0.02


def test_a_source_keeps_its_lot_when_others_come_and_go():
    ids, snr = np.arange(1000), some_snr(1000)
    fainter = snr < np.quantile(snr, 0.8)
    rest = np.flatnonzero(np.arange(1000) % 3 > 0)
    kept = held_out(ids[rest], snr[rest], 0.3)
    both = fainter[rest]
    np.testing.assert_array_equal(kept[both], held_out(ids, snr, 0.3)[rest][both])


def test_few_sources_all_serve_the_fit():
    n = FEWEST_TO_HOLD_OUT - 1
    assert not held_out(np.arange(n), some_snr(n), 0.9).any()


def test_a_source_without_a_signal_to_noise_ratio_draws_too():
    snr = some_snr(1000)
    snr[::2] = np.nan
    assert held_out(np.arange(1000), snr, 0.5)[::2].any()


def test_a_source_has_the_same_lot_among_a_few_of_its_component_as_among_all():
    ids, snr = np.arange(1000), some_snr(1000)
    rule = HoldOut.among(snr, 0.3)
    near = np.flatnonzero(ids % 40 == 7)
    np.testing.assert_array_equal(rule(ids[near], snr[near]), rule(ids, snr)[near])
