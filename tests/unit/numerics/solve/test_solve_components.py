"""Who holds to whom, and who can be updated together."""

from __future__ import annotations

import numpy as np

from alignsvc.numerics.solve.components import rigid_components


def components(seen: list[list[int]], min_shared: int) -> list[int]:
    exposure = np.repeat(np.arange(len(seen)), [len(s) for s in seen])
    source = np.array([s for sources in seen for s in sources], int)
    return rigid_components(exposure, source, len(seen), min_shared).tolist()


def test_exposures_that_share_enough_sources_are_one_component():
    assert components([[1, 2, 3], [2, 3, 4], [4, 5, 6]], 2) == [0, 0, 1]
    assert components([[1, 2, 3], [2, 3, 4], [4, 5, 6]], 1) == [0, 0, 0]


def test_a_group_as_a_whole_may_hold_what_none_of_its_members_does():
    assert components([[0, 1, 2, 7], [0, 1, 2, 8], [7, 8, 9]], 2) == [0, 0, 0]


def test_links_are_found_across_groups_that_stand_between():
    """Sources 1..3 are common to 0 and 4, each with another exposure between the two."""
    assert components([[1, 2, 3], [1], [2], [3], [1, 2, 3]], 3) == [0, 1, 2, 3, 0]


def test_a_source_seen_twice_by_one_exposure_counts_once():
    assert components([[1, 1, 1], [1]], 2) == [0, 1]


def test_no_measurement_leaves_everyone_alone():
    assert components([[], [], []], 1) == [0, 1, 2]
