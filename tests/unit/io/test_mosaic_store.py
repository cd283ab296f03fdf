"""The mosaic on disk: whole tiles, nothing read that was not written, one pointer."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from astropy.io import fits
from astropy.wcs import WCS
from mosaic_samples import mosaic_facts

from alignsvc.domain.geometry import PixelBox, Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import ResourceError, RunStoreError
from alignsvc.io.file_errors import explained
from alignsvc.io.mosaic_fits import MosaicSource, export_mosaic
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.numerics.resampling.coadd import Contribution

GRID = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.2, 20.0, 15.0, (30, 45), (16, 20))
LAST = TileId(0, 1, 2)


def sums(box: PixelBox, seed: int = 0) -> Contribution:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(1.0, 2.0, box.shape)
    return Contribution(box, weight * rng.normal(size=box.shape), weight)


def filled(root: Path, generation: int = 1, *, whole: Contribution | None = None) -> MosaicStore:
    """Return a store whose generation has all tiles of `whole`."""
    store = MosaicStore(root / "mosaic.zarr")
    whole = sums(GRID.box) if whole is None else whole
    store.create(generation, [GRID])
    for tile in GRID.tiles():
        store.write_tile(generation, tile, whole.cut(GRID.tile_box(tile)))
    return store


def chunk(store: MosaicStore, generation: int, plane: str, tile: TileId) -> Path:
    name = f"generation-{generation:04d}"
    return store.root / name / f"c{tile.component}" / plane / "c" / f"{tile.row}" / f"{tile.column}"


@pytest.mark.parametrize(
    "box", [GRID.box, PixelBox(3, 4, 5, 6), PixelBox(15, 10, 41, 29), PixelBox(40, 20, 99, 99)]
)
def test_what_was_written_is_read_over_tile_borders(tmp_path: Path, box: PixelBox) -> None:
    store = filled(tmp_path)
    found = store.read(1, 0, box)
    wanted = sums(GRID.box).cut(box.intersect(GRID.box))
    assert found.box == wanted.box
    assert found.numerator.dtype == np.float64
    np.testing.assert_array_equal(found.numerator, wanted.numerator)
    np.testing.assert_array_equal(found.weight, wanted.weight)


def test_a_tile_of_zeros_is_written_too(tmp_path: Path) -> None:
    store = filled(tmp_path, whole=Contribution.empty(GRID.box))
    assert store.has_tile(1, LAST)
    assert store.read_tile(1, LAST).is_empty


def test_a_tile_that_was_not_written_is_named(tmp_path: Path) -> None:
    store = MosaicStore(tmp_path)
    store.create(1, [GRID])
    store.write_tile(1, TileId(0, 0, 0), sums(GRID.tile_box(TileId(0, 0, 0))))
    assert store.read(1, 0, PixelBox(0, 0, 20, 16)).weight.all()
    with pytest.raises(RunStoreError, match=r"tile c0/0\.1.*missing"):
        store.read(1, 0, PixelBox(0, 0, 21, 16))


@pytest.mark.parametrize("plane", ["numerator", "weight"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_tile_is_named(tmp_path: Path, plane: str, damage: str) -> None:
    store = filled(tmp_path)
    path = chunk(store, 1, plane, LAST)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    end = {"flip": None, "cut": 50, "empty": 0}[damage]
    path.write_bytes(content[:end])
    with pytest.raises(RunStoreError, match=r"tile c0/1\.2.*damaged"):
        store.read_tile(1, LAST)


@pytest.mark.parametrize("tile", [TileId(0, 0, 0), LAST], ids=["whole", "cut by the grid's end"])
def test_a_damaged_tile_is_mended_by_writing_it_again(tmp_path: Path, tile: TileId) -> None:
    store = filled(tmp_path)
    chunk(store, 1, "weight", tile).write_bytes(b"damage")
    wanted = sums(GRID.tile_box(tile), 4)
    store.write_tile(1, tile, wanted)
    np.testing.assert_array_equal(store.read_tile(1, tile).weight, wanted.weight)


def test_a_tile_is_what_its_checksum_says(tmp_path: Path) -> None:
    store = filled(tmp_path)
    checksum = store.write_tile(1, LAST, sums(GRID.tile_box(LAST), 7))
    assert checksum == store.checksum(1, LAST)
    assert store.is_tile(1, LAST, checksum)
    store.write_tile(1, LAST, sums(GRID.tile_box(LAST), 8))
    assert not store.is_tile(1, LAST, checksum)


def test_a_tile_of_the_wrong_size_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with pytest.raises(ValueError, match="has shape"):
        store.write_tile(1, LAST, sums(PixelBox(0, 0, 20, 16)))


def test_a_generation_is_created_once_with_its_grids(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.create(1, [GRID])  # again, as after a kill
    assert store.grids(1) == (GRID,)
    assert store.has_tile(1, LAST)
    other = MosaicGrid(0, GRID.plane, 0.3, 20.0, 15.0, (30, 45), (16, 20))
    with pytest.raises(RunStoreError, match="other grids"):
        store.create(1, [other])
    with pytest.raises(RunStoreError, match="no generation-0009"):
        store.grids(9)


def test_components_are_kept_apart(tmp_path: Path) -> None:
    store = MosaicStore(tmp_path)
    second = MosaicGrid(1, TangentPlane(10.0, 1 / 3), 0.1, 0.5, 0.25, (8, 8), (8, 8))
    store.create(1, [GRID, second])
    assert store.grids(1) == (GRID, second)
    store.write_tile(1, TileId(1, 0, 0), sums(second.box))
    assert store.has_tile(1, TileId(1, 0, 0))
    assert not store.has_tile(1, TileId(0, 0, 0))


def test_only_a_whole_generation_is_published(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert store.current() is None
    chunk(store, 1, "weight", LAST).unlink()
    with pytest.raises(RunStoreError, match=r"tile c0/1\.2"):
        store.publish(1)
    assert store.current() is None
    store.write_tile(1, LAST, sums(GRID.tile_box(LAST)))
    store.publish(1)
    assert store.current() == 1


def test_the_pointer_moves_and_the_old_generation_goes(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.publish(1)
    filled(tmp_path, 2)
    with pytest.raises(RunStoreError, match="is the current one"):
        store.remove(1)
    store.publish(2)
    store.remove(1)
    store.remove(1)
    assert store.current() == 2
    assert store.generations() == (2,)
    assert store.read_tile(2, LAST).weight.all()


def test_a_linked_tile_shares_bytes_and_not_fate(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.create(2, [GRID])
    store.write_tile(2, LAST, sums(GRID.tile_box(LAST), 9))
    for tile in GRID.tiles():
        store.link_tile(1, 2, tile)
        store.link_tile(1, 2, tile)  # again, as after a kill
    assert chunk(store, 2, "weight", LAST).samefile(chunk(store, 1, "weight", LAST))
    before = store.read_tile(1, LAST)
    store.write_tile(2, LAST, sums(GRID.tile_box(LAST), 9))
    np.testing.assert_array_equal(store.read_tile(1, LAST).weight, before.weight)
    store.publish(2)
    store.remove(1)
    np.testing.assert_array_equal(
        store.read_tile(2, TileId(0, 0, 0)).weight,
        sums(GRID.box).cut(GRID.tile_box(TileId(0, 0, 0))).weight,
    )


def test_tiles_are_copied_where_links_are_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    store = filled(tmp_path)
    store.create(2, [GRID])
    monkeypatch.setattr("os.link", no_links)
    store.link_tile(1, 2, LAST)
    monkeypatch.undo()
    assert not chunk(store, 2, "weight", LAST).samefile(chunk(store, 1, "weight", LAST))
    np.testing.assert_array_equal(store.read_tile(2, LAST).weight, store.read_tile(1, LAST).weight)


def test_a_tile_that_is_not_there_cannot_be_linked(tmp_path: Path) -> None:
    store = MosaicStore(tmp_path)
    store.create(1, [GRID])
    store.create(2, [GRID])
    with pytest.raises(RunStoreError, match=r"generation 1, tile c0/1\.2"):
        store.link_tile(1, 2, LAST)


@pytest.mark.parametrize("shape", [GRID.shape, (1 << 16, 1 << 17)])
def test_the_largest_id_of_a_source_is_kept(tmp_path: Path, shape: tuple[int, int]) -> None:
    grid = replace(GRID, shape=shape)
    store, tile = MosaicStore(tmp_path / "mosaic.zarr"), next(iter(grid.tiles()))
    store.create(1, [grid])
    box = grid.tile_box(tile)
    labels = np.full(box.shape, math.prod(shape), np.int64)
    store.write_segmentation(1, tile, labels)
    found = store.read_segmentation(1, 0, box)
    np.testing.assert_array_equal(found, labels)
    assert found.dtype == (np.int32 if math.prod(shape) < 1 << 31 else np.int64)
    with pytest.raises(ValueError, match=r"c0/0\.0: an id is above"):
        store.write_segmentation(1, tile, labels + 1)


def test_segmentation_is_linked_with_its_tile(tmp_path: Path) -> None:
    store = filled(tmp_path)
    store.create(2, [GRID])
    labels = np.full(GRID.tile_box(LAST).shape, 7, np.int64)
    store.write_segmentation(1, LAST, labels)
    store.link_tile(1, 2, LAST)
    box = PixelBox(41, 17, 45, 20)
    assert (store.read_segmentation(2, 0, box) == 7).all()
    with pytest.raises(RunStoreError, match=r"tile c0/0\.0"):
        store.read_segmentation(2, 0, GRID.box)


def test_anyone_can_open_it_as_zarr(tmp_path: Path) -> None:
    store = filled(tmp_path)
    group = zarr.open_group(store.root, mode="r")
    array = group["generation-0001/c0/weight"]
    np.testing.assert_array_equal(array[:], sums(GRID.box).weight)


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_mosaic_store import GRID, sums
from alignsvc.io.mosaic_store import MosaicStore
store = MosaicStore(Path(sys.argv[2]))
for tile in list(GRID.tiles())[int(sys.argv[3])::2] * 3:
    store.write_tile(1, tile, sums(GRID.box).cut(GRID.tile_box(tile)))
"""


