"""Work that finds a damaged product begins again: receipts tell what is whole, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io import journal
from alignsvc.run.records import events
from alignsvc.run.stages.running import Tools

T = TypeVar("T")

#: How often one driver goes back. Single bytes flip singly: what is damaged more often than this
#: lies in memory or on disks that are broken.
MOST_MENDS = 6


@dataclass(frozen=True, slots=True)
class Damage:
    """What a driver has found damaged so far, in its words, in order; each cost it a round."""

    found: tuple[str, ...] = ()

    @property
    def is_too_much(self) -> bool:
        """Whether there is no sense in going back once more."""
        return len(self.found) > MOST_MENDS

    @property
    def named(self) -> str:
        """All of it, each once."""
        return "; ".join(dict.fromkeys(self.found))

    def and_also(self, error: DamagedProduct) -> Damage:
        """Return it with one more."""
        return Damage((*self.found, str(error)))


def mended(work: Callable[[Damage], T]) -> T:
    """Do work; where something that a task made turns out missing or damaged, do it once more.

    As a resume after a kill, it does again what is not whole, and nothing else.

    Parameters
    ----------
    work : callable
        Is told what was found damaged before, so that it looks for more of that kind.

    Raises
    ------
    DamagedProduct
        Something was damaged once more, more often than `MOST_MENDS` times; all is named.
    RunStoreError
        Something is damaged that cannot be made again; what was found before is named, too.
    """
    damage = Damage()
    while True:
        try:
            return work(damage)
        except DamagedProduct as error:
            damage = damage.and_also(error)
            if damage.is_too_much:
                raise DamagedProduct(
                    f"{damage.named}: something was damaged {len(damage.found)} times: look after "
                    "the disk and the memory of the machines, then resume"
                ) from error
        except RunStoreError as error:
            if not damage.found:
                raise
            raise RunStoreError(f"{error} (found damaged before: {damage.named})") from error


@contextmanager
def told_damage(tools: Tools, before: Damage) -> Iterator[None]:
    """Tell user, log and journal of a damage that ends work, and what follows from it."""
    try:
        yield
    except DamagedProduct as error:
        tools.journal.append(journal.DamageFound(str(error)))
        if not before.and_also(error).is_too_much:
            tools.listener(events.Note(f"{error}; going back to make it again"))
        raise
