"""Contributions on disk: whole or absent, written once, damage named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.io.tiled_arrays import OpenTiles
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.patches import Patch, PixelSums

GRID = MosaicGrid(2, TangentPlane(150.0, 2.0), 0.2, 20.0, 15.0, (60, 95), (16, 20))
BOX = PixelBox(25, 10, 70, 40)
NOWHERE = np.zeros((0, 2), np.int64)


def contribution(box: PixelBox = BOX, seed: int = 0) -> Contribution:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(1.0, 2.0, box.shape).astype(np.float32)
    return Contribution(box, weight * rng.normal(size=box.shape).astype(np.float32), weight)


BASE = contribution()
SATURATED = np.array([[30, 12], [31, 12]])


@pytest.fixture
def store(tmp_path: Path) -> ContributionStore:
    return ContributionStore(tmp_path / "contributions")


@pytest.mark.parametrize(
    "box", [BOX, GRID.box, PixelBox(38, 15, 42, 17), PixelBox(90, 50, 99, 70), PixelBox(0, 0, 3, 3)]
)
def test_what_was_written_is_read_and_nothing_elsewhere(
    store: ContributionStore, box: PixelBox
) -> None:
    store.write("resample-1", contribution(), NOWHERE, GRID)
    found, wanted = store.read("resample-1", box), contribution().cut(box)
    assert found.box == box
    assert found.weight.dtype == np.float32
    np.testing.assert_array_equal(found.numerator, wanted.numerator)
    np.testing.assert_array_equal(found.weight, wanted.weight)


def test_the_tiles_with_weight_are_known_and_only_they_are_on_disk(
    store: ContributionStore,
) -> None:
    weight = contribution().weight.copy()
    weight[:22, :35] = 0.0  # rows 10-31, columns 25-59: tiles 0.1, 0.2, 1.1, 1.2
    whole = contribution()
    part = Contribution(BOX, np.where(weight > 0, whole.numerator, np.float32(0)), weight)
    stored = store.write("resample-1", part, NOWHERE, GRID)
    wanted = tuple(
        TileId(2, row, column) for row, column in [(0, 3), (1, 3), (2, 1), (2, 2), (2, 3)]
    )
    assert stored.tiles == store.stored("resample-1").tiles == wanted
    chunks = [path for path in (store.root / "resample-1" / "c").rglob("*") if path.is_file()]
    assert len(chunks) == len(wanted)
    np.testing.assert_array_equal(store.read("resample-1", BOX).weight, weight)


def test_the_first_of_two_writers_wins(store: ContributionStore) -> None:
    first = store.write("resample-1", contribution(seed=1), NOWHERE, GRID)
    second = store.write("resample-1", contribution(seed=2), NOWHERE, GRID)
    assert first == second
    np.testing.assert_array_equal(store.read("resample-1", BOX).weight, contribution(seed=1).weight)


def test_of_two_writers_at_once_both_get_what_is_stored(
    store: ContributionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = store.write("resample-1", contribution(), NOWHERE, GRID)
    seen, exists = iter([False]), ContributionStore.exists  # it looked before the first was there
    monkeypatch.setattr(
        ContributionStore, "exists", lambda self, key: next(seen, exists(self, key))
    )
    assert store.write("resample-1", contribution(), NOWHERE, GRID) == first
    assert store.is_whole("resample-1", GRID)
    assert [path.name for path in store.root.iterdir()] == ["resample-1"]


def test_the_same_content_has_the_same_checksum(store: ContributionStore) -> None:
    checksums = [
        store.write(f"resample-{k}", contribution(seed=seed), NOWHERE, GRID).checksum
        for k, seed in enumerate((1, 1, 2))
    ]
    assert checksums[0] == checksums[1] != checksums[2]
    assert store.stored("resample-0").checksum == checksums[0]


def test_a_failed_write_leaves_no_contribution(
    store: ContributionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: OpenTiles, *_: object, noise: object) -> int:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(OpenTiles, "write_unless_empty", fails)
        with pytest.raises(RuntimeError, match="killed"):
            store.write("resample-1", contribution(), NOWHERE, GRID)
    assert not store.exists("resample-1")
    written = store.write("resample-1", contribution(), NOWHERE, GRID)
    assert store.is_whole("resample-1", GRID) and store.stored("resample-1") == written


@pytest.mark.parametrize("damage", ["gone", "flip"])
def test_a_damaged_tile_is_named(store: ContributionStore, damage: str) -> None:
    store.write("resample-1", contribution(), NOWHERE, GRID)
    path = store.root / "resample-1" / "c" / "0" / "0" / "2"  # of tile 0.3
    content = bytearray(path.read_bytes())
    content[20] ^= 8
    path.write_bytes(content) if damage == "flip" else path.unlink()
    assert store.read("resample-1", PixelBox(25, 10, 60, 16)).weight.all()
    with pytest.raises(RunStoreError, match=r"contribution resample-1, tile c2/0\.3"):
        store.read("resample-1", BOX)


def test_a_cut_description_is_damage_that_costs_no_reader_its_pixels(
    store: ContributionStore,
) -> None:
    """It is for others who open the array: here the record says the same."""
    store.write("resample-1", contribution(), NOWHERE, GRID)
    whole = store.read("resample-1", GRID.box)
    (store.root / "resample-1" / "zarr.json").write_text("{")
    assert not store.is_whole("resample-1", GRID)
    assert store.read("resample-1", GRID.box).numerator.tobytes() == whole.numerator.tobytes()


def test_an_exposure_beside_the_grid_gives_an_empty_contribution(store: ContributionStore) -> None:
    away = contribution(PixelBox(200, 200, 210, 210))
    assert store.write("resample-1", away, NOWHERE, GRID).tiles == ()
    assert store.read("resample-1", BOX).is_empty


def test_what_is_not_there_is_said_and_can_be_removed_twice(store: ContributionStore) -> None:
    with pytest.raises(RunStoreError, match="no contribution resample-1"):
        store.read("resample-1", BOX)
    store.write("resample-1", contribution(), NOWHERE, GRID)
    store.remove("resample-1")
    store.remove("resample-1")
    assert not store.exists("resample-1")


def test_keys_stay_below_the_root(store: ContributionStore) -> None:
    with pytest.raises(RunStoreError, match="no name"):
        store.write("../elsewhere", contribution(), NOWHERE, GRID)


def test_remains_of_killed_writers_can_be_removed(store: ContributionStore) -> None:
    store.write("resample-1", contribution(), NOWHERE, GRID)
    store.write("resample-2", contribution(), NOWHERE, GRID)
    (store.root / "resample-2" / "contribution.json").unlink()  # as one that was killed before
    assert store.names() == ("resample-1", "resample-2")
    store.remove_partial()
    assert [path.name for path in store.root.iterdir()] == ["resample-1"]


def test_anyone_can_open_it_as_zarr(store: ContributionStore) -> None:
    store.write("resample-1", contribution(), NOWHERE, GRID)
    array = zarr.open_array(store.root / "resample-1", mode="r")
    assert array.shape == (2, 48, 60)  # rows 0-47, columns 20-79: whole tiles
    assert (array.shards, array.chunks) == ((2, 16, 20), (1, 16, 20))
    within = BOX.slices_in(PixelBox(20, 0, 80, 48))
    np.testing.assert_array_equal(array[0, *within], contribution().numerator)
    np.testing.assert_array_equal(array[1, *within], contribution().weight)
    assert np.count_nonzero(array[1]) == np.count_nonzero(contribution().weight)


def test_saturated_pixels_come_back_and_are_part_of_what_is_stored(
    store: ContributionStore,
) -> None:
    pixels = np.array([[30, 12], [31, 12]])
    clean = store.write("resample-1", contribution(), NOWHERE, GRID)
    clipped = store.write("resample-2", contribution(), pixels, GRID)
    assert store.saturated("resample-1").shape == (0, 2)
    np.testing.assert_array_equal(store.saturated("resample-2"), pixels)
    assert clean.checksum != clipped.checksum


def test_a_damaged_list_of_saturated_pixels_is_named(store: ContributionStore) -> None:
    store.write("resample-1", contribution(), NOWHERE, GRID)
    (store.root / "resample-1" / "saturated.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(RunStoreError, match=r"resample-1: .*saturated\.npy cannot be read"):
        store.saturated("resample-1")


def patch(over: Contribution = BASE, seed: int = 3, n: int = 50) -> Patch:
    """Pixels of a contribution that hold something else, some of them nothing."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.permutation(over.weight.size)[:n])
    kept = np.float32(rng.random(n) < 0.5)
    before = PixelSums(over.numerator.reshape(-1)[at], over.weight.reshape(-1)[at])
    return Patch(over.box, at, before, PixelSums(kept * 7, kept * before.weight))


