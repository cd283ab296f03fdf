"""What is taken off a chip before it is drizzled: strip by strip, the bits of the plain formula."""

from __future__ import annotations

import numpy as np
import pytest

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.phase_skew import skew_of_phases

AHEAD = np.array([-13.0, 8.0, -1.0], np.float32) / 8


def plainly(chip: CalibratedChip, positions: FloatArray, turn: FloatArray) -> Float32Array:
    """The same of a whole chip, each step over all of it."""
    found = np.zeros(chip.shape, np.float32)
    good = chip.weight > 0
    for chip_axis in (0, 1):
        along = turn[:, chip_axis]
        grid_axis = int(np.abs(along).argmax())
        change = max(abs(abs(along[grid_axis]) - 1.0), abs(along[1 - grid_axis]))
        strength = max(0.0, 1.0 - change / 0.1)
        if strength:
            phase = (positions[grid_axis] % 1.0).astype(np.float32)
            sense = np.float32(-np.sign(along[grid_axis]) * strength / 6.0)
            moment = sense * phase * (1 - phase) * (1 - 2 * phase)
            found += moment * third_difference(chip.pixels, good, 1 - chip_axis)
    return found


def third_difference(pixels: Float32Array, good: BoolArray, axis: int) -> Float32Array:
    """Zero within three pixels of the chip's ends and of a bad pixel."""
    n = pixels.shape[axis]
    found = np.zeros(pixels.shape, np.float32)
    for middle in range(3, n - 3):
        at = [slice(None)] * 2
        at[axis] = slice(middle - 3, middle + 4)
        part, sound = np.moveaxis(pixels[tuple(at)], axis, 0), good[tuple(at)].all(axis=axis)
        total = np.zeros(sound.shape, np.float32)
        for distance, coefficient in enumerate(AHEAD, start=1):
            total += coefficient * (part[3 + distance] - part[3 - distance])
        at[axis] = middle
        found[tuple(at)] = np.where(sound, total, np.float32(0))
    return found


def chip_with_holes(shape: tuple[int, int], part_bad: float) -> CalibratedChip:
    """Noise; bad pixels hold what is not a number, or anything."""
    rng = np.random.default_rng(5)
    pixels = rng.normal(size=shape).astype(np.float32)
    bad = rng.random(shape) < part_bad
    pixels[bad & (rng.random(shape) < 0.5)] = np.nan
    weight = np.where(bad, 0, 1).astype(np.float32)
    return CalibratedChip("HDU 0", pixels, weight, bad, np.zeros(shape, bool))


def turned(angle: float, scale: float = 1.01) -> FloatArray:
    cos, sin = np.cos(angle), np.sin(angle)
    return scale * np.array([[cos, -sin], [sin, cos]])


@pytest.mark.parametrize("angle", [0.0, 0.03, np.pi / 2, np.pi - 0.02])
@pytest.mark.parametrize("shape", [(40, 50), (7, 30), (6, 30), (30, 7), (30, 5), (3, 2)])
@pytest.mark.parametrize("part_bad", [0.0, 0.03])
def test_parts_give_the_bits_of_the_whole(angle, shape, part_bad):
    chip, turn = chip_with_holes(shape, part_bad), turned(angle)
    y, x = np.mgrid[: shape[0], : shape[1]]
    # Below 0 too, and on whole ones.
    positions = np.tensordot(turn, np.stack([x, y]), 1) - np.array([[[7.0]], [[3.3]]])
    wanted = plainly(chip, positions, turn)
    assert min(shape) < 7 or (wanted != 0).any()
    ny, nx = shape
    for part in ((0, 0, nx, ny), (0, 2, nx, ny - 1), (0, ny - 2, nx, ny), (1, 0, 2, ny)):
        box = PixelBox(*part)
        rows, columns = box.slices_in(PixelBox(0, 0, nx, ny))
        inside = np.ascontiguousarray(positions[:, rows, columns])
        found = skew_of_phases(chip, inside, box, turn)
        np.testing.assert_array_equal(found, wanted[rows, columns])


def test_nothing_is_taken_off_where_phases_go_round_within_a_source():
    chip, turn = chip_with_holes((20, 20), 0.0), turned(0.2)
    positions = np.random.default_rng(1).uniform(0, 20, (2, 20, 20))
    assert not skew_of_phases(chip, positions, PixelBox(0, 0, 20, 20), turn).any()
