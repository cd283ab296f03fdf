"""Whose pixels are whose, by the labels that detection wrote."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import LabelArray
from alignsvc.numerics.sources.segmentation import Segmentation

NOBODYS = np.zeros((2, 3), np.int32)


def segmentation(label: LabelArray = NOBODYS) -> Segmentation:
    """Three sources, whose pixels hold other numbers than their ids."""
    return Segmentation(label, np.array([3, 8, 9]), np.array([77, 900, 40]))


def test_a_source_is_asked_for_by_its_id_and_found_under_its_label():
    label = np.array([[0, 40, 900], [77, 0, 1000]], np.int32)
    found = segmentation(label)
    assert found.labels(np.array([9, 3, 8, 9])).tolist() == [40, 77, 900, 40]
    assert found.label.tolist() == label.tolist()


@pytest.mark.parametrize("unknown", [0, 4, 99])
def test_a_source_that_is_not_listed_has_a_label_that_no_pixel_has(unknown: int):
    assert segmentation().labels(np.array([unknown])).tolist() == [-1]
    none = np.zeros(0, np.int64)
    assert Segmentation(NOBODYS, none, none).labels(np.array([unknown])).tolist() == [-1]


def test_labels_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        segmentation().label[0, 0] = 1
