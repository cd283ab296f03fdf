"""Few pixels of a tile as one object: columns of numbers, and a checksum of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numcodecs.checksum32 import CRC32C
from numpy.typing import NDArray

_CHECKSUM = np.dtype("<u4")


def checksum_of(content: bytes) -> int:
    """Return the CRC-32C that ends an object, unread."""
    return int(np.frombuffer(content[-_CHECKSUM.itemsize :], _CHECKSUM)[0])


def bytes_from(columns: Sequence[NDArray[Any]], dtypes: Sequence[str]) -> bytes:
    """Return columns of one length, each in its type, as bytes."""
    packed = b"".join(
        np.ascontiguousarray(column, dtype).tobytes()
        for column, dtype in zip(columns, dtypes, strict=True)
    )
    return packed + np.array(CRC32C.checksum(packed), _CHECKSUM).tobytes()


def columns_from(content: bytes, dtypes: Sequence[str]) -> list[NDArray[Any]]:
    """Return the columns that `bytes_from` was given.

    Raises
    ------
    ValueError
        The bytes are not what was written.
    """
    packed = content[: -_CHECKSUM.itemsize]
    of_a_pixel = sum(np.dtype(one).itemsize for one in dtypes)
    n, rest = divmod(len(packed), of_a_pixel)
    if rest or len(content) < _CHECKSUM.itemsize:
        raise ValueError(f"{len(content)} bytes")
    found = int(CRC32C.checksum(packed))
    if found != checksum_of(content):
        raise ValueError(f"checksum {found:08x} found, {checksum_of(content):08x} was written")
    columns, first = list[NDArray[Any]](), 0
    for dtype in dtypes:
        columns.append(np.frombuffer(packed, dtype, n, first))
        first += n * np.dtype(dtype).itemsize
    return columns
