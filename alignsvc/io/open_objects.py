"""Objects that are open for reading: the bytes that are wanted go where there is room for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Protocol

from alignsvc.io.file_errors import explained

if TYPE_CHECKING:  # commands that look at a run start without numpy
    import numpy as np
    from numpy.typing import NDArray


class OpenObject(Protocol):
    """The content of an object as it was when it was opened."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; ValueError if there is less."""
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
    where : str
        Begins the sentence of an error.
    """

    file: FileIO
    size: int
    where: str

    @classmethod
    def at(cls, path: str, where: str) -> OpenFile:
        """Open a file; OSError if it cannot be."""
        file = FileIO(path)
        return cls(file, os.fstat(file.fileno()).st_size, where)

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; ValueError if there is less."""
        left = memoryview(room.data)
        while left:
            with explained(self.where):
                n = os.preadv(self.file.fileno(), [left], start)
            if not n:
                raise ValueError("it became shorter while it was read")
            left, start = left[n:], start + n

    def close(self) -> None:
        """Nothing is read any more."""
        self.file.close()


@dataclass(frozen=True, slots=True)
class ContentAtHand:
    """What was read as a whole.

    Parameters
    ----------
    content : bytes
    """

    content: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content)

    def read_into(self, room: NDArray[np.uint8], start: int) -> None:
        """Fill `room` with what lies from byte `start` on; ValueError if there is less."""
        memoryview(room.data)[:] = memoryview(self.content)[start : start + len(room)]

    def close(self) -> None:
        """Nothing is read any more."""
