"""What holds of objects wherever they are kept: on a disk, or in a bucket."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from object_servers import objects_in, s3_bucket
from test_contribution_store import BOX, GRID, NOWHERE, contribution

from alignsvc.domain.grid import TileId
from alignsvc.errors import DamagedProduct, RunStoreError
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.objects import LocalObjects, ObjectStore
from alignsvc.io.stores import content_of
from alignsvc.io.whole_files import replaced
from alignsvc.numerics.resampling.coadd import merge

#: Names that some store, or its URLs, might take for something else.
ODD_NAMES = ("a/b c/ü.txt", "x%2Fy=z~(1)+#&.npz", "a+b", "night-1%2Fj8=0a", "[1]*")

#: The only grid of a mosaic.
PLANE = replace(GRID, component=0, shape=(32, 40))


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_bucket() as name:
        yield name


@pytest.fixture(params=["disk", pytest.param("bucket", marks=pytest.mark.cluster)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "disk":
        yield LocalObjects(tmp_path / "run")
        return
    objects = objects_in(request.getfixturevalue("bucket"))
    yield objects
    objects.delete_below("")


def test_what_is_put_can_be_got(objects: ObjectStore) -> None:
    for name in ODD_NAMES:
        objects.put(name, b"one")
        assert objects.get(name) == b"one"
        objects.put(name, b"two")
        assert objects.get(name) == objects.find(name) == b"two"
        assert objects.exists(name)
    assert objects.list("") == tuple(sorted(ODD_NAMES))


def test_what_was_never_put_is_missing(objects: ObjectStore) -> None:
    assert objects.find("a") is None
    assert not objects.exists("a")
    assert objects.list("") == objects.folders("") == ()
    objects.delete("a")
    objects.delete_below("a/")
    with pytest.raises(RunStoreError, match="a is missing"):
        objects.get("a")
    with pytest.raises(RunStoreError, match="a is missing"):
        objects.copy(objects, "a", "b")


def test_many_are_got_in_the_order_in_which_they_are_wanted(objects: ObjectStore) -> None:
    names = [f"a/{k:02d}" for k in range(40)]
    for name in names:
        objects.put(name, name.encode())
    assert [*objects.get_each(reversed(names))] == [name.encode() for name in reversed(names)]
    contents = objects.get_each(["a/03", "a/missing", "a/04"])
    assert next(contents) == b"a/03"
    with pytest.raises(RunStoreError, match="a/missing is missing"):
        next(contents)


def test_sizes_are_those_of_what_the_list_names(objects: ObjectStore) -> None:
    for n, name in enumerate(ODD_NAMES):
        objects.put(name, b"x" * n)
    assert objects.sizes("") == {name: n for n, name in enumerate(ODD_NAMES)}
    assert tuple(objects.sizes("")) == objects.list("")
    assert objects.sizes("a/") == {ODD_NAMES[0]: 0}
    assert objects.sizes("nothing/") == {}


def test_put_if_absent_keeps_what_is_there(objects: ObjectStore) -> None:
    assert objects.put_if_absent("a", b"first")
    assert not objects.put_if_absent("a", b"second")
    assert not objects.put_if_absent("a", b"first")  # equal, and yet another's
    assert objects.get("a") == b"first"


def test_of_many_who_put_if_absent_one_wins(objects: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: objects.put_if_absent("a", b"%d" % n * 1000), range(32)))
    assert sum(won) == 1
    assert objects.get("a") == b"%d" % won.index(True) * 1000


def test_names_are_listed_in_order_by_prefix(objects: ObjectStore) -> None:
    for name in ("b/2", "b/10", "a", "b/c/1", "bc"):
        objects.put(name, b"")
    assert objects.list("b/") == ("b/10", "b/2", "b/c/1")
    assert objects.list("b") == ("b/10", "b/2", "b/c/1", "bc")
    assert objects.list("b/1") == ("b/10",)
    assert objects.list("none/") == ()
    assert objects.folders("") == ("b",)
    assert objects.folders("b/") == ("c",)


def test_what_is_deleted_is_gone_and_nothing_else(objects: ObjectStore) -> None:
    for name in ("b/2", "b/c/1", "bc", "a"):
        objects.put(name, b"")
    objects.delete("a")
    objects.delete_below("b/")
    assert objects.list("") == ("bc",)
    assert objects.folders("") == ()
    objects.delete_below("")
    assert objects.list("") == ()


def test_a_copy_is_a_thing_of_its_own(objects: ObjectStore) -> None:
    objects.put("a", b"one")
    objects.copy(objects, "a", "b/c")
    objects.put("a", b"two")
    assert objects.get("b/c") == b"one"
    objects.copy(objects, "a", "b/c")
    objects.delete("a")
    assert objects.get("b/c") == b"two"


def test_a_copy_may_come_from_another_store(objects: ObjectStore, tmp_path: Path) -> None:
    other = LocalObjects(tmp_path / "other")
    other.put("a", b"one")
    objects.copy(other, "a", "b")
    other.copy(objects, "b", "c")
    assert objects.get("b") == other.get("c") == b"one"


@pytest.mark.parametrize("name", ["", "/a", "..", "a/../../b", "a//b", "a/", "a\\b", "a\nb"])
def test_no_name_leads_elsewhere(objects: ObjectStore, name: str) -> None:
    for use in (objects.get, objects.exists, objects.delete, lambda name: objects.put(name, b"")):
        with pytest.raises(RunStoreError, match="no name for an object"):
            use(name)


def test_objects_are_sent_to_workers(objects: ObjectStore) -> None:
    objects.put("a", b"one")
    there = pickle.loads(pickle.dumps(objects))  # noqa: S301
    assert there == objects and there.get("a") == b"one"


def test_a_file_written_anyhow_appears_whole(objects: ObjectStore) -> None:
    place = objects.root / "wcs" / "a.fits"  # type: ignore[attr-defined]
    with replaced(place) as out:
        out.seek(3)
        out.write(b"def")
        out.seek(0)
        out.write(b"abc")
        assert objects.list("") == ()
    assert content_of(place) == objects.get("wcs/a.fits") == b"abcdef"
    with pytest.raises(ZeroDivisionError), replaced(place) as out:
        out.write(b"x")
        raise ZeroDivisionError
    assert objects.get("wcs/a.fits") == b"abcdef"


def test_contributions_and_mosaics_are_kept_there(objects: ObjectStore) -> None:
    root = objects.root  # type: ignore[attr-defined]
    kept, mosaics = ContributionStore(root / "contributions"), MosaicStore(root / "mosaic.zarr")
    one = contribution()
    assert kept.write("a1", one, NOWHERE, GRID) == kept.stored("a1")
    np.testing.assert_array_equal(kept.read("a1", BOX).weight, one.weight)
    for generation in (1, 2):
        mosaics.create(generation, [PLANE])
    tiles = list(PLANE.tiles())
    first = kept.read("a1", PLANE.tile_box(tiles[0]))
    for tile in tiles:
        mosaics.write_tile(1, tile, kept.read("a1", PLANE.tile_box(tile)))
        mosaics.link_tile(1, 2, tile)
    mosaics.publish(2)
    mosaics.remove(1)
    assert mosaics.generations() == (2,) and mosaics.current() == 2
    np.testing.assert_array_equal(mosaics.read_tile(2, tiles[0]).weight, first.weight)
    kept.remove("a1")
    assert kept.names() == ()


def test_a_flipped_bit_is_named_wherever_it_is(objects: ObjectStore) -> None:
    mosaics = MosaicStore(objects.root / "mosaic.zarr")  # type: ignore[attr-defined]
    mosaics.create(1, [PLANE])
    tile = next(iter(PLANE.tiles()))
    mosaics.write_tile(1, tile, contribution(PLANE.box).cut(PLANE.tile_box(tile)))
    name = next(n for n in objects.list("") if "/weight/c/" in n)
    raw = bytearray(objects.get(name))
    raw[len(raw) // 2] ^= 1
    objects.put(name, bytes(raw))
    with pytest.raises(DamagedProduct, match=r"generation 1, tile c\d/0\.0: \S+/weight/c/0/0 is d"):
        mosaics.read_tile(1, tile)
    objects.delete(name)
    with pytest.raises(DamagedProduct, match=r"/weight/c/0/0 is missing"):
        mosaics.read_tile(1, tile)
    assert not mosaics.has_tile(1, TileId(tile.component, 0, 0))


def test_chunks_and_contributions_come_in_the_order_in_which_they_are_wanted(
    objects: ObjectStore,
) -> None:
    kept = ContributionStore(objects.root / "contributions")  # type: ignore[attr-defined]
    keys = [f"a{seed}" for seed in range(7)]
    given = [contribution(seed=seed) for seed in range(7)]
    stored = [kept.write(key, one, NOWHERE, GRID) for key, one in zip(keys, given, strict=True)]
    # The order is in the bits of the sum.
    found, wanted = merge(kept.read_each(stored, BOX), BOX), merge(given, BOX)
    np.testing.assert_array_equal(found.numerator, wanted.numerator)
    np.testing.assert_array_equal(found.weight, wanted.weight)
    kept.remove("a3")
    read = kept.read_each(stored, BOX)
    n_parts = len([*kept.read_each(stored[:3], BOX)])
    assert len([next(read) for _ in range(n_parts)]) == n_parts
    with pytest.raises(DamagedProduct, match=r"contribution a3, tile .* is missing"):
        next(read)


def test_several_are_done_at_once_in_a_bucket_only(objects: ObjectStore) -> None:
    here = threading.get_ident()
    threads = set(objects.each(lambda _: threading.get_ident(), range(8), 4))
    assert (threads == {here}) is isinstance(objects, LocalObjects)
    assert [*objects.each(str, range(5), 2)] == ["0", "1", "2", "3", "4"]
