"""One background for a grid, however it is cut into tiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from source_fields import background_of, grid_of, mosaic_of

from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.sources.mosaic_background import MosaicBackground, MosaicMesh

MESH = MosaicMesh(cell_px=64)


def field(shape=(500, 600), seed=1):
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    level = 2.0 + 0.01 * x - 0.005 * y
    weight = np.full(shape, 0.25)
    weight[:, :200] = 0.0625
    weight[100:140, 300:360] = 0.0
    safe = np.where(weight > 0, weight, 1.0)
    return level, level + rng.normal(size=shape) / np.sqrt(safe), weight


def test_the_background_is_the_same_for_any_tiles():
    _, image, weight = field()
    mosaic = mosaic_of(image, weight)
    one, *others = (
        background_of(mosaic, grid_of(image.shape, tile), MESH) for tile in (600, 128, 100)
    )
    for other in others:
        assert np.array_equal(one.mesh, other.mesh)
        assert one.noise_scale == other.noise_scale


def test_the_level_is_found_and_the_weights_are_believed_where_they_are_right():
    level, image, weight = field()
    grid = grid_of(image.shape, 600)
    background = background_of(mosaic_of(image, weight), grid, MESH)
    assert np.abs(background.level(grid.box) - level).max() < 1.0
    assert background.noise_scale == pytest.approx(1.0, abs=0.04)


def test_a_pixel_has_the_same_background_in_every_box():
    _, image, weight = field()
    grid = grid_of(image.shape, 600)
    background = background_of(mosaic_of(image, weight), grid, MESH)
    box = PixelBox(-20, 37, 211, 520)
    whole = background.level(grid.box.expand(64))
    assert np.array_equal(background.level(box), whole[box.slices_in(grid.box.expand(64))])


def test_correlated_noise_is_measured_not_assumed():
    rng = np.random.default_rng(2)
    shape = (512, 512)
    # Averaging 2 x 2 neighbours conserves flux: sums keep their noise, pixels lose half of it.
    image = ndimage.uniform_filter(rng.normal(size=shape), 2)
    grid = grid_of(shape, 512)
    background = background_of(mosaic_of(image, np.ones(shape)), grid, MESH)
    taps = np.array([1.0, 2.0, 1.0])
    after = np.convolve(taps, [0.5, 0.5])
    expected = (after @ after) / (taps @ taps)  # squared once for each of two axes
    assert background.noise_scale == pytest.approx(expected, rel=0.02)


def test_a_grid_without_data_has_a_flat_background():
    grid = grid_of((200, 200), 100)
    background = background_of(mosaic_of(np.zeros((200, 200)), np.zeros((200, 200))), grid, MESH)
    assert not background.level(grid.box).any()
    assert background.noise_scale == 1.0


def test_a_tile_that_holds_no_cells_corner_gives_no_cells():
    grid = grid_of((200, 200), 40)
    core = PixelBox(40, 0, 60, 40)
    assert MESH.box_for(core, grid).is_empty
    empty = mosaic_of(np.zeros((200, 200)), np.ones((200, 200))).cut(MESH.box_for(core, grid))
    assert MESH(empty, core, grid).level.size == 0


def test_a_cut_that_does_not_hold_the_cells_is_refused():
    grid = grid_of((200, 200), 100)
    mosaic = mosaic_of(np.zeros((200, 200)), np.ones((200, 200)))
    core = PixelBox(0, 0, 100, 100)
    with pytest.raises(ValueError, match="cells need"):
        MESH(mosaic.cut(core), core, grid)


def test_flat_is_zero_everywhere():
    assert not MosaicBackground.flat().level(PixelBox(-3, -3, 5, 5)).any()
