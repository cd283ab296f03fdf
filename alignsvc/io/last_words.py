"""Why a driver ended before its run did: an object of the run, and room that is kept for it.

A full disk is what ends a driver most often, and takes nothing more. So a driver that begins writes
a few blocks of no meaning (`lease/room`), and removes them before it says why it ends
(`lease/last-words`) and gives its lease back.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from alignsvc.errors import AlignError
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.locations import LEASE
from alignsvc.io.objects import ObjectStore

_ROOM, _WORDS = f"{LEASE}room", f"{LEASE}last-words"
#: A few blocks of any file system, and what it notes about two files.
_ROOM_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class LastWords:
    """Why a driver ended.

    Parameters
    ----------
    epoch : int
        Its lease.
    why : str
    """

    epoch: int
    why: str


def keep_room(objects: ObjectStore) -> None:
    """Keep room for last words; those of an earlier driver are forgotten."""
    with suppress(AlignError):  # a store that takes nothing now tells so where it matters
        objects.delete(_WORDS)
        objects.put(_ROOM, os.urandom(_ROOM_BYTES))  # bytes that no file system makes smaller


def give_room_back(objects: ObjectStore) -> None:
    """Remove what was kept."""
    with suppress(AlignError):
        objects.delete(_ROOM)


def leave_last_words(objects: ObjectStore, words: LastWords) -> None:
    """Say why a driver ends, in the room that was kept for it; where it cannot be said, nothing."""
    give_room_back(objects)
    with suppress(AlignError):
        data = json_from(words, LastWords)
        assert isinstance(data, dict)
        objects.put(_WORDS, sealed(data))


def find_last_words(objects: ObjectStore) -> LastWords | None:
    """Return what the last driver said that an error ended; None if nothing, or nothing whole."""
    content = objects.find(_WORDS)
    if content is None:
        return None
    try:
        return value_from(unsealed(content), LastWords)
    except (TypeError, ValueError):
        return None
