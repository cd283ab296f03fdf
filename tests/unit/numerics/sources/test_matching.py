"""Ids that stay with a source."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_fields import catalog_at

from alignsvc.domain.geometry import Points
from alignsvc.numerics.sources.matching import (
    NumberedSources,
    inherit_ids,
    mutual_nearest,
    nearest_but_for_a_shift,
    number_sources,
)


def points(*pairs):
    x, y = np.array(pairs, float).reshape(-1, 2).T
    return Points(x, y)


def numbered(x, y, segment=None):
    catalog = catalog_at(x, y)
    segment = np.arange(len(x)) if segment is None else np.array(segment)
    return NumberedSources(catalog, segment, len(x) + 1)


def test_only_mutual_neighbours_within_reach_are_pairs():
    first = points((0, 0), (10, 0), (30, 0))
    second = points((10.4, 0), (0.2, 0.1), (10.1, 0), (40, 0))
    pairs = mutual_nearest(first, second, 1.0)
    assert list(zip(pairs.first, pairs.second, strict=True)) == [(0, 1), (1, 2)]


def test_nothing_pairs_with_nothing():
    assert len(mutual_nearest(points(), points((1, 1)), 1.0)) == 0
    assert len(mutual_nearest(points((1, 1)), points(), 1.0)) == 0


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_pairs_do_not_depend_on_which_list_comes_first(seed):
    a, b = np.random.default_rng(seed).uniform(0, 10, (2, 2, 20))
    one = mutual_nearest(Points(*a), Points(*b), 1.0)
    other = mutual_nearest(Points(*b), Points(*a), 1.0)
    assert {*zip(one.first, one.second, strict=True)} == {
        *zip(other.second, other.first, strict=True)
    }


def test_numbers_do_not_depend_on_the_order_of_tiles():
    left, right = catalog_at([1, 2], [0, 0]), catalog_at([3], [0])
    left = replace(left, id=np.array([40, 900]))
    right = replace(right, id=np.array([77]))
    for parts in ([left, right], [right, left]):
        sources = number_sources(parts)
        assert sources.catalog.id.tolist() == [1, 2, 3]
        assert sources.segment.tolist() == [40, 77, 900]
        assert sources.catalog.x.tolist() == [1, 3, 2]
        assert sources.next_id == 4


def test_no_tiles_number_nothing():
    assert number_sources([]).next_id == 1


def test_a_source_keeps_its_id_and_a_new_one_gets_a_fresh_one():
    before = replace(catalog_at([10, 50, 90], [5, 5, 5]), id=np.array([4, 7, 8]))
    after = inherit_ids(numbered([90.2, 30.0, 10.1], [5, 5, 5.2], [100, 200, 300]), before, 12)
    assert after.catalog.id.tolist() == [4, 8, 12]
    assert after.catalog.x.tolist() == [10.1, 90.2, 30.0]
    assert after.segment.tolist() == [300, 100, 200]
    assert after.next_id == 13


def test_ids_are_inherited_within_a_component_only():
    before = catalog_at([10], [5])
    new = numbered([10], [5])
    elsewhere = replace(new, catalog=replace(new.catalog, component=np.array([1])))
    assert inherit_ids(elsewhere, before, 2).catalog.id.tolist() == [2]


def test_each_source_has_one_segment():
    with pytest.raises(ValueError, match="2 sources, 1 segments"):
        NumberedSources(catalog_at([1, 2], [0, 0]), np.array([1]), 3)


def test_pairs_that_all_lie_beside_each_other_are_found_and_wrong_ones_are_not():
    rng = np.random.default_rng(2)
    place, shift = rng.uniform(0.0, 500.0, (2, 60)), np.array([[3.0], [-4.0]])
    seen = place + shift + rng.normal(0.0, 0.02, place.shape)
    seen[0, :6] += 1.5  # a tenth is another star
    pairs = nearest_but_for_a_shift(Points(*seen), Points(*place), 8.0)
    assert set(pairs.first.tolist()) <= set(range(6, 60))
    assert len(pairs) > 50
    assert (pairs.first == pairs.second).all()


def test_nothing_near_is_no_pair():
    far = nearest_but_for_a_shift(points((0, 0)), points((100, 0)), 8.0)
    assert len(far) == 0
    assert len(nearest_but_for_a_shift(points(), points((0, 0)), 8.0)) == 0
