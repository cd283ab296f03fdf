"""Few pixels of a contribution made anew: the bits that making all of it anew gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution, merge, merge_chips
from alignsvc.numerics.resampling.patches import (
    ChipInTwoStates,
    Patch,
    PixelSums,
    TurboPatches,
    laid_over,
)
from alignsvc.numerics.resampling.resamplers import RESAMPLERS
from alignsvc.numerics.resampling.resamplers.drizzle import DrizzleResampler

NY, NX = 90, 110
PLAIN, UNSKEWED = DrizzleResampler(), DrizzleResampler().for_templates()


def noise(seed: int) -> CalibratedChip:
    """A chip with bad pixels, which hold what is not a number."""
    rng = np.random.default_rng(seed)
    bad = rng.random((NY, NX)) < 0.01
    pixels = np.where(bad, np.nan, rng.normal(size=(NY, NX))).astype(np.float32)
    weight = np.where(bad, 0, rng.uniform(0.5, 2, (NY, NX))).astype(np.float32)
    return CalibratedChip("HDU 0", pixels, weight, bad, np.zeros_like(bad))


def hit(chip: CalibratedChip, at: np.ndarray, *, is_filled: bool) -> CalibratedChip:
    """The chip with pixels that are bad, or hold something else."""
    pixels, weight, mask = chip.pixels.copy(), chip.weight.copy(), chip.mask.copy()
    pixels.reshape(-1)[at] = 0.25 if is_filled else 0.0
    weight.reshape(-1)[at] = 1.5 if is_filled else 0.0
    mask.reshape(-1)[at] = not is_filled
    return replace(chip, pixels=pixels, weight=weight, mask=mask)


def in_two_states(pixel_map, seed: int, n_hit: int) -> ChipInTwoStates:
    rng = np.random.default_rng(seed + 1000)
    at = rng.permutation(NY * NX)[:n_hit]
    if n_hit > 3:  # the chip's corners, and runs that touch
        at[:4] = 0, NX - 1, NY * NX - 1, NX * (NY - 1)
        at = np.concatenate([at, (at + 1) % (NY * NX)])
    before = noise(seed)
    half = len(at) // 2
    after = hit(hit(before, at[:half], is_filled=True), at[half:], is_filled=False)
    return ChipInTwoStates(before, after, pixel_map, at)


def require_the_whole(resampler, chips, grid) -> None:
    """Require that a patch holds all that differs, as the chips drizzled whole have it."""
    patches = resampler.patches()
    assert patches is not None
    patch = patches(chips, grid)
    before, after = (
        merge_chips([resampler(chip, one.pixel_map, grid) for one, chip in pairs])
        for pairs in ([(one, one.before) for one in chips], [(one, one.after) for one in chips])
    )
    assert patch.box == before.box == after.box
    differs = (before.numerator != after.numerator) | (before.weight != after.weight)
    np.testing.assert_array_equal(patch.at, np.flatnonzero(differs))
    for found, wanted in ((patch.before, before), (patch.after, after)):
        for plane in ("numerator", "weight"):
            values = getattr(wanted, plane)[differs]
            assert getattr(found, plane).tobytes() == values.tobytes()


@pytest.mark.parametrize("resampler", [PLAIN, UNSKEWED, DrizzleResampler(pixfrac=0.6)])
@pytest.mark.parametrize("rotation_deg", [0.0, 20.0, 90.0, 178.0])
@pytest.mark.parametrize("scale_arcsec", [0.09, 0.2, 0.201, 0.45])
def test_the_pixels_that_differ_have_the_bits_of_the_whole(
    resampler, rotation_deg, scale_arcsec, small_sky
):
    pixel_map = small_sky.pixel_map(scale_arcsec, rotation_deg)
    for n_hit in (1, 25, 900):
        require_the_whole(resampler, [in_two_states(pixel_map, n_hit, n_hit)], small_sky.grid)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n_hit=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    offset=st.tuples(st.floats(-150, 150), st.floats(-150, 150)),
    rotation=st.floats(0, 360),
)
def test_chips_that_lie_over_each_other_or_beyond_the_grid_too(
    small_sky, seed, n_hit, offset, rotation
):
    maps = [
        small_sky.pixel_map(0.2, rotation, offset, distortion=2e-4),
        small_sky.pixel_map(0.19, rotation + 5.0, (offset[0] + 20, offset[1] - 60)),
    ]
    chips = [
        in_two_states(m, seed + k, n) for k, (m, n) in enumerate(zip(maps, n_hit, strict=True))
    ]
    require_the_whole(UNSKEWED, chips, small_sky.grid)


def test_only_turbo_drizzle_knows_single_pixels():
    for name in RESAMPLERS.names():
        found = RESAMPLERS.build(name, {}).patches()
        assert isinstance(found, TurboPatches) == (name == "drizzle")
    assert DrizzleResampler(kernel="square").patches() is None


BOX = PixelBox(10, 20, 22, 29)


def exposure(seed: int) -> Contribution:
    rng = np.random.default_rng(seed)
    weight = np.float32(rng.uniform(0.5, 2.0, BOX.shape))
    return Contribution(BOX, weight * np.float32(rng.normal(size=BOX.shape)), weight)


def patch_of(one: Contribution, seed: int, *, n: int = 12) -> Patch:
    rng = np.random.default_rng(seed)
    at = np.sort(rng.permutation(BOX.shape[0] * BOX.shape[1])[:n])
    before = PixelSums(one.numerator.reshape(-1)[at], one.weight.reshape(-1)[at])
    kept = np.float32(rng.random(n) < 0.5)
    return Patch(BOX, at, before, PixelSums(kept * 3 * before.weight, kept * before.weight))


def patched(one: Contribution, patch: Patch) -> Contribution:
    numerator, weight = one.numerator.copy(), one.weight.copy()
    numerator.reshape(-1)[patch.at], weight.reshape(-1)[patch.at] = patch.after
    return Contribution(one.box, numerator, weight)


def test_sums_with_patches_are_those_of_the_patched_exposures_to_rounding():
    whole = [exposure(k) for k in range(4)]
    patches = [patch_of(one, k) for k, one in enumerate(whole)]
    found = laid_over(merge(whole, BOX), patches).sums
    wanted = merge([patched(*pair) for pair in zip(whole, patches, strict=True)], BOX)
    np.testing.assert_allclose(found.weight, wanted.weight, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.numerator, wanted.numerator, rtol=0, atol=1e-14)


def test_where_every_exposure_is_hit_nothing_is_left_at_all():
    whole = [exposure(k) for k in range(3)]
    at = np.arange(5)
    nothing = PixelSums(np.zeros(5, np.float32), np.zeros(5, np.float32))
    patches = [
        Patch(
            BOX, at, PixelSums(one.numerator.reshape(-1)[:5], one.weight.reshape(-1)[:5]), nothing
        )
        for one in whole
    ]
    found = laid_over(merge(whole, BOX), patches).sums
    assert not found.weight.reshape(-1)[:5].any() and not found.numerator.reshape(-1)[:5].any()
    assert (found.weight.reshape(-1)[5:] > 0).all()


def test_patches_taken_off_again_leave_the_bits_that_were_there():
    sums = merge([exposure(k) for k in range(4)], BOX)
    over, under = laid_over(sums, [patch_of(exposure(k), k) for k in range(4)])
    back, _ = laid_over(over, [], under)
    assert back.numerator.tobytes() == sums.numerator.tobytes()
    assert back.weight.tobytes() == sums.weight.tobytes()
    assert over.numerator.tobytes() != sums.numerator.tobytes()


def test_other_patches_in_place_of_some_give_the_bits_of_sums_that_never_had_any():
    whole = [exposure(k) for k in range(4)]
    sums = merge(whole, BOX)
    older, newer = ([patch_of(one, k + n) for k, one in enumerate(whole)] for n in (0, 2))
    once = laid_over(sums, newer)
    again = laid_over(laid_over(sums, older).sums, newer, laid_over(sums, older).under)
    for plane in ("numerator", "weight"):
        assert getattr(again.sums, plane).tobytes() == getattr(once.sums, plane).tobytes()


def test_a_patch_cut_into_boxes_is_all_of_it_once():
    whole = exposure(0)
    patch = patch_of(whole, 3, n=60)
    parts = [PixelBox(x, y, x + 6, y + 5) for x in (6, 12, 18) for y in (18, 23, 28)]
    cut = [patch.cut(box) for box in parts]
    assert sum(len(one.at) for one in cut) == 60
    for one in cut:
        here = patched(whole.cut(one.box), one)
        wanted = patched(whole, patch).cut(one.box)
        np.testing.assert_array_equal(here.weight, wanted.weight)
        np.testing.assert_array_equal(here.numerator, wanted.numerator)
