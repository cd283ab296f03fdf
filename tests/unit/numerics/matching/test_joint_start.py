"""Pairs of exposures, joined: who is where, and who is not to be believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignsvc.numerics.matching.joint_start import (
    FieldPlace,
    Link,
    Pairs,
    Placed,
    Standing,
    place_exposures,
)
from alignsvc.numerics.matching.similarity import UNMOVED, Similarity, on_circle

FIELD = FieldPlace(100.0 + 50.0j, 700.0)
MIRROR = Similarity(1.0 + 0.0j, 0j, is_mirrored=True)


def shifted(shift: complex, angle_deg: float = 0.0) -> Similarity:
    """Return a rotation about the field's middle, and an offset."""
    factor = complex(np.exp(1j * np.radians(angle_deg)))
    return Similarity(factor, FIELD.middle - factor * FIELD.middle + shift)


def links_of(truth: list[Similarity], pairs: list[tuple[int, int]]) -> tuple[Link, ...]:
    """Return matches without noise between exposures that `truth` would put right."""
    return tuple(Link(i, j, truth[j].inverse().after(truth[i]), 50) for i, j in pairs)


def ring(n: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(n - 1)] + [(0, n - 1)]


def placed(truth: list[Similarity], pairs: Pairs, reference: int | None = None) -> list[Placed]:
    return list(place_exposures([FIELD] * len(truth), pairs, reference))


def require_at(one: Placed, truth: Similarity, within_px: float = 0.01) -> None:
    z = on_circle(FIELD.middle, FIELD.extent)
    assert one.standing is Standing.PLACED
    assert np.abs(one.transform.moved(z) - truth.moved(z)).max() < within_px


def test_one_exposure_far_off_does_not_move_the_others() -> None:
    truth = [UNMOVED] * 7 + [shifted(300.0 - 120.0j, 30.0)]
    found = placed(truth, Pairs(links_of(truth, ring(8)), ()))
    for one, wanted in zip(found, truth, strict=True):
        require_at(one, wanted)


@given(st.lists(st.tuples(st.floats(-200, 200), st.floats(-200, 200)), min_size=3, max_size=9))
def test_exposures_come_to_agree_wherever_they_were(offsets: list[tuple[float, float]]) -> None:
    truth = [shifted(complex(x, y), 0.01 * x) for x, y in offsets]
    found = placed(truth, Pairs(links_of(truth, ring(len(truth))), ()))
    z = on_circle(FIELD.middle, FIELD.extent)
    common = [
        one.transform.moved(t.inverse().moved(z)) for one, t in zip(found, truth, strict=True)
    ]
    np.testing.assert_allclose(common, [common[0]] * len(common), atol=0.05)


def test_a_reference_stays_where_it_is() -> None:
    truth = [shifted(90.0), shifted(-40.0j), UNMOVED]
    found = placed(truth, Pairs(links_of(truth, ring(3)), ()), reference=0)
    require_at(found[0], UNMOVED)
    require_at(found[2], truth[0].inverse())


def test_a_false_match_is_outvoted() -> None:
    truth = [UNMOVED, UNMOVED, shifted(50.0), UNMOVED]
    every = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    wrong = Link(0, 3, shifted(77.0), 20)
    found = placed(truth, Pairs((*links_of(truth, every), wrong), ()))
    for one, wanted in zip(found, truth, strict=True):
        require_at(one, wanted, within_px=0.5)


def test_an_exposure_whose_matches_contradict_each_other_is_named() -> None:
    truth = [UNMOVED] * 3
    wrong = (Link(2, 3, shifted(-60.0), 50), Link(1, 3, shifted(60.0), 50))
    found = placed([*truth, UNMOVED], Pairs((*links_of(truth, ring(3)), *wrong), ()))
    assert [one.standing for one in found[:3]] == [Standing.PLACED] * 3
    assert found[3].standing is Standing.CONTRADICTED


def test_the_mirrored_one_is_named_and_the_others_stay() -> None:
    truth = [UNMOVED, MIRROR, UNMOVED, UNMOVED]
    found = placed(truth, Pairs(links_of(truth, ring(4)), ()))
    assert found[1].standing is Standing.MIRRORED
    for k in (0, 2, 3):
        require_at(found[k], UNMOVED)


def test_between_two_nobody_knows_which_is_mirrored() -> None:
    truth = [UNMOVED, MIRROR]
    pairs = Pairs(links_of(truth, [(0, 1)]), ())
    assert {one.standing for one in placed(truth, pairs)} == {Standing.PARITY_UNKNOWN}
    by_reference = placed(truth, pairs, reference=1)
    assert [one.standing for one in by_reference] == [Standing.MIRRORED, Standing.PLACED]


def test_a_stranger_is_one_that_should_have_matched() -> None:
    truth = [UNMOVED] * 4
    links = links_of(truth, ring(3))
    assert placed(truth, Pairs(links, ((1, 3),)))[3].standing is Standing.STRANGER
    assert placed(truth, Pairs(links, ()))[3].standing is Standing.UNKNOWN


@pytest.mark.parametrize("refused", [(), ((0, 1),)])
def test_two_that_do_not_match_are_both_strangers_if_they_should(
    refused: tuple[tuple[int, int], ...],
) -> None:
    wanted = Standing.STRANGER if refused else Standing.UNKNOWN
    assert {one.standing for one in placed([UNMOVED] * 2, Pairs((), refused))} == {wanted}
