"""Held-out sources tell whether a correction made an exposure better."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.measurement import Displacements
from alignsvc.domain.outcome import Verdict
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.solve.verdict import HeldOut, judge

SHIFT = np.array([0.1, 0.0])


def sources(n: int = 80, faint: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Noise and its standard deviation: a few bright stars in a faint crowd."""
    generator = np.random.default_rng(3)
    sigma = np.where(generator.random(n) < faint, 0.3, 0.01)
    return sigma[:, None] * generator.normal(size=(n, 2)), sigma


def held(offset: np.ndarray, sigma: np.ndarray) -> HeldOut:
    key = np.stack([np.arange(len(sigma)), np.zeros(len(sigma), int)], axis=1)
    return HeldOut(key, offset, sigma**2)


def test_a_tenth_of_a_pixel_is_seen_though_most_sources_scatter_by_three():
    noise, sigma = sources()
    found = judge(held(noise + SHIFT, sigma), held(noise, sigma))
    assert found.verdict is Verdict.IMPROVED
    assert found.before_px == pytest.approx(0.1 / 1.1774, rel=0.1)
    assert found.after_px == pytest.approx(0.01, rel=0.5)


def test_the_same_the_other_way_round_is_worse():
    noise, sigma = sources()
    assert judge(held(noise, sigma), held(noise + SHIFT, sigma)).verdict is Verdict.WORSE


def test_a_step_below_the_noise_changes_nothing():
    noise, sigma = sources()
    generator = np.random.default_rng(4)
    for step in 0.001 * generator.normal(size=(50, 2)):
        assert judge(held(noise, sigma), held(noise + step, sigma)).verdict is not Verdict.WORSE
    assert judge(held(noise, sigma), held(noise, sigma)).verdict is Verdict.UNCHANGED


def test_one_source_that_comes_much_nearer_is_no_improvement():
    noise, sigma = sources()
    before = np.array(noise)
    before[0] = [5.0, 5.0]
    assert judge(held(before, sigma), held(noise, sigma)).verdict is Verdict.UNCHANGED


def test_a_source_that_leapt_away_does_not_hide_that_all_others_came_nearer():
    noise, sigma = sources()
    after = np.array(noise)
    after[0] = [-5.0, 5.0]
    assert judge(held(noise + SHIFT, sigma), held(after, sigma)).verdict is Verdict.IMPROVED


def test_sources_are_compared_with_themselves_whatever_their_order():
    noise, sigma = sources()
    before, after = held(noise + SHIFT, sigma), held(noise, sigma)
    order = np.random.default_rng(1).permutation(len(sigma))[:60]
    some = HeldOut(after.key[order], after.offset_px[order], after.variance_px2[order])
    assert judge(before, some).verdict is Verdict.IMPROVED
    assert np.array_equal(before.among(some).key, some.among(before).key)


def test_a_handful_of_sources_says_nothing():
    noise, sigma = sources(7)
    found = judge(held(noise, sigma), held(noise, sigma))
    assert found.verdict is Verdict.UNTESTED
    assert np.isnan(found.before_px)


def test_only_sound_rows_that_were_held_out_are_asked():
    flags = np.array([DisplacementFlag.HELD_OUT, 0, DisplacementFlag.HELD_OUT | 1, 1024], int)
    n, whole = np.zeros(4), np.arange(4)
    dx = np.array([0.1, 0.2, 0.3, np.nan])
    three = np.ones((4, 3))
    table = Displacements(whole, whole * 0, n, n, dx, n, three, three, n, n, flags)
    found = HeldOut.of(table)
    assert found.key.tolist() == [[0, 0]]
    assert found.variance_px2.tolist() == [2.0]
