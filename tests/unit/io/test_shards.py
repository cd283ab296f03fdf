"""Tiles in parts: what was packed is read, by anyone; no bit of it can change unseen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec

from alignsvc.errors import DamagedProduct
from alignsvc.io.objects import LocalObjects
from alignsvc.io.open_objects import ContentAtHand
from alignsvc.io.shards import OpenShard, PartRoom, Shards, part_of
from alignsvc.io.tiled_arrays import OpenTiles, Piece, TiledArray

SHARDS = Shards(2, (24, 30), (8, 15), np.dtype("<f4"))
WHOLE = (slice(0, 24), slice(0, 30))


def planes(seed: int = 0) -> list[NDArray[np.float32]]:
    """Return noise with holes, and smooth weights."""
    rng = np.random.default_rng(seed)
    weight = np.full((24, 30), 2.5, np.float32)
    weight[:9], weight[:, 20:] = 0, 0
    noise = rng.normal(size=(24, 30)).astype(np.float32) * (weight > 0)
    return [noise, weight]


def opened(content: bytes) -> OpenShard:
    stored = ContentAtHand(content)
    return OpenShard(SHARDS, stored, PartRoom(SHARDS))


def pixels(shard: OpenShard, within: tuple[slice, slice] = WHOLE) -> NDArray[np.float32]:
    """Return the parts of all planes in their places; -1 where none lies."""
    found = np.full((2, 24, 30), -1, np.float32)
    for part in shard.parts(within):
        for k, one in enumerate(part.planes):
            found[k, *part.within] = 0 if one is None else one
    return found


@pytest.mark.parametrize("noise", [(), (0,), (0, 1)])
def test_what_was_packed_is_read(noise: tuple[int, ...]) -> None:
    content, checksum, is_empty = SHARDS.packed(planes(), WHOLE, noise)
    shard = opened(b"".join(content))
    np.testing.assert_array_equal(pixels(shard), planes())
    assert shard.checksum() == checksum and not is_empty


def test_only_parts_that_are_wanted_are_read() -> None:
    content = b"".join(SHARDS.packed(planes(), WHOLE, ()).content)
    found = pixels(opened(content), (slice(8, 9), slice(14, 15)))
    np.testing.assert_array_equal(found[:, 8:16, :15], np.stack(planes())[:, 8:16, :15])
    found[:, 8:16, :15] = -1
    assert (found == -1).all()


def test_parts_of_zeros_take_no_room() -> None:
    nothing = [np.zeros((24, 30), np.float32)] * 2
    packed = SHARDS.packed(nothing, WHOLE, ())
    assert packed.is_empty and sum(map(len, packed.content)) == 2 * 3 * 2 * 16 + 4
    assert not pixels(opened(b"".join(packed.content))).any()


def test_what_is_not_covered_is_zero() -> None:
    within = (slice(5, 20), slice(2, 29))
    packed = SHARDS.packed([plane[within] for plane in planes()], within, (0,))
    wanted = np.zeros((2, 24, 30), np.float32)
    wanted[:, *within] = np.stack(planes())[:, *within]
    np.testing.assert_array_equal(pixels(opened(b"".join(packed.content))), wanted)


@settings(max_examples=200)
@given(st.data())
def test_a_change_of_any_byte_is_seen(data: st.DataObject) -> None:
    content = bytearray(b"".join(SHARDS.packed(planes(), WHOLE, (0,)).content))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"checksum|a part of"):
        pixels(opened(bytes(content)))
    with pytest.raises(ValueError, match=r"checksum|a part of"):
        opened(bytes(content)).checksum()


@pytest.mark.parametrize("length", [0, 3, 100, 195, 196, -1])
def test_what_is_cut_short_is_seen(length: int) -> None:
    content = b"".join(SHARDS.packed(planes(), WHOLE, (0,)).content)
    with pytest.raises(ValueError, match=r"checksum|bytes"):
        pixels(opened(content[:length]))


def test_a_tile_of_another_array_is_seen() -> None:
    other = Shards(2, (24, 30), (8, 15), np.dtype("<f8"))
    content = b"".join(other.packed([p.astype(float) for p in planes()], WHOLE, ()).content)
    with pytest.raises(ValueError, match=r"\w"):
        pixels(opened(content))


def test_the_checksum_is_of_the_pixels() -> None:
    sums = {SHARDS.packed(planes(seed), WHOLE, ()).checksum for seed in (0, 1, 1)}
    first, second = planes()
    assert len(sums) == 2 and SHARDS.packed([second, first], WHOLE, ()).checksum not in sums


@pytest.mark.parametrize(
    ("tile", "part"),
    [
        ((1024, 1024), (128, 512)),
        ((16, 20), (16, 20)),
        ((1000, 3000), (125, 500)),
        ((1009, 1009), (1009, 1009)),
    ],
)
def test_parts_fit_into_a_cache_and_divide_the_tile(
    tile: tuple[int, int], part: tuple[int, int]
) -> None:
    assert part_of(tile) == part
    assert not any(size % of for size, of in zip(tile, part, strict=True))


def stored(root: Path, shape: tuple[int, ...], tile: tuple[int, int], dtype: str) -> OpenTiles:
    array = TiledArray(LocalObjects(root, is_scratch=True), "array")
    array.create(shape, tile, dtype)
    return array.opened()


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(), (1,), (3,)]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 25), st.integers(1, 25)),
    st.sampled_from(["float32", "float64", "int32", "int64"]),
    st.integers(0, 99),
)
def test_zarr_reads_what_is_written(
    tmp_path_factory: pytest.TempPathFactory,
    n: tuple[int, ...],
    shape: tuple[int, int],
    tile: tuple[int, int],
    dtype: str,
    seed: int,
) -> None:
    whole = np.random.default_rng(seed).integers(0, 3, (*n, *shape)).astype(dtype)
    root = tmp_path_factory.mktemp("zarr")
    tiles = stored(root, whole.shape, tile, dtype)
    (ny, nx), lead = tile, (0,) * len(n)
    for y, x in np.ndindex(-(-shape[0] // ny), -(-shape[1] // nx)):
        cut = whole[..., y * ny : (y + 1) * ny, x * nx : (x + 1) * nx]
        within = (slice(0, cut.shape[-2]), slice(0, cut.shape[-1]))
        tiles.write(Piece((*lead, y, x), within), cut.reshape(-1, *cut.shape[-2:]))
    array = zarr.open_array(root / "array", mode="r")
    assert array.dtype == dtype
    np.testing.assert_array_equal(array[...], whole)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("planes", [(), (2,)])
def test_arrays_are_described_as_zarr_describes_them(
    tmp_path: Path, planes: tuple[int, ...], dtype: str
) -> None:
    stored(tmp_path, (*planes, 600, 1500), (512, 1024), dtype)
    codecs: list[BytesBytesCodec] = [BloscCodec(cname="lz4", shuffle="shuffle"), Crc32cCodec()]
    zarr.create_array(
        tmp_path / "by zarr",
        shape=(*planes, 600, 1500),
        shards=(*planes, 512, 1024),
        chunks=(*(1 for _ in planes), *part_of((512, 1024))),
        dtype=dtype,
        compressors=codecs,
        fill_value=0,
    )
    ours, theirs = (
        json.loads((tmp_path / name / "zarr.json").read_text()) for name in ("array", "by zarr")
    )
    assert ours == theirs


def test_a_piece_that_is_no_part_of_its_chunk_is_refused(tmp_path: Path) -> None:
    tiles = stored(tmp_path, (20, 30), (16, 16), "float32")
    with pytest.raises(ValueError, match=r"chunk \(1, 1\) has shape \(4, 14\)"):
        tiles.write(Piece((1, 1), (slice(0, 5), slice(0, 14))), [np.zeros((5, 14), np.float32)])
    with pytest.raises(ValueError, match="has shape"):
        tiles.write(Piece((0, 0), (slice(0, 16), slice(0, 16))), [np.zeros((16, 15), np.float32)])


def test_a_file_that_gets_shorter_while_it_is_read_is_an_error_not_zeros(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.put("a", bytes(range(100)))
    one = objects.opened("a")
    assert one is not None and one.size == 100
    room = np.zeros(10, np.uint8)
    one.read_into(room, 90)
    assert room.tolist() == [*range(90, 100)]
    (tmp_path / "a").write_bytes(b"short")
    with pytest.raises(ValueError, match="it became shorter"):
        one.read_into(room, 90)
    one.close()
    one.close()
    assert objects.opened("b") is None


def test_an_array_with_other_codecs_is_not_guessed_at(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "array", shape=(8, 8), chunks=(4, 4), dtype="float32")
    with pytest.raises(DamagedProduct, match=r"array/zarr\.json is damaged"):
        TiledArray(LocalObjects(tmp_path), "array").opened()
