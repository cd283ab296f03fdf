"""Array type names, and the one way to make an array read-only, or all of one form."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
BoolArray: TypeAlias = NDArray[np.bool_]
IntArray: TypeAlias = NDArray[np.int64]
#: Numbers that pixels hold: int32, and int64 where there are more than that counts.
LabelArray: TypeAlias = NDArray[np.signedinteger[Any]]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` (or a view of it) that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` read-only and row after row in memory, a copy only where it is not.

    The one form that compiled loops are made for: with any other they are compiled once more.
    """
    return read_only(np.ascontiguousarray(array))
