"""Work goes back as often as damage is found, within bounds, and a failure names all of it."""

from __future__ import annotations

import pytest

from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.run.mending.damage import MOST_MENDS, Damage, mended


class Work:
    """Finds so many things damaged, one in each round, and then ends as it is told."""

    def __init__(self, n_damaged: int, end: Exception | None = None) -> None:
        self.n_damaged, self.end = n_damaged, end
        self.told: list[Damage] = []

    def __call__(self, damage: Damage) -> str:
        self.told.append(damage)
        if len(self.told) <= self.n_damaged:
            raise DamagedProduct(f"tile {len(self.told) % 3}")
        if self.end is not None:
            raise self.end
        return "done"


@pytest.mark.parametrize("n", range(MOST_MENDS + 1))
def test_each_round_knows_what_those_before_it_found(n: int) -> None:
    work = Work(n)
    assert mended(work) == "done"
    assert [len(damage.found) for damage in work.told] == list(range(n + 1))


def test_damage_without_end_is_an_end_that_names_all_of_it_once() -> None:
    work = Work(1000)
    with pytest.raises(DamagedProduct, match=rf"^tile 1; tile 2; tile 0: .*{MOST_MENDS + 1} times"):
        mended(work)
    assert len(work.told) == MOST_MENDS + 1


def test_what_cannot_be_made_again_is_named_with_what_could() -> None:
    error = RunStoreError("journal: event 3 is damaged")
    with pytest.raises(RunStoreError, match=r"event 3 .*found damaged before: tile 1; tile 2\)"):
        mended(Work(2, error))
    with pytest.raises(RunStoreError, match=r"^journal: event 3 is damaged$"):
        mended(Work(0, error))