def patched(over: Contribution, with_: Patch) -> Contribution:
    numerator, weight = over.numerator.copy(), over.weight.copy()
    numerator.reshape(-1)[with_.at], weight.reshape(-1)[with_.at] = with_.after
    return Contribution(over.box, numerator, weight)


def laid_over(store: ContributionStore, with_: Patch | None = None) -> StoredContribution:
    base = store.write("base", BASE, SATURATED, GRID)
    return store.lay_over("over", base, patch() if with_ is None else with_, GRID)


@pytest.mark.parametrize("box", [BOX, GRID.box, PixelBox(38, 15, 42, 17), PixelBox(90, 50, 99, 70)])
def test_one_laid_over_another_reads_as_if_it_were_whole(
    store: ContributionStore, box: PixelBox
) -> None:
    stored = laid_over(store)
    found, wanted = store.read("over", box), patched(BASE, patch()).cut(box)
    np.testing.assert_array_equal(found.numerator, wanted.numerator)
    np.testing.assert_array_equal(found.weight, wanted.weight)
    np.testing.assert_array_equal(store.saturated("over"), SATURATED)
    np.testing.assert_array_equal(store.read("base", box).weight, BASE.cut(box).weight)
    assert store.stored("over") == stored
    assert (stored.name, stored.whole, stored.tiles) == ("over", "base", store.stored("base").tiles)


