"""Which tiles stay as an earlier run made them, and what becomes of its exposures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignsvc.domain.correction import Geometry
from alignsvc.domain.exposure import AS_RECORDED
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import Verdict
from alignsvc.domain.result import FitQuality
from alignsvc.errors import ConfigError
from alignsvc.numerics.sky.footprints import Footprint, choose_grids
from alignsvc.reasons import FailureKind
from alignsvc.run.planning.earlier_run import EarlierRun, KeptMosaic, KnownExposure, LostExposure
from alignsvc.run.planning.kept_tiles import (
    Extended,
    Extension,
    Member,
    Role,
    is_part_of,
    tile_there,
)

GRID = MosaicGrid(0, TangentPlane(150.0, 2.0), 0.2, 0.0, 150.0, (300, 1600), (300, 100))
#: Sides of an exposure, and its distance from the next, px.
SIDE, STEP = 200, 100


def area(k: float) -> Footprint:
    """Return the footprint of exposure k of a strip on the grid."""
    x0 = 30.0 + STEP * k
    x = np.array([x0, x0 + SIDE, x0 + SIDE, x0])
    y = np.array([40.0, 40.0, 240.0, 240.0])
    return Footprint((GRID.sky_from_pixel(Points(x, y)),), GRID.scale_arcsec)


def known(k: int, component: int = 0) -> KnownExposure:
    columns = range((30 + STEP * k) // 100, (29 + STEP * k + SIDE) // 100 + 1)
    return KnownExposure(
        id=f"exp{k}",
        files=(f"/data/exp{k}.fits",),
        fingerprint=f"{k}",
        plane=GRID.plane,
        parameters=(0.0, 0.0, 1.0, 0.0, 0.0, 1.0),
        zero=None,
        geometry=Geometry.SHIFT,
        covariance=(0.0,) * 36,
        quality=FitQuality(),
        verdict=Verdict.UNTESTED,
        level=AS_RECORDED,
        chips=(),
        rays=None,
        tiles=tuple(TileId(component, 0, column) for column in columns),
    )


def earlier(
    old: list[KnownExposure], lost: tuple[LostExposure, ...] = (), *, is_frozen: bool = True
) -> EarlierRun:
    tiles = tuple((tile, str(tile)) for tile in GRID.tiles())
    return EarlierRun(
        "sofar", "id", is_frozen, tuple(old), lost, (), 0, KeptMosaic((GRID,), 3, tiles)
    )


def extended(run: EarlierRun, new: list[float]) -> Extended:
    members = [Member(area(int(one.id[3:])), one) for one in run.exposures]
    members += [Member(area(k)) for k in new]
    layout = choose_grids([one.area for one in members], (300, 100), margin_px=8)
    return Extension(run, 8, may_grow=True)(layout, members)


def test_a_frozen_exposure_is_measured_placed_or_left_alone() -> None:
    found = extended(earlier([known(k) for k in range(8)]), [8.0])
    assert found.layout.grids == (GRID,)
    # The new one begins at x = 830, and is looked at from 758: in column 7 and beyond.
    assert {tile.column for tile in found.kept} == set(range(7)) | set(range(12, 16))
    assert [role.name for role in found.roles] == [
        *("IDLE", "IDLE", "IDLE", "IDLE", "IDLE"),
        *("PLACED", "MEASURED", "MEASURED", "MOVES"),
    ]
    assert all(
        kept.there == tile and kept.checksum == str(tile) for tile, kept in found.kept.items()
    )


def test_a_lost_exposure_leaves_tiles_to_be_made_again() -> None:
    gone = known(1)
    lost = LostExposure("exp1", FailureKind.MISSING, "gone", gone.tiles)
    found = extended(earlier([known(k) for k in (0, *range(2, 8))], (lost,)), [8.0])
    assert not set(gone.tiles) & set(found.kept)
    assert [role.name for role in found.roles][:4] == ["PLACED", "PLACED", "PLACED", "IDLE"]


def test_tiles_are_known_by_their_pixels_when_the_grid_grows() -> None:
    found = extended(earlier([known(k) for k in range(8)]), [-1.5])
    (grid,) = found.layout.grids
    assert (grid.origin_x, grid.shape) == (200.0, (300, 1800))
    assert is_part_of(GRID, grid)
    assert found.kept[TileId(0, 0, 10)].there == TileId(0, 0, 8)
    assert found.roles[-2] is Role.IDLE


def test_a_tile_that_was_cut_short_is_another_one_when_it_is_whole() -> None:
    cut = replace(GRID, shape=(300, 1550))
    assert tile_there(GRID, TileId(0, 0, 14), cut) == TileId(0, 0, 14)
    assert tile_there(GRID, TileId(0, 0, 15), cut) is None


def test_without_freezing_all_move_on_the_same_grid() -> None:
    found = extended(earlier([known(k) for k in range(8)], is_frozen=False), [8.0])
    assert found.layout.grids == (GRID,)
    assert not found.kept
    assert set(found.roles) == {Role.MOVES}


def test_two_frames_that_a_new_exposure_joins_are_not_both_frozen() -> None:
    old = [known(0), known(1), replace(known(3, component=1), id="exp3")]
    with pytest.raises(ConfigError, match="join components 0 and 1 of sofar"):
        extended(earlier(old), [2.0])
