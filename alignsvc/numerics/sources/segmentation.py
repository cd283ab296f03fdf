"""Whose pixels are whose: labels as detection wrote them, and which source each is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import IntArray, LabelArray, contiguous

#: No pixel has it.
_NO_LABEL = -1


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """The sources of a component over a box of its grid.

    Labels stay as they were written: to ask what a source's is costs nothing, and to write the
    ids of sources into all pixels takes a plane, and longer than to read it.

    Parameters
    ----------
    label : int32 or int64 array, shape of the box
        Whose each pixel is; 0 = nobody's.
    source : int64 array, shape (n,)
        Ids, rising.
    label_of : int64 array, shape (n,)
        What the pixels of each hold.
    """

    label: LabelArray
    source: IntArray
    label_of: IntArray

    def __post_init__(self) -> None:
        for name in ("label", "source", "label_of"):
            object.__setattr__(self, name, contiguous(getattr(self, name)))

    def labels(self, source: IntArray) -> IntArray:
        """Return what the pixels of sources hold, by their ids; -1, as none does, of unknown ones.

        A pixel that is neither 0 nor this is another source's, whether that one is listed or not.
        """
        if not len(self.source):
            return np.full(len(source), _NO_LABEL)
        place = np.searchsorted(self.source, source).clip(max=len(self.source) - 1)
        return np.where(self.source[place] == source, self.label_of[place], _NO_LABEL)


#: The labels where nobody knows, as loops want them.
UNKNOWN: LabelArray = contiguous(np.zeros((0, 0), np.int32))