@pytest.mark.parametrize(
    "box", [BOX, GRID.box, PixelBox(38, 17, 42, 37), PixelBox(90, 50, 99, 70), PixelBox(9, 9, 9, 9)]
)
@pytest.mark.parametrize("name", ["base", "over"])
def test_bands_of_whole_rows_are_what_is_read_at_once(
    store: ContributionStore, name: str, box: PixelBox
) -> None:
    laid_over(store)
    whole, y = store.read(name, box), box.y0
    for band in store.bands(name, box):
        assert (band.box.x0, band.box.x1, band.box.y0) == (box.x0, box.x1, y)
        wanted = whole.cut(band.box)
        np.testing.assert_array_equal(band.numerator, wanted.numerator)
        np.testing.assert_array_equal(band.weight, wanted.weight)
        y = band.box.y1
    assert y == (box.y0 if box.is_empty else box.y1)


def test_bands_are_rows_of_the_parts_that_tiles_are_stored_in(store: ContributionStore) -> None:
    plane = TangentPlane(150.0, 2.0)
    grid = MosaicGrid(0, plane, 0.2, 20.0, 15.0, (400, 1100), (256, 1024))
    given = contribution(PixelBox(300, 200, 1080, 390))
    store.write("large", given, NOWHERE, grid)
    box = PixelBox(480, 100, 1090, 400)
    bands = [
        (band.box.y0, band.numerator.copy(), band.weight.copy())
        for band in store.bands("large", box)
    ]
    wanted = given.cut(box)
    assert [y0 for y0, *_ in bands] == [100, 128, 256, 384]
    for k, stored in enumerate((wanted.numerator, wanted.weight), start=1):
        np.testing.assert_array_equal(np.concatenate([band[k] for band in bands]), stored)


def test_one_laid_over_another_holds_what_differs_and_nothing_else(
    store: ContributionStore,
) -> None:
    stored = laid_over(store, patch(n=2))
    files = [path for path in (store.root / "over").rglob("*") if path.is_file()]
    assert len(files) == 1 + len(stored.patched) <= 3
    assert sum(path.stat().st_size for path in files[1:]) < 1000


def test_its_checksum_is_of_base_and_patch(store: ContributionStore, tmp_path: Path) -> None:
    other = ContributionStore(tmp_path / "other")
    other.write("base", contribution(seed=1), NOWHERE, GRID)
    known = {
        laid_over(store).checksum,
        store.lay_over("less", store.stored("base"), patch(n=49), GRID).checksum,
        store.lay_over("nothing", store.stored("base"), patch(n=0), GRID).checksum,
        other.lay_over("over", other.stored("base"), patch(contribution(seed=1)), GRID).checksum,
        store.stored("base").checksum,
    }
    assert len(known) == 5
    assert store.lay_over("again", store.stored("base"), patch(), GRID).checksum in known


def test_its_patches_tile_by_tile_are_all_that_differs(store: ContributionStore) -> None:
    stored = laid_over(store)
    parts = [store.patch(stored, tile) for tile in GRID.tiles_touching(GRID.box)]
    assert sum(len(part.at) for part in parts) == 50
    assert {part.box for part in parts if len(part.at)} == {
        GRID.tile_box(tile) for tile in stored.patched
    }


@pytest.mark.parametrize("what", ["over/patch", "base/c/0"])
@pytest.mark.parametrize("damage", ["gone", "flip", "cut"])
def test_damage_of_patch_or_base_is_found_and_can_be_mended(
    store: ContributionStore, what: str, damage: str
) -> None:
    stored = laid_over(store)
    path = next(path for path in sorted((store.root / what).rglob("*")) if path.is_file())
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        changed = bytes([*content[:20], content[20] ^ 4, *content[21:]])
        path.write_bytes(changed if damage == "flip" else content[:-3])
    with pytest.raises(DamagedProduct, match=r"contribution over, tile c2/\d\.\d"):
        store.read("over", BOX)
    assert not store.is_whole("over", GRID)
    assert store.is_whole("base", GRID) == what.startswith("over")
    assert laid_over(store) == stored
    assert store.is_whole("over", GRID)


def test_over_another_base_than_it_was_made_for_it_is_not_whole(store: ContributionStore) -> None:
    laid_over(store)
    store.remove("base")
    assert not store.is_whole("over", GRID)
    store.write("base", contribution(seed=1), NOWHERE, GRID)
    assert not store.is_whole("over", GRID)


def test_a_patch_where_the_base_has_no_weight_is_refused(store: ContributionStore) -> None:
    base = store.write("base", BASE, NOWHERE, GRID)
    one = PixelSums(np.ones(1, np.float32), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="beyond the tiles of base"):
        store.lay_over("over", base, Patch(GRID.box, np.array([0]), one, one), GRID)
