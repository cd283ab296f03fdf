"""The tiles on which a box lies are had as they are kept, whole rows of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kept_in_memory import keeping, memory
from test_mosaic_store import GRID, LAST, chunk, filled

from alignsvc.domain.geometry import PixelBox
from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import LocalObjects

NY, NX = GRID.shape
BOXES = [PixelBox(1, 1, NX - 1, NY - 1), GRID.box, PixelBox(-3, 2, 4, 5), PixelBox(2, 3, 2, 9)]


@pytest.mark.parametrize("room", [0.0, 1e9])
@pytest.mark.parametrize("box", BOXES)
def test_tiles_hold_what_reading_the_box_gives(tmp_path: Path, box: PixelBox, room: float) -> None:
    store = keeping(filled(tmp_path), memory(room))
    whole = store.read(1, 0, box)
    found, n_pixels = np.full(whole.box.shape, np.nan), 0
    for tile in store.tiles_in(1, 0, box):
        common = tile.box.intersect(whole.box)
        found[common.slices_in(whole.box)] = tile.weight[common.slices_in(tile.box)]
        n_pixels += common.shape[0] * common.shape[1]
        assert tile.numerator.flags.c_contiguous
        beyond = tile.cut(PixelBox(NX, tile.box.y0, NX + 5, tile.box.y1))
        assert beyond.is_empty
    assert n_pixels == found.size
    np.testing.assert_array_equal(found, whole.weight)


def test_a_tile_that_is_kept_is_not_copied(tmp_path: Path) -> None:
    kept = memory(1e9)
    store = keeping(filled(tmp_path), kept)
    tiles = list(store.tiles_in(1, 0, GRID.box))
    held = [one.value for one in kept._kept.values()]
    assert all(any(np.shares_memory(tile.weight, one) for one in held) for tile in tiles)


def test_a_damaged_tile_is_named(tmp_path: Path) -> None:
    store = filled(tmp_path)
    chunk(store, 1, "weight", LAST).write_bytes(b"nothing")
    with pytest.raises(DamagedProduct, match=r"generation 1, tile c0/1\.2"):
        list(store.tiles_in(1, 0, GRID.box))


def test_what_describes_the_mosaic_is_asked_for_once_and_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bucket each would be a trip."""
    store = filled(tmp_path)
    found, groups = [], []
    find, each = LocalObjects.find, LocalObjects.each

    def counted(self: LocalObjects, name: str) -> bytes | None:
        found.append(name)
        return find(self, name)

    def grouped(self: LocalObjects, do: Any, items: Any, at_once: int) -> Any:
        groups.append(at_once)
        return each(self, do, items, at_once)

    monkeypatch.setattr(LocalObjects, "find", counted)
    monkeypatch.setattr(LocalObjects, "each", grouped)
    for ask in (store.read, lambda *box: [*store.tiles_in(*box)]):
        found.clear()
        groups.clear()
        ask(1, 0, GRID.box)
        described = Counter(name for name in found if name.endswith("zarr.json"))
        assert sorted(described.values()) == [1, 1, 1]  # grid, numerator, weight
        assert groups[0] == 3