def test_processes_write_different_tiles_at_the_same_time(tmp_path: Path) -> None:
    store = MosaicStore(tmp_path / "m")
    store.create(1, [GRID])
    here = str(Path(__file__).parent)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, here, str(store.root), str(k)])
        for k in range(2)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    np.testing.assert_array_equal(store.read(1, 0, GRID.box).weight, sums(GRID.box).weight)


def test_zarrs_own_settings_stay_as_they_were(tmp_path: Path) -> None:
    before = dict(zarr.config.config)
    filled(tmp_path).read_tile(1, LAST)
    assert dict(zarr.config.config) == before


def test_a_full_disk_says_so() -> None:
    with pytest.raises(ResourceError, match="disk is full"), explained("there"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "plane", [TangentPlane(150.0, 2.0), TangentPlane(0.0, 90.0), TangentPlane(33.0, -90.0)]
)
def test_the_exported_file_holds_the_mosaic_and_its_wcs(
    tmp_path: Path, plane: TangentPlane
) -> None:
    grid = MosaicGrid(0, plane, 0.2, 20.25, 15.0, (30, 45), (16, 20))
    whole = sums(grid.box)
    weight = whole.weight.copy()
    weight[3:5, 6:9] = 0.0
    whole = Contribution(grid.box, np.where(weight > 0, whole.numerator, 0.0), weight)
    store = MosaicStore(tmp_path / "m")
    store.create(1, [grid])
    for tile in grid.tiles():
        store.write_tile(1, tile, whole.cut(grid.tile_box(tile)))
    path = tmp_path / "out" / "mosaic.fits"
    source = MosaicSource(store, 1, 0)
    export_mosaic(source, mosaic_facts(), path)
    export_mosaic(source, mosaic_facts(), path)  # over what is there
    assert [file.name for file in path.parent.iterdir()] == ["mosaic.fits"]
    with fits.open(path) as hdus:
        hdus.verify("exception")
        assert [hdu.name for hdu in hdus] == ["SCI", "WEIGHT", "INPUTS"]
        value = hdus[0].data
        assert value.dtype == np.dtype(">f4")
        np.testing.assert_array_equal(np.isnan(value), weight == 0)
        np.testing.assert_allclose(
            value[weight > 0],
            (whole.numerator / np.where(weight > 0, weight, 1))[weight > 0],
            rtol=1e-6,
        )
        np.testing.assert_allclose(hdus["WEIGHT"].data, weight, rtol=1e-6)
        points = Points(np.array([0.0, 44.0, 13.3]), np.array([0.0, 29.0, 7.7]))
        wanted = grid.sky_from_pixel(points)
        for hdu in hdus[:2]:
            ra, dec = WCS(hdu.header).all_pix2world(points.x, points.y, 0)
            np.testing.assert_allclose(dec, wanted.dec, rtol=0, atol=1e-11)
            turn = np.mod(ra - wanted.ra + 180.0, 360.0) - 180.0
            np.testing.assert_allclose(turn * np.cos(np.radians(dec)), 0.0, atol=1e-11)


