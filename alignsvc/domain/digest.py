"""One digest of any frozen value: the identity of tasks, plans and tables."""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
    stream = _Stream()
    stream.feed(values)
    return stream.digest()


class _Stream:
    """Bytes of values, gathered and hashed: a driver makes a digest of each task, of 250 blocks."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._gathered: list[bytes] = []

    def digest(self) -> str:
        self._hash.update(b"".join(self._gathered))
        self._gathered.clear()
        return self._hash.hexdigest()

    def feed(self, value: Any) -> None:
        """Add one value as tag, length, content: no two values share a byte sequence."""
        kind = type(value)
        if kind is str:
            self._gathered.append(_block(b"str", _text(value)))
        elif kind is float:
            number = math.nan if value != value else value
            self._gathered.append(b"float 8:" + _DOUBLE.pack(number))
        elif kind is bool:  # its own type, not a kind of int
            self._gathered.append(b"bool 1:1" if value else b"bool 1:0")
        elif kind is int:
            self._gathered.append(_block(b"int", b"%d" % value))
        elif kind is tuple:
            self._gathered.append(_block(b"tuple", b"%d" % len(value)))
            for item in value:
                self.feed(item)
        elif value is None:
            self._gathered.append(b"none 0:")
        elif kind is np.ndarray:
            self._feed_array(value)
        else:
            self._feed_other(value)

    def _feed_other(self, value: Any) -> None:
        if isinstance(value, np.generic):
            self.feed(value.item())
        elif isinstance(value, Enum):  # before str and int: StrEnum and IntFlag are both
            self._gathered.append(_block(b"enum", _text(type(value).__qualname__)))
            self.feed(value.value)
        elif is_dataclass(value) and not isinstance(value, type):
            head, named = _layout(type(value))
            self._gathered.append(head)
            for tag, name in named:
                self._gathered.append(tag)
                self.feed(getattr(value, name))
        elif isinstance(value, bytes):
            self._gathered.append(_block(b"bytes", bytes(value)))
        else:
            # Subclasses of plain types count as those.
            plain: Any
            for plain in (int, float, str, tuple):
                if isinstance(value, plain):
                    return self.feed(plain(value))
            if isinstance(value, np.ndarray):
                return self._feed_array(value)
            raise TypeError(
                f"digest: found a {type(value).__name__}; wanted frozen dataclasses, tuples, "
                "enums, text, numbers, None or arrays"
            )
        return None

    def _feed_array(self, array: NDArray[Any]) -> None:
        if array.dtype.kind not in "biufcSU":
            raise TypeError(f"digest: an array of {array.dtype} has no stable bytes")
        portable = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
        self._gathered.append(_block(b"array", f"{portable.dtype.str} {array.shape}".encode()))
        self._hash.update(b"".join(self._gathered))
        self._gathered.clear()
        self._hash.update(portable.data)  # the memory itself: arrays are large


_DOUBLE = struct.Struct(">d")


@lru_cache(maxsize=1024)
def _layout(kind: type) -> tuple[bytes, tuple[tuple[bytes, str], ...]]:
    """Return what comes before a dataclass's fields, and before each of them, with its name."""
    names = [field.name for field in fields(kind)]
    head = _block(b"class", _text(kind.__qualname__)) + _block(b"fields", b"%d" % len(names))
    return head, tuple((_block(b"field", _text(name)), name) for name in names)


def _block(tag: bytes, content: bytes) -> bytes:
    return b"%s %d:%s" % (tag, len(content), content)


def _text(text: str) -> bytes:
    # File names that are not valid UTF-8 arrive as lone surrogates; they must count too.
    return text.encode("utf-8", "surrogatepass")
