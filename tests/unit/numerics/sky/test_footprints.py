"""Which exposures overlap, and where their grids lie."""

import numpy as np
import pytest
from astropy.wcs import WCS

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import ConfigError, DataError, NotYet
from alignsvc.numerics.sky.colours import colour_exposures
from alignsvc.numerics.sky.footprints import (
    BORDER_PX,
    Footprint,
    choose_grids,
    footprint,
    grown,
)
from alignsvc.numerics.sky.polygons import are_within, contains, shared_area

TILE = (256, 256)
SIDE = 400  # pixels
SCALE = 0.5  # arcsec
STEP_DEG = SIDE * SCALE / 3600


def chip(ra: float, dec: float, scale_arcsec: float = SCALE, rotation: float = 0.0) -> CelestialWcs:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(SIDE + 1) / 2, (SIDE + 1) / 2]
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = scale_arcsec / 3600 * np.array([[-cos, sin], [sin, cos]])
    wcs.wcs.set()
    return CelestialWcs(wcs, (SIDE, SIDE))


def exposure(ra: float, dec: float, scale_arcsec: float = SCALE, rotation: float = 0) -> Footprint:
    return footprint([chip(ra, dec, scale_arcsec, rotation)])


def test_exposures_that_overlap_in_a_chain_share_a_grid() -> None:
    layout = choose_grids([exposure(10 + 0.7 * STEP_DEG * k, 0.0) for k in range(4)], TILE)
    assert layout.component_of == (0, 0, 0, 0)
    assert len(layout.grids) == 1
    assert layout.grids[0].scale_arcsec == pytest.approx(SCALE)


def test_exposures_apart_have_grids_of_their_own_and_a_lonely_one_has_none() -> None:
    near = 0.5 * STEP_DEG
    layout = choose_grids(
        [
            exposure(10.0, 0.0),
            exposure(50.0, 0.0),
            exposure(20.0, 0.0),
            exposure(20.0 + near, 0.0),
            exposure(10.0 + near, 0.0),
        ],
        TILE,
    )
    assert layout.component_of == (0, None, 1, 1, 0)  # numbered by their first members
    assert [grid.component for grid in layout.grids] == [0, 1]
    assert layout.grids[1].plane.ra_deg == pytest.approx(20.0 + near / 2)


def test_the_shared_area_is_reported_in_pixels() -> None:
    layout = choose_grids([exposure(10.0, 0.0), exposure(10.0 + 0.25 * STEP_DEG, 0.0)], TILE)
    (link,) = layout.links
    assert (link.first, link.second) == (0, 1)
    assert link.area_px == pytest.approx(0.75 * SIDE**2, rel=0.05)


def test_boxes_may_meet_where_footprints_do_not() -> None:
    # Two squares on their points, side by side along a diagonal.
    apart = 0.8 * STEP_DEG
    squares = [exposure(10.0, 0.0, rotation=45.0), exposure(10.0 + apart, apart, rotation=45.0)]
    assert choose_grids(squares, TILE).component_of == (None, None)


@pytest.mark.parametrize(("margin_px", "component"), [(0, None), (15, None), (25, 0)])
def test_a_margin_joins_footprints_that_wrong_headers_hold_apart(
    margin_px: int, component: int | None
) -> None:
    pair = [exposure(10.0, 0.0), exposure(10.0 + (1 + 20 / SIDE) * STEP_DEG, 0.0)]
    layout = choose_grids(pair, TILE, margin_px=margin_px)
    assert layout.component_of == (component, component)


@pytest.mark.parametrize(
    ("first", "second"),
    [((359.99, 0.0), (0.01, 0.0)), ((0.0, 89.99), (180.0, 89.99)), ((90.0, -89.98), (300.0, -90))],
    ids=["RA 0", "north pole", "south pole"],
)
def test_neighbours_across_ra_0_and_the_poles_are_found(
    first: tuple[float, float], second: tuple[float, float]
) -> None:
    members = [exposure(*first), exposure(*second)]
    layout = choose_grids(members, TILE)
    assert layout.component_of == (0, 0)
    assert max(layout.grids[0].shape) < 3 * SIDE
    assert_grid_holds(layout.grids[0], members, 0)


