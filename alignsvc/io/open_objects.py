"""Objects that are open for reading: the bytes that are wanted go where there is room for them."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from io import FileIO
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class OpenObject(Protocol):
    """The content of an object as it was when it was opened."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; OSError if there is less."""
        ...

    def close(self) -> None:
        """Nothing is read any more."""
        ...


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file: it stays what it was opened as, for files are replaced and never written into.

    Parameters
    ----------
    file : FileIO
    size : int
    """

    file: FileIO
    size: int

    @classmethod
    def at(cls, path: str) -> OpenFile:
        """Open a file; OSError if it cannot be."""
        file = FileIO(path)
        return cls(file, os.fstat(file.fileno()).st_size)

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; OSError if there is less."""
        left = memoryview(room.data)
        while left:
            n = os.preadv(self.file.fileno(), [left], start)
            if not n:
                raise OSError(errno.EIO, "a file became shorter while it was read")
            left, start = left[n:], start + n

    def close(self) -> None:
        """Nothing is read any more."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class ContentAtHand:
    """What was read as a whole.

    Parameters
    ----------
    content : array of bytes
    """

    content: NDArray[np.uint8]

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; OSError if there is less."""
        if start + len(room) > len(self.content):
            raise OSError(errno.EIO, "an object is shorter than was asked for")
        room[:] = self.content[start : start + len(room)]

    def close(self) -> None:
        """Nothing is read any more."""
