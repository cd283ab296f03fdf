"""Segmentations with the ids that sources keep."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.arrays import IntArray, contiguous
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.sources.matching import UNLISTED, SegmentIds


def final_segmentation(segmentation: IntArray, sources: SegmentIds, component: int) -> IntArray:
    """Return a segmentation, as detection wrote it, with the sources' final ids.

    0 stays 0; pixels of a source that `sources` does not list become `UNLISTED`. Give all
    numbered sources, not only those that filters left: neighbours matter, used or not.
    """
    here = np.flatnonzero(sources.component == component)
    here = here[np.argsort(sources.segment[here])]
    segments = np.concatenate([[0], sources.segment[here]])
    ids = np.concatenate([[0], sources.id[here]])
    result = np.zeros(segmentation.shape, np.int64)
    _renumber(contiguous(segmentation).reshape(-1), segments, ids, result.ravel())
    return result


@compiled
def _renumber(labels: IntArray, segments: IntArray, ids: IntArray, result: IntArray) -> None:
    """Fill `result` with the ids of labels, by the ascending `segments`; 0 stays as it is."""
    label, new = 0, 0
    for i in range(labels.size):
        if labels[i] == 0:
            continue
        if labels[i] != label:  # pixels of a source lie side by side
            label = labels[i]
            place = _first_from(segments, label)
            is_listed = place < segments.size and segments[place] == label
            new = ids[place] if is_listed else UNLISTED
        result[i] = new


@compiled
def _first_from(ascending: IntArray, wanted: int) -> int:
    """Return the place of the first that is not below what is wanted."""
    low, high = 0, ascending.size
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
