"""Whose pixels are whose, by the labels that detection wrote."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.numerics.sources.matching import SegmentIds
from alignsvc.numerics.sources.segmentation import Segmentation

#: Two components, whose segments have the same numbers.
SEGMENTS = SegmentIds(
    component=np.array([0, 0, 0, 1]),
    segment=np.array([900, 40, 77, 40]),
    id=np.array([8, 9, 3, 5]),
)


def test_a_source_is_asked_for_by_its_id_and_found_under_its_label():
    label = np.array([[0, 40, 900], [77, 0, 1000]], np.int32)
    found = Segmentation.of(label, SEGMENTS, 0)
    assert found.labels(np.array([9, 3, 8, 9])).tolist() == [40, 77, 900, 40]
    assert found.label.tolist() == label.tolist()


def test_components_do_not_know_each_others_sources():
    found = Segmentation.of(np.zeros((2, 3), np.int32), SEGMENTS, 1)
    assert found.labels(np.array([5, 9])).tolist() == [40, -1]


@pytest.mark.parametrize("unknown", [0, 4, 99])
def test_a_source_that_is_not_listed_has_a_label_that_no_pixel_has(unknown: int):
    found = Segmentation.of(np.zeros((2, 3), np.int32), SEGMENTS, 0)
    assert found.labels(np.array([unknown])).tolist() == [-1]
    nobody = Segmentation.of(np.zeros((2, 3), np.int32), SEGMENTS, 7)
    assert nobody.labels(np.array([unknown])).tolist() == [-1]


def test_labels_are_read_only():
    found = Segmentation.of(np.zeros((2, 3), np.int32), SEGMENTS, 0)
    with pytest.raises(ValueError, match="read-only"):
        found.label[0, 0] = 1
