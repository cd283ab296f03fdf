"""Work that finds a damaged product begins again: receipts tell what is whole, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from alignsvc.errors import DamagedProduct
from alignsvc.run import events

T = TypeVar("T")

#: How often. Damage that comes again is not of one flipped bit: memory or disk are broken.
MOST_MENDS = 3


def mended(work: Callable[[], T], listener: events.Listener) -> T:
    """Do work; where something that a task made turns out missing or damaged, do it once more.

    As a resume after a kill, it does again what is not whole, and nothing else. The user is told
    what was damaged.

    Raises
    ------
    DamagedProduct
        It was damaged once more, more often than `MOST_MENDS` times.
    """
    for _ in range(MOST_MENDS):
        try:
            return work()
        except DamagedProduct as error:
            listener(events.Note(f"{error}; going back to make it again"))
    try:
        return work()
    except DamagedProduct as error:
        raise DamagedProduct(
            f"{error}; something was damaged {MOST_MENDS + 1} times: look after the disk and the "
            "memory of the machines, then resume"
        ) from error
