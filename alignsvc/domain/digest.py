"""One digest of any frozen value: the identity of tasks, plans and tables."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class _Sink(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...


def digest_of(*values: object) -> str:
    """Return the SHA-256 of `values` as 64 hexadecimal digits, the same on every machine.

    Two values have one digest when they are equal in type and content: classes and fields of
    dataclasses count by name (a class without its module, so that moving a file changes no
    key), ``1``, ``1.0`` and ``True`` differ, ``0.0`` and ``-0.0`` differ (a computation can tell
    them apart), all NaN are one. Arrays count by type, shape and content, whatever their
    memory order or byte order; numpy scalars count as the Python number that they hold.

    Parameters
    ----------
    *values : frozen dataclass, Enum, tuple, str, bytes, bool, int, float, None or ndarray
        Nested as deep as needed.

    Raises
    ------
    TypeError
        A value of another type: lists, sets and dictionaries can change or have no order.
    """
    sink = hashlib.sha256()
    _feed(sink, values)
    return sink.hexdigest()


def _feed(sink: _Sink, value: object) -> None:
    """Add one value as tag, length, content: no two values share a byte sequence."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        _block(sink, b"none", b"")
    elif isinstance(value, Enum):  # before str and int: StrEnum and IntFlag are both
        _block(sink, b"enum", _text(type(value).__qualname__))
        _feed(sink, value.value)
    elif isinstance(value, bool):  # before int: True is an int
        _block(sink, b"bool", b"1" if value else b"0")
    elif isinstance(value, int):
        _block(sink, b"int", str(value).encode())
    elif isinstance(value, float):
        _block(sink, b"float", struct.pack(">d", math.nan if math.isnan(value) else value))
    elif isinstance(value, str):
        _block(sink, b"str", _text(value))
    elif isinstance(value, bytes):
        _block(sink, b"bytes", value)
    elif isinstance(value, np.ndarray):
        _feed_array(sink, value)
    elif isinstance(value, tuple):
        _block(sink, b"tuple", str(len(value)).encode())
        for item in value:
            _feed(sink, item)
    elif is_dataclass(value) and not isinstance(value, type):
        _feed_dataclass(sink, value)
    else:
        raise TypeError(
            f"digest: found a {type(value).__name__}; wanted frozen dataclasses, tuples, enums, "
            "text, numbers, None or arrays"
        )


def _feed_dataclass(sink: _Sink, value: Any) -> None:
    names = [field.name for field in fields(value)]
    _block(sink, b"class", _text(type(value).__qualname__))
    _block(sink, b"fields", str(len(names)).encode())
    for name in names:
        _block(sink, b"field", _text(name))
        _feed(sink, getattr(value, name))


def _feed_array(sink: _Sink, array: NDArray[Any]) -> None:
    if array.dtype.kind not in "biufcSU":
        raise TypeError(f"digest: an array of {array.dtype} has no stable bytes")
    portable = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    _block(sink, b"array", f"{portable.dtype.str} {array.shape}".encode())
    sink.update(portable.data)  # the memory itself: arrays are large


def _block(sink: _Sink, tag: bytes, content: bytes) -> None:
    sink.update(b"%s %d:" % (tag, len(content)))
    sink.update(content)


def _text(text: str) -> bytes:
    # File names that are not valid UTF-8 arrive as lone surrogates; they must count too.
    return text.encode("utf-8", "surrogatepass")