@pytest.mark.parametrize("most_pixels", [1, 700])  # a tile at a time, and two
def test_the_exported_file_is_the_same_however_little_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_pixels: int
) -> None:
    source = MosaicSource(filled(tmp_path / "m", 1), 1, GRID.component)
    export_mosaic(source, mosaic_facts(), tmp_path / "at_once.fits")
    monkeypatch.setattr("alignsvc.io.mosaic_fits._MOST_PIXELS", most_pixels)
    export_mosaic(source, mosaic_facts(), tmp_path / "in_pieces.fits")
    found, wanted = ((tmp_path / f"{name}.fits").read_bytes() for name in ("in_pieces", "at_once"))
    assert found == wanted


def test_an_adopted_generation_shares_bytes_and_leaves_the_other_store_as_it_is(
    tmp_path: Path,
) -> None:
    other = filled(tmp_path / "there", 7)
    for tile in GRID.tiles():
        other.write_segmentation(7, tile, np.ones(GRID.tile_box(tile).shape, np.int64))
    before = {path: path.read_bytes() for path in other.root.rglob("*") if path.is_file()}
    store = MosaicStore(tmp_path / "here" / "mosaic.zarr")
    store.adopt(other, 7, 0)
    store.adopt(other, 7, 0)  # as a driver does that died and comes again
    assert store.current() is None
    assert chunk(store, 0, "weight", LAST).samefile(chunk(other, 7, "weight", LAST))
    assert not store.has_segmentation(0, LAST)
    store.write_tile(0, LAST, sums(GRID.tile_box(LAST), seed=9))
    assert {path: path.read_bytes() for path in before} == before


