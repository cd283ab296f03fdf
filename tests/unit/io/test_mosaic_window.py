"""A window of the mosaic is what reading its box gives, without a plane of the box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_kept_in_memory import keeping, memory
from test_mosaic_store import GRID, LAST, chunk, filled

from alignsvc.domain.geometry import PixelBox
from alignsvc.errors import DamagedProduct
from alignsvc.numerics.resampling.coadd import leave_one_out

ny, nx = GRID.shape
boxes = st.builds(
    lambda x, y, w, h: PixelBox(x, y, x + w, y + h),
    st.integers(-3, nx - 1),
    st.integers(-3, ny - 1),
    st.integers(1, nx),
    st.integers(1, ny),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes, boxes, st.sampled_from([0.0, 9000.0, 1e9]))
def test_a_part_of_a_window_is_that_part_of_the_box(
    tmp_path: Path, box: PixelBox, part: PixelBox, room: float
) -> None:
    store = keeping(filled(tmp_path), memory(room))
    window, whole = store.window(1, 0, box), store.read(1, 0, box)
    assert window.box == whole.box
    for name in ("numerator", "weight"):
        found, wanted = (getattr(one.cut(part), name) for one in (window, whole))
        np.testing.assert_array_equal(found, wanted)
        assert not found.flags.writeable


def test_a_window_holds_views_of_what_is_kept_and_no_more_than_its_box_of_the_rest(
    tmp_path: Path,
) -> None:
    box = PixelBox(1, 1, nx - 1, ny - 1)
    for room in (1e9, 0.0):
        kept = memory(room)
        store = keeping(filled(tmp_path), kept)
        parts = [part for _, part in store.window(1, 0, box).weight.parts]
        tiles = [one.value for one in kept._kept.values()]
        assert all(any(part.base is t.base for t in tiles) for part in parts) is bool(room)
        held = {id(part.base): part.base for part in parts}
        assert room or sum(one.nbytes for one in held.values()) == 8 * (nx - 2) * (ny - 2)


def test_the_mosaic_of_the_others_is_the_same_from_a_window(tmp_path: Path) -> None:
    store = keeping(filled(tmp_path), memory())
    whole = store.read(1, 0, GRID.box)
    own = whole.cut(PixelBox(2, 1, nx, ny - 1)).narrowed()
    found, wanted = (leave_one_out(one, own) for one in (store.window(1, 0, GRID.box), whole))
    np.testing.assert_array_equal(found.numerator, wanted.numerator)
    np.testing.assert_array_equal(found.weight, wanted.weight)


def test_a_window_of_a_damaged_tile_names_it(tmp_path: Path) -> None:
    store = filled(tmp_path)
    chunk(store, 1, "weight", LAST).unlink()
    with pytest.raises(DamagedProduct, match=r"tile c0/1\.2: \S+ is missing"):
        store.window(1, 0, GRID.box)


def test_ids_are_told_as_they_are_stored(tmp_path: Path) -> None:
    store = keeping(filled(tmp_path), memory())
    for tile in GRID.tiles():
        shape = GRID.tile_box(tile).shape
        store.write_segmentation(1, tile, np.full(shape, 1 + tile.column, np.int64))
    window = store.segmentation_window(1, 0, GRID.box)
    assert window.dtype == np.int32
    np.testing.assert_array_equal(window.cut(GRID.box), store.read_segmentation(1, 0, GRID.box))
