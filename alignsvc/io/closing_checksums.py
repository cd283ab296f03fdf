"""Bytes that are closed by their CRC-32C, as zarr's codec of that name closes them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numcodecs.checksum32 import CRC32C
from numpy.typing import NDArray

#: Bytes of a checksum, the least first.
CHECKSUM_BYTES = 4
Content: TypeAlias = bytes | NDArray[np.uint8]


def checksum_of(content: Content) -> int:
    """Return the CRC-32C of all bytes."""
    return int(CRC32C.checksum(content))


def as_bytes(checksum: int) -> bytes:
    """Return a checksum as it closes what it is of."""
    return checksum.to_bytes(CHECKSUM_BYTES, "little")


def closing(content: Content) -> int:
    """Return the checksum that closes some content, unread."""
    return int.from_bytes(bytes(content[-CHECKSUM_BYTES:]), "little")


def check_closed(content: Content) -> None:
    """Raise ValueError unless the content ends in its checksum."""
    found, written = checksum_of(content[:-CHECKSUM_BYTES]), closing(content)
    if found != written:
        raise ValueError(f"checksum {found:08x} found, {written:08x} was written")
