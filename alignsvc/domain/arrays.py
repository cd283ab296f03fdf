"""Array type names, and the one way to make arrays read-only, or all of one form."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

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


def hold_read_only(value: DataclassInstance, *names: str) -> None:
    """Make fields of a frozen value read-only, in its ``__post_init__``; all if none is named."""
    for name in names or (field.name for field in fields(value)):
        object.__setattr__(value, name, read_only(getattr(value, name)))


def hold_float64(value: DataclassInstance, *names: str) -> None:
    """Do the same to arrays of any numbers, which become float64."""
    for name in names:
        object.__setattr__(value, name, read_only(np.asarray(getattr(value, name), np.float64)))


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return `array` read-only and row after row in memory, a copy only where it is not.

    The one form that compiled loops are made for: with any other they are compiled once more.
    """
    return read_only(np.ascontiguousarray(array))