def assert_grid_holds(grid: MosaicGrid, members: list[Footprint], margin_px: int) -> None:
    for member in members:
        pixel = grid.pixel_from_sky(member.points())
        border = BORDER_PX + margin_px
        assert min(pixel.x.min(), pixel.y.min()) >= border
        assert pixel.x.max() <= grid.shape[1] - 1 - border
        assert pixel.y.max() <= grid.shape[0] - 1 - border


@pytest.mark.parametrize("margin_px", [0, 50])
def test_a_grid_holds_its_footprints_a_border_and_the_margin(margin_px: int) -> None:
    members = [exposure(10.0, 5.0, rotation=33.0), exposure(10.02, 5.01, rotation=-10.0)]
    layout = choose_grids(members, TILE, margin_px=margin_px)
    assert_grid_holds(layout.grids[0], members, margin_px)


def test_the_scale_is_the_finest_of_like_ones_and_the_median_of_unlike_ones() -> None:
    like = [exposure(10.0, 0.0, 0.5), exposure(10.0, 0.0, 0.498), exposure(10.0, 0.0, 0.501)]
    assert choose_grids(like, TILE).grids[0].scale_arcsec == pytest.approx(0.498, rel=1e-6)
    unlike = [exposure(10.0, 0.0, 0.5), exposure(10.0, 0.0, 0.1), exposure(10.0, 0.0, 0.6)]
    assert choose_grids(unlike, TILE).grids[0].scale_arcsec == pytest.approx(0.5, rel=1e-6)
    given = choose_grids(unlike, TILE, scale_arcsec=0.25)
    assert given.grids[0].scale_arcsec == 0.25


def test_a_given_plane_is_kept() -> None:
    plane = TangentPlane(10.5, 0.5)
    members = [exposure(10.0, 0.0), exposure(10.01, 0.0)]
    grid = choose_grids(members, TILE, tangent=plane).grids[0]
    assert grid.plane == plane
    assert_grid_holds(grid, members, 0)
    with pytest.raises(ConfigError, match="tangent"):
        choose_grids(members, TILE, tangent=TangentPlane(190.0, 0.0))


def test_a_component_wider_than_ten_degrees_is_not_yet_offered() -> None:
    wide = [exposure(10.0 + 0.9 * k * 400 * 20 / 3600, 0.0, 20.0) for k in range(6)]
    with pytest.raises(NotYet, match=r"span 1\d\.\d degrees"):
        choose_grids(wide, TILE)


def test_a_grid_of_more_tiles_than_anybody_plans_is_refused_at_once() -> None:
    pair = [exposure(10.0, 0.0), exposure(10.0, 0.0)]
    with pytest.raises(ConfigError, match=r"arcsec in \d+ tiles, at most 250000 .* mosaic.scale"):
        choose_grids(pair, TILE, scale_arcsec=1e-9)


def test_tiles_are_never_larger_than_the_grid() -> None:
    layout = choose_grids([exposure(10.0, 0.0), exposure(10.0, 0.0)], (4096, 256))
    grid = layout.grids[0]
    assert grid.tile_shape == (grid.shape[0], 256)


def test_chips_of_an_exposure_stand_for_it_together() -> None:
    two_chips = footprint([chip(10.0, 0.0), chip(10.0 + 5 * STEP_DEG, 0.0)])
    left, right = exposure(10.0, 0.01), exposure(10.0 + 5 * STEP_DEG, 0.01)
    between = exposure(10.0 + 2.5 * STEP_DEG, 0.0)
    layout = choose_grids([left, between, two_chips, right], TILE)
    assert layout.component_of == (0, None, 0, 0)  # the gap between chips is no overlap


def test_no_exposures_make_no_grids() -> None:
    layout = choose_grids([], TILE)
    assert layout.grids == ()
    assert layout.component_of == ()


