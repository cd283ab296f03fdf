"""Few pixels of a tile as one object: columns of numbers, and a checksum of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignsvc.io.closing_checksums import CHECKSUM_BYTES, as_bytes, check_closed, checksum_of


def bytes_from(columns: Sequence[NDArray[Any]], dtypes: Sequence[str]) -> bytes:
    """Return columns of one length, each in its type, as bytes."""
    packed = b"".join(
        np.ascontiguousarray(column, dtype).tobytes()
        for column, dtype in zip(columns, dtypes, strict=True)
    )
    return packed + as_bytes(checksum_of(packed))


def columns_from(content: bytes, dtypes: Sequence[str]) -> list[NDArray[Any]]:
    """Return the columns that `bytes_from` was given.

    Raises
    ------
    ValueError
        The bytes are not what was written.
    """
    packed = content[:-CHECKSUM_BYTES]
    of_a_pixel = sum(np.dtype(one).itemsize for one in dtypes)
    n, rest = divmod(len(packed), of_a_pixel)
    if rest or len(content) < CHECKSUM_BYTES:
        raise ValueError(f"{len(content)} bytes")
    check_closed(content)
    columns, first = list[NDArray[Any]](), 0
    for dtype in dtypes:
        columns.append(np.frombuffer(packed, dtype, n, first))
        first += n * np.dtype(dtype).itemsize
    return columns
