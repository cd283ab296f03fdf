"""What was read stays in memory, bounded: a hit saves work and is what a new reading would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_mosaic_store import GRID, LAST, chunk, filled, sums

from alignsvc.errors import DamagedProduct
from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.tiled_arrays import KeptTiles, OpenTiles


def memory(most: float = 1e9) -> KeptTiles:
    return KeptInMemory(lambda: most)


def keeping(store: MosaicStore, kept: KeptTiles) -> MosaicStore:
    return MosaicStore(store.root, kept)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 5.0)), max_size=60))
def test_no_more_is_kept_than_there_is_room_for(asked: list[tuple[int, float]]) -> None:
    kept: KeptInMemory[int, int] = KeptInMemory(lambda: 7.0)
    for key, size in asked:
        assert kept.find(key) in (None, -key)
        kept.keep(key, -key, size)
        assert kept.size <= 7.0 + 1e-9
    assert kept.forget() is bool(asked)
    assert kept.size == 0 and not kept.forget()


def read_through(kept: KeptInMemory[int, int], keys: list[int]) -> int:
    """Ask for values in turn, keep those that are missing; return how many were there."""
    hits = 0
    for key in keys:
        if kept.find(key) is None:
            kept.keep(key, -key)
        else:
            hits += 1
    return hits


def test_what_is_read_in_turn_is_kept_as_far_as_there_is_room() -> None:
    kept: KeptInMemory[int, int] = KeptInMemory(lambda: 6.0)
    assert read_through(kept, [*range(9)] * 10) == 9 * 6  # as many as fit, each turn but the first


def test_what_is_left_behind_makes_room() -> None:
    kept: KeptInMemory[int, int] = KeptInMemory(lambda: 6.0)
    windows = [k + i for k in range(50) for i in range(4)]  # along a strip, four tiles in sight
    assert read_through(kept, windows) > 0.7 * len(windows)


def test_room_that_shrinks_is_left() -> None:
    room = [4.0]
    kept: KeptInMemory[int, int] = KeptInMemory(lambda: room[0])
    read_through(kept, [0, 1, 2, 3])
    room[0] = 0.5
    kept.keep(4, -4)
    assert kept.find(4) is None and kept.size == 0


def test_tiles_that_are_kept_are_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = memory()
    store = keeping(filled(tmp_path), kept)
    first = store.read(1, 0, GRID.box)

    def fails(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(OpenTiles, "shard_parts", fails)
    again = keeping(store, kept).read(1, 0, GRID.box)
    np.testing.assert_array_equal(again.numerator, first.numerator)
    np.testing.assert_array_equal(again.weight, sums(GRID.box).weight)


def test_a_tile_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    store = keeping(filled(tmp_path), memory())
    box = GRID.tile_box(LAST)
    for seed in range(5):
        store.write_tile(1, LAST, sums(box, seed))
        np.testing.assert_array_equal(store.read_tile(1, LAST).weight, sums(box, seed).weight)


def test_a_tile_that_is_damaged_or_goes_is_missed_though_it_was_kept(tmp_path: Path) -> None:
    store = keeping(filled(tmp_path), memory())
    store.read(1, 0, GRID.box)
    path = chunk(store, 1, "weight", LAST)
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedProduct, match=r"tile c0/1\.2: \S+ is damaged"):
        store.read_tile(1, LAST)
    path.unlink()
    with pytest.raises(DamagedProduct, match=r"tile c0/1\.2: \S+ is missing"):
        store.read_tile(1, LAST)


def test_nobody_can_write_to_what_is_kept(tmp_path: Path) -> None:
    kept = memory()
    store = keeping(filled(tmp_path), kept)
    store.read(1, 0, GRID.box)
    tiles = [one.value for one in kept._kept.values()]
    assert tiles and not any(tile.flags.writeable for tile in tiles)