def test_a_chip_without_a_place_on_the_sky_is_refused() -> None:
    class Nowhere:
        shape = (10, 10)
        pixel_scale_arcsec = 1.0

        def sky_from_pixel(self, pixel: Points) -> SkyPoints:
            return SkyPoints(pixel.x * np.nan, pixel.y * np.nan)

    with pytest.raises(DataError, match="outline"):
        footprint([Nowhere()])  # type: ignore[list-item]


def square(x0: float, y0: float, side: float) -> Points:
    return Points(x0 + side * np.array([0.0, 1, 1, 0]), y0 + side * np.array([0.0, 0, 1, 1]))


def test_polygons_overlap_by_edges_or_by_lying_within() -> None:
    plus = Points(np.array([-1.0, 3, 3, -1]), np.array([0.4, 0.4, 0.6, 0.6]))
    assert are_within(square(0, 0, 1), plus, 0.0)  # crossed, no corner inside the other
    assert are_within(square(0, 0, 10), square(4, 4, 1), 0.0)
    assert are_within(square(4, 4, 1), square(0, 0, 10), 0.0)
    assert not are_within(square(0, 0, 1), square(1.5, 0, 1), 0.4)
    assert are_within(square(0, 0, 1), square(1.5, 0, 1), 0.6)


def test_a_notch_is_outside() -> None:
    notched = Points(np.array([0.0, 4, 4, 2, 0]), np.array([0.0, 0, 4, 1, 4]))
    assert contains(notched, Points(np.array([2.0, 2.0]), np.array([0.5, 2.0]))).tolist() == [
        True,
        False,
    ]
    assert not are_within(notched, square(1.8, 3.0, 0.4), 0.0)


def test_shared_area_of_squares() -> None:
    assert shared_area(square(0, 0, 2), square(1, 1, 2)) == pytest.approx(1.0)
    assert shared_area(square(0, 0, 2), square(5, 5, 2)) == 0.0


def test_exposures_of_one_colour_share_no_tile() -> None:
    tiles = [
        frozenset(TileId(0, 0, column) for column in columns)
        for columns in ((0, 1), (1, 2), (2, 3), (5,), (0,), ())
    ]
    assert colour_exposures(tiles) == ((0, 2, 3, 5), (1, 4))


def test_identical_exposures_need_a_colour_each() -> None:
    assert colour_exposures([frozenset({TileId(0, 0, 0)})] * 3) == ((0,), (1,), (2,))


@pytest.mark.parametrize("east", [-1.6, -0.7, 0.0, 0.7, 1.6])
@pytest.mark.parametrize("north", [-1.1, 0.0, 1.1])
def test_a_grown_grid_keeps_its_pixels_and_tiles_where_they_were(east: float, north: float) -> None:
    (grid,) = choose_grids([exposure(10.0, 0.0), exposure(10.0001, 0.0)], TILE).grids
    more = exposure(10.0 + east * STEP_DEG, north * STEP_DEG)
    found = grown(grid, [more], 8)
    left, below = found.origin_x - grid.origin_x, found.origin_y - grid.origin_y
    assert left % TILE[1] == below % TILE[0] == 0.0
    assert found.n_tiles >= grid.n_tiles
    assert_grid_holds(found, [more], 8)
    pixel = grid.pixel_from_sky(SkyPoints(np.array([10.01]), np.array([0.02])))
    again = found.pixel_from_sky(SkyPoints(np.array([10.01]), np.array([0.02])))
    assert (again.x - pixel.x, again.y - pixel.y) == (left, below)


def test_a_grid_that_holds_all_does_not_grow() -> None:
    (grid,) = choose_grids([exposure(10.0, 0.0), exposure(10.01, 0.0)], TILE).grids
    assert grown(grid, [exposure(10.005, 0.0)]) == grid


def test_a_grid_does_not_grow_beyond_what_one_plane_serves() -> None:
    (grid,) = choose_grids([exposure(10.0, 0.0), exposure(10.01, 0.0)], TILE).grids
    with pytest.raises(ConfigError, match="at most 10 are wanted"):
        grown(grid, [exposure(25.0, 0.0)])
