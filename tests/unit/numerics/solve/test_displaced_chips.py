"""A chip that is displaced in one exposure is found, named, and bends nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from test_chip_offsets import DITHERS, OFFSETS, SCALE, chipped

from alignsvc.domain.correction import Geometry
from alignsvc.domain.measurement import Factors
from alignsvc.numerics.solve.displaced_chips import empty_chips
from alignsvc.numerics.solve.joint_chips import MultiChipFit, MultiChipFitter
from alignsvc.numerics.solve.joint_fit import JointFitter

LACKING_PX = np.array([0.6, 0.25])


def displaced(factors: Sequence[Factors], exposure: int, chip: int) -> list[Factors]:
    spoilt = list(factors)
    own = spoilt[exposure]
    moved = (own.chip == chip)[:, None] * SCALE * LACKING_PX
    spoilt[exposure] = replace(own, residual=own.residual + moved)
    return spoilt


@pytest.mark.parametrize("has_offsets", [False, True])
@pytest.mark.parametrize("geometry", [Geometry.RSHIFT, Geometry.GENERAL])
def test_a_displaced_chip_is_found_and_bends_nothing(scene, geometry, has_offsets):
    case = scene(DITHERS, geometry, noise=1.0, density=200.0)
    offsets = OFFSETS if has_offsets else 0.0 * OFFSETS
    sound, chips = chipped(case.factors, DITHERS, offsets)
    factors = displaced(sound, 2, 1)
    found = MultiChipFitter(JointFitter(), chips, has_offsets)(factors, case.footprints)
    assert [(one.exposure, one.chip) for one in found.displaced] == [(2, 1)]
    one = found.displaced[0]
    assert np.hypot(*(np.array(one.offset_px) - LACKING_PX)) < 6.0 * one.error_px
    assert one.error_px < 0.01
    assert case.local_errors_arcsec(found.fit.steps).max() < 0.03 * SCALE
    if geometry is Geometry.GENERAL and not has_offsets:
        bent = JointFitter()(factors, case.footprints)
        assert case.local_errors_arcsec(bent.steps).max() > 0.3 * SCALE


def test_of_a_pair_one_is_named_not_both(scene):
    """Two exposures disagree on a chip: nothing tells which is right, and one has to go."""
    pair = DITHERS[:2]
    case = scene(pair, Geometry.RSHIFT, noise=1.0, density=200.0)
    factors, chips = chipped(case.factors, pair, 0.0 * OFFSETS)
    found = MultiChipFitter(JointFitter(), chips, False)(displaced(factors, 1, 3), case.footprints)
    assert len(found.displaced) == 1
    one = found.displaced[0]
    assert one.chip == 3
    assert one.length_px == pytest.approx(np.hypot(*LACKING_PX), abs=0.02)
    assert case.local_errors_arcsec(found.fit.steps).max() < 0.03 * SCALE


def test_nobody_is_named_where_all_is_well(scene):
    for seed in range(4):
        case = scene(DITHERS, Geometry.RSHIFT, noise=1.0, density=100.0, seed=seed)
        factors, chips = chipped(case.factors, DITHERS, 0.0 * OFFSETS)
        found: MultiChipFit = MultiChipFitter(JointFitter(), chips, False)(factors, case.footprints)
        assert found.displaced == ()
        plain = JointFitter()(factors, case.footprints)
        assert (found.fit.steps == plain.steps).all()


def test_offsets_that_all_exposures_share_are_no_displacement_of_one(scene):
    case = scene(DITHERS, Geometry.RSHIFT, noise=1.0, density=200.0)
    factors, chips = chipped(case.factors, DITHERS, OFFSETS)
    found = MultiChipFitter(JointFitter(), chips, False)(factors, case.footprints)
    assert found.displaced == ()
    assert np.abs(found.chips.offset - OFFSETS).max() < 0.02


def counted(numbers: Sequence[int]) -> Factors:
    chip = np.repeat(np.arange(len(numbers)), numbers)
    n = len(chip)
    return Factors(
        0, np.arange(n), np.zeros((n, 2)), np.zeros((n, 2, 6)), np.tile(np.eye(2), (n, 1, 1)),
        np.zeros(n), np.ones(n, bool), np.zeros(n, bool), chip,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "empty"),
    [([30, 0, 40], (1,)), ([300, 3, 200], (1,)), ([30, 8, 40], ()), ([5, 0, 6], ()), ([50], ())],
)
def test_a_chip_without_sources_is_empty_if_the_others_have_many(numbers, empty):
    assert empty_chips(counted(numbers), len(numbers)) == empty
