"""What a process keeps of the mosaic never costs a task the memory that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.errors import MemoryShortage
from alignsvc.io.objects import LocalObjects
from alignsvc.io.tiled_arrays import ChunkVersion
from alignsvc.tasks.base import run_task
from alignsvc.tasks.tiles_at_hand import MOST_BYTES, let_go, tiles_at_hand


@dataclass(frozen=True)
class Hungry:
    """A task for which there is room only when nothing else is in memory, or never."""

    never: bool

    @property
    def key(self) -> TaskKey:
        return TaskKey("merge", "hungry", f"{self.never}")

    def __call__(self) -> TaskOutcome:
        if self.never or tiles_at_hand().size:
            raise MemoryError("wanted 1 TiB")
        return TaskOutcome(self.key, TaskStatus.OK)


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[LocalObjects]:
    let_go()
    objects = LocalObjects(tmp_path)
    tiles_at_hand().keep(ChunkVersion(objects, "weight/c/0/0", "1"), np.zeros(8), 64.0)
    yield objects
    let_go()


def test_tiles_make_room_for_a_task(objects: LocalObjects) -> None:
    assert run_task(Hungry(never=False), objects).outcome.is_ok
    assert tiles_at_hand().size == 0


def test_where_no_tile_is_in_the_way_the_task_needs_more_memory(objects: LocalObjects) -> None:
    with pytest.raises(MemoryShortage, match="merge of hungry: out of memory"):
        run_task(Hungry(never=True), objects)
    assert tiles_at_hand().size == 0


def test_a_small_worker_keeps_little(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = ChunkVersion(objects, "weight/c/0/1", "1")
    with monkeypatch.context() as small:
        small.setattr("alignsvc.tasks.memory.allowed_bytes", lambda: 4 * MOST_BYTES)
        tiles_at_hand().keep(half, np.zeros(8), MOST_BYTES / 1.2)
    assert tiles_at_hand().find(half) is None
    tiles_at_hand().keep(half, np.zeros(8), MOST_BYTES / 1.2)
    assert tiles_at_hand().find(half) is not None
