"""What a process keeps of what it read: it is asked for again. Bounded, never out of date."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: So many questions for each value that is kept, and one that nobody asked for makes room.
_LONG = 2


@dataclass(frozen=True, slots=True)
class _Kept(Generic[V]):
    """A value, its size, and how many questions there had been when it was asked for last."""

    value: V
    size: float
    asked: int


class KeptInMemory(Generic[K, V]):
    """Values by key, as many as there is room for.

    A key says all that its value follows from, so that no value is ever out of date, and it
    changes no number whether one was kept. What was not asked for since long makes room; what
    was asked for of late stays, and who comes then is not kept: where more is read in turn than
    there is room for, whatever was read last would otherwise push out what is read next.

    Parameters
    ----------
    most : callable
        Returns the sum of sizes that may be kept, whenever something is to be.
    """

    def __init__(self, most: Callable[[], float]) -> None:
        self._most = most
        self._kept: dict[K, _Kept[V]] = {}  # those asked for last at the end
        self._asked = 0
        self._size = 0.0
        self._lock = threading.Lock()

    @property
    def size(self) -> float:
        """The sum of sizes of what is kept."""
        return self._size

    def find(self, key: K) -> V | None:
        """Return what is kept under a key, if anything is."""
        with self._lock:
            self._asked += 1
            found = self._kept.pop(key, None)
            if found is None:
                return None
            self._kept[key] = _Kept(found.value, found.size, self._asked)
            return found.value

    def keep(self, key: K, value: V, size: float = 1.0) -> bool:
        """Keep a value, if there is room or can be made; return whether it is kept.

        Nobody may write to it any more.
        """
        most = self._most()
        with self._lock:
            self._drop(key)
            while self._kept and self._size + size > most:
                longest = next(iter(self._kept))
                # There may be less room than there was.
                if self._size <= most and self._is_of_late(self._kept[longest]):
                    return False
                self._drop(longest)
            if size > most:
                return False
            self._kept[key] = _Kept(value, size, self._asked)
            self._size += size
            return True

    def forget(self) -> bool:
        """Let go of everything; return whether there was anything."""
        with self._lock:
            was_there = bool(self._kept)
            self._kept.clear()
            self._size = 0.0
            return was_there

    def _is_of_late(self, one: _Kept[V]) -> bool:
        return self._asked - one.asked <= _LONG * len(self._kept)

    def _drop(self, key: K) -> None:
        found = self._kept.pop(key, None)
        self._size -= 0.0 if found is None else found.size