def test_a_generation_half_made_or_half_removed_does_not_exist_and_goes(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    store.create(2, [GRID])
    for generation in (1, 2):
        (store.root / f"generation-000{generation}" / "zarr.json").unlink()
    assert store.generations() == ()
    store.create(2, [GRID])  # nothing that was there before counts
    assert store.generations() == (2,) and not store.has_tile(2, LAST)
    store.remove_partial()
    assert sorted(path.name for path in store.root.glob("gen*")) == ["generation-0002"]


def test_a_tile_of_an_adopted_generation_may_get_another_place(tmp_path: Path) -> None:
    store = MosaicStore(tmp_path / "here" / "mosaic.zarr")
    store.adopt(filled(tmp_path / "there"), 1, 0)
    nx = GRID.tile_shape[1]
    larger = replace(GRID, component=0, origin_x=GRID.origin_x + nx, shape=(30, 45 + nx))
    store.create(1, [larger])
    there, here = TileId(0, 1, 1), TileId(0, 1, 2)
    store.link_earlier(0, there, 1, here)
    found, wanted = store.read_tile(1, here), store.read_tile(0, there)
    np.testing.assert_array_equal(found.weight, wanted.weight)
    assert store.checksum(1, here) == store.checksum(0, there)
    assert not store.read_segmentation(1, 0, larger.tile_box(here)).any()
    with pytest.raises(RunStoreError, match="numerator is missing"):
        store.link_earlier(0, TileId(0, 5, 5), 1, here)
