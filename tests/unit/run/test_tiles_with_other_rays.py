"""A tile whose exposures got other rays is not summed anew, and has the bits as if it were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from others_by_subtraction import leave_one_out

from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.io.contribution_store import ContributionStore
from alignsvc.io.sums_under import SumsUnder
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.resampling.patches import Patch, PixelSums
from alignsvc.tasks.merge import MergeTask, Part, TileWithOtherRays, mosaic_store
from alignsvc.tasks.resample import contribution_store

GRID = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.2, 20.0, 15.0, (60, 95), (32, 40))
BOX = PixelBox(5, 3, 90, 57)
TILE = TileId(0, 0, 1)
NOWHERE = np.zeros((0, 2), np.int64)
N = 4


def exposure(k: int) -> Contribution:
    rng = np.random.default_rng(k)
    weight = rng.uniform(0.5, 2.0, BOX.shape).astype(np.float32)
    return Contribution(BOX, weight * rng.normal(size=BOX.shape).astype(np.float32), weight)


def rays(k: int, seed: int) -> Patch:
    one, rng = exposure(k), np.random.default_rng([k, seed])
    at = np.sort(rng.permutation(one.weight.size)[:200])
    kept = np.float32(rng.random(200) < 0.3)
    before = PixelSums(one.numerator.reshape(-1)[at], one.weight.reshape(-1)[at])
    return Patch(BOX, at, before, PixelSums(kept * 2, kept * before.weight))


def contributions(store: ContributionStore, seed: int | None) -> tuple[Part, ...]:
    """Exposures with rays of a seed, but for the last one, which never has any."""
    parts = []
    for k in range(N):
        base = store.write(f"base{k}", exposure(k), NOWHERE, GRID)
        if seed is not None and k < N - 1:
            base = store.lay_over(f"over{k}-{seed}", base, rays(k, seed), GRID)
        parts.append(Part(base.name, base.checksum))
    return tuple(parts)


def merged(run: Path, generation: int, seed: int | None, known: TileWithOtherRays | None) -> str:
    parts = contributions(contribution_store(run), seed)
    mosaic_store(run).create(generation, [GRID])
    return MergeTask(run, GRID, TILE, parts, generation, other_rays=known)().checksum


def nothing_is_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a contribution was read")

    monkeypatch.setattr(ContributionStore, "read_each", never)


@pytest.mark.parametrize(("before", "after"), [(None, 2), (1, 2), (1, None)])
def test_the_bits_are_those_of_a_tile_summed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int | None, after: int | None
) -> None:
    wanted = merged(tmp_path / "anew", 1, after, None)
    first = merged(tmp_path / "run", 1, before, None)
    parts = TileWithOtherRays(1, first, is_patched=before is not None)
    contributions(contribution_store(tmp_path / "run"), after)
    nothing_is_summed(monkeypatch)
    assert merged(tmp_path / "run", 2, after, parts) == wanted != first
    # And so once more, from what the second has left.
    again = TileWithOtherRays(2, wanted, is_patched=after is not None)
    contributions(contribution_store(tmp_path / "run"), before)
    assert merged(tmp_path / "run", 3, before, again) == first


@pytest.mark.parametrize("what", ["c0/weight/under", "c0/numerator/c", "c0/weight/c"])
@pytest.mark.parametrize("damage", ["gone", "flip", "cut"])
def test_damage_of_what_there_was_costs_work_and_no_bit(
    tmp_path: Path, what: str, damage: str
) -> None:
    wanted = merged(tmp_path / "anew", 1, 2, None)
    known = TileWithOtherRays(1, merged(tmp_path, 1, 1, None), is_patched=True)
    folder = tmp_path / "mosaic.zarr/generation-0001" / what
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        changed = bytes([*content[:40], content[40] ^ 4, *content[41:]])
        path.write_bytes(changed if damage == "flip" else content[:-5])
    assert merged(tmp_path, 2, 2, known) == wanted


def test_what_was_kept_of_another_tile_is_not_believed(tmp_path: Path) -> None:
    checksum = merged(tmp_path, 1, 1, None)
    under = SumsUnder(mosaic_store(tmp_path))
    assert under.find(1, TILE, checksum) is not None
    assert under.find(1, TILE, checksum[::-1]) is None
    assert under.find(1, TileId(0, 0, 0), checksum) is None
    mosaic_store(tmp_path).remove(1)
    assert under.find(1, TILE, checksum) is None


def test_leaving_one_out_leaves_the_others_without_their_rays(tmp_path: Path) -> None:
    merged(tmp_path, 1, 1, None)
    store, box = contribution_store(tmp_path), GRID.tile_box(TILE)
    total = mosaic_store(tmp_path).read_tile(1, TILE)
    own = [store.read(part.name, box) for part in contributions(store, 1)]
    left = leave_one_out(total, own[0])
    weight = sum(one.weight.astype(float) for one in own[1:])
    numerator = sum(one.numerator.astype(float) for one in own[1:])
    np.testing.assert_allclose(left.weight, weight, rtol=1e-6)
    np.testing.assert_allclose(left.numerator, numerator, rtol=1e-6, atol=1e-7)
    assert ((left.weight == 0) == (weight == 0)).all()
