"""Which contributions lie near a place of a mosaic: a question that costs what lies there."""

from __future__ import annotations

import numpy as np

from alignsvc.domain.geometry import PixelBox, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.run.stages.mosaicking import Mosaic, PartsNear
from alignsvc.tasks.merge import Part

GRIDS = [
    MosaicGrid(k, TangentPlane(150.0, 2.0), 0.2, 0.0, 150.0, (800, 1000), (100, 100))
    for k in range(2)
]


def scattered(count: int) -> Mosaic:
    """Return a mosaic of exposures of random sizes and places on two grids, in no order."""
    random = np.random.default_rng(7)
    contributions = {}
    for k in random.permutation(count):
        grid = GRIDS[int(random.integers(2))]
        x, y = (int(one) for one in random.integers(0, (900, 700)))
        width, height = (int(one) for one in random.integers(10, 300, 2))
        block = grid.block_box(PixelBox(x, y, x + width, y + height).intersect(grid.box))
        tiles = tuple(grid.tiles_touching(block))
        contributions[f"exposure{k:03d}"] = StoredContribution(
            f"name{count - k}", block, grid.tile_shape, tiles, f"checksum{k}"
        )
    checksums = {tile: f"sum {tile}" for grid in reversed(GRIDS) for tile in grid.tiles()}
    return Mosaic(1, contributions, {}, checksums)


def test_contributions_near_a_box_are_those_that_share_a_tile_with_it_in_order_of_exposure() -> (
    None
):
    mosaic = scattered(60)
    near = PartsNear(mosaic)
    for grid in GRIDS:
        for tile in grid.tiles():
            box = grid.tile_box(tile).expand(20).intersect(grid.box)
            touched = set(grid.tiles_touching(box))
            wanted = [
                Part(one.name, one.checksum)
                for _, one in sorted(mosaic.contributions.items())
                if touched & set(one.tiles)
            ]
            assert near.within(grid, box) == tuple(wanted)


def test_nothing_is_near_where_nothing_was_exposed() -> None:
    assert PartsNear(Mosaic(1, {}, {}, {})).within(GRIDS[0], PixelBox(0, 0, 10, 10)) == ()


def test_checksums_of_a_component_are_its_own_tiles_row_by_row() -> None:
    found = scattered(3).checksums_by_component()
    assert set(found) == {0, 1}
    for component, grid in enumerate(GRIDS):
        rows, columns = 8, 10
        wanted = [str(TileId(component, r, c)) for r in range(rows) for c in range(columns)]
        assert found[component] == tuple(f"sum {name}" for name in wanted)
        assert len(wanted) == len(list(grid.tiles()))
