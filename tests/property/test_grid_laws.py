"""Laws of the grid's index algebra: tiles cover it, never overlap, and agree with each other."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.domain.geometry import PixelBox, Points, TangentPlane
from alignsvc.domain.grid import GridAxes, MosaicGrid

laws = settings(max_examples=60, deadline=None)


@st.composite
def grids(draw: st.DrawFn) -> MosaicGrid:
    """Small grids of every proportion, tiles larger than the grid included."""
    size, tile = st.integers(1, 60), st.integers(1, 25)
    turn, parity = draw(st.floats(-np.pi, np.pi)), draw(st.sampled_from([-1.0, 1.0]))
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    plane = TangentPlane(draw(st.floats(0.0, 360.0)), draw(st.floats(-90.0, 90.0)))
    return MosaicGrid(
        draw(st.integers(0, 3)),
        plane,
        draw(st.floats(0.01, 5.0)),
        draw(st.floats(-100.0, 100.0)),
        draw(st.floats(-100.0, 100.0)),
        (draw(size), draw(size)),
        (draw(tile), draw(tile)),
        GridAxes(parity * cos, parity * sin, -sin, cos),
    )


@st.composite
def boxes(draw: st.DrawFn) -> PixelBox:
    """Boxes that may reach beyond the grid, or miss it, or be empty."""
    edge = st.integers(-30, 90)
    return PixelBox(draw(edge), draw(edge), draw(edge), draw(edge))


@laws
@given(grids())
def test_every_pixel_lies_in_exactly_one_tile(grid: MosaicGrid) -> None:
    count = np.zeros(grid.shape, int)
    for tile in grid.tiles():
        count[grid.tile_box(tile).slices_in(grid.box)] += 1
    assert (count == 1).all()


@laws
@given(grids())
def test_there_are_as_many_tiles_as_said_and_none_is_empty(grid: MosaicGrid) -> None:
    tiles = list(grid.tiles())
    rows, columns = grid.n_tiles
    assert len(tiles) == len(set(tiles)) == rows * columns
    assert not any(grid.tile_box(tile).is_empty for tile in tiles)
    assert tiles == sorted(tiles)


@laws
@given(grids(), st.data())
def test_the_tile_of_a_pixel_holds_it(grid: MosaicGrid, data: st.DataObject) -> None:
    y = data.draw(st.integers(0, grid.shape[0] - 1))
    x = data.draw(st.integers(0, grid.shape[1] - 1))
    offset = data.draw(st.floats(-0.499, 0.499))
    box = grid.tile_box(grid.tile_of(x + offset, y - offset))
    assert box.x0 <= x < box.x1
    assert box.y0 <= y < box.y1


@laws
@given(grids(), boxes())
def test_the_tiles_touching_a_box_are_those_that_share_a_pixel_with_it(
    grid: MosaicGrid, box: PixelBox
) -> None:
    wanted = [tile for tile in grid.tiles() if not grid.tile_box(tile).intersect(box).is_empty]
    assert list(grid.tiles_touching(box)) == wanted


@laws
@given(grids(), boxes())
def test_a_block_is_the_tiles_that_touch_the_box(grid: MosaicGrid, box: PixelBox) -> None:
    block = grid.block_box(box)
    tiles = [grid.tile_box(tile) for tile in grid.tiles_touching(box)]
    assert block.is_empty == (not tiles)
    covered = np.zeros(grid.shape, bool)
    for tile in tiles:
        covered[tile.slices_in(grid.box)] = True
    inside = np.zeros(grid.shape, bool)
    inside[block.slices_in(grid.box)] = True
    np.testing.assert_array_equal(inside, covered)
    assert grid.block_box(block) == block


@laws
@given(grids(), st.floats(-1000.0, 1000.0), st.floats(-1000.0, 1000.0))
def test_to_the_sky_and_back_is_where_one_was(grid: MosaicGrid, x: float, y: float) -> None:
    pixel = Points(np.array([x]), np.array([y]))
    back = grid.pixel_from_sky(grid.sky_from_pixel(pixel))
    tolerance_px = 1e-8 / grid.scale_arcsec  # an angle of 360 degrees is kept to 2e-10 arcsec
    np.testing.assert_allclose(np.stack(back), np.stack(pixel), rtol=0, atol=tolerance_px)
