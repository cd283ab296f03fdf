"""An exposure of too few sources is told why the others did not count."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.measurement import Displacements
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.run.reducer.rejections import rejections


def _flagged(*flags: DisplacementFlag) -> Displacements:
    """Return one displacement for each of `flags`."""
    n = len(flags)
    none, triple, index = np.zeros(n), np.zeros((n, 3)), np.arange(n)
    given = np.array([int(flag) for flag in flags], np.int64)
    return Displacements(
        index, 0 * index, none, none, none, none, triple, triple, none, none, given
    )


def test_the_most_frequent_reasons_come_first() -> None:
    dominated, outside = DisplacementFlag.DOMINATED, DisplacementFlag.OUTSIDE
    assert rejections(_flagged(outside, dominated | DisplacementFlag.HELD_OUT, dominated)) == (
        "3 sources of the mosaic lie on it; not used for 2: this exposure carries nearly all the "
        "weight here, 1: at an edge of the chip"
    )


def test_a_source_that_is_held_out_is_not_one_that_is_of_no_use() -> None:
    found = rejections(_flagged(DisplacementFlag.HELD_OUT))
    assert found == "1 source of the mosaic lies on it"


def test_an_exposure_without_sources_is_told_so() -> None:
    assert rejections(_flagged()) == "no source of the mosaic lies on it"
