"""What other exposures see off as well is a mean over them, known as well as they know it."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.run.seeing.shared_offsets import SharedOffsets, _Seen


def seen(source: list[int], east: list[float], variance: list[float]) -> _Seen:
    left = np.stack([np.array(east), -np.array(east)], axis=1)
    return _Seen(np.array(source), left, np.array(variance))


def test_others_count_by_what_they_know() -> None:
    others = [seen([3, 8], [0.2, 0.5], [1.0, 4.0]), seen([8], [1.0], [1.0])]
    found = SharedOffsets.of(np.array([8, 3, 5, 8]), others)
    assert found.offset_arcsec[[0, 1, 3], 0] == pytest.approx([0.9, 0.2, 0.9])
    assert found.offset_arcsec[[0, 1, 3], 1] == pytest.approx([-0.9, -0.2, -0.9])
    assert found.variance_arcsec2[[0, 1, 3]] == pytest.approx([0.8, 1.0, 0.8])


def test_what_nobody_else_sees_is_not_known() -> None:
    for others in ([], [seen([3], [0.2], [1.0])]):
        found = SharedOffsets.of(np.array([5]), others)
        assert np.isnan(found.offset_arcsec).all()
        assert np.isnan(found.variance_arcsec2).all()
