"""The coarse map follows the exact way to the tolerance, or says that it cannot."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, Sip

from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import PixelBox, Points, SkyPoints, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import DataError
from alignsvc.io.wcs_headers import celestial_from_header
from alignsvc.numerics.sky.pixel_map import FINEST_STEP, PixelMap, build_pixel_map
from alignsvc.reasons import FailureKind

DATA = Path(__file__).resolve().parents[4] / "../shared/data"


def side_of_cells(pixel_map: PixelMap) -> float:
    return max(pixel_map.lattice_x.spacing, pixel_map.lattice_y.spacing)


def make_wcs(
    projection: str = "TAN", ra: float = 150.0, dec: float = 2.0, rotation_deg: float = 20.0
) -> CelestialWcs:
    """Return a chip of 500 x 400 pixels of 0.2 arcsec, distorted by 0.3 px at its corners."""
    ny, nx = 500, 400
    wcs = WCS(naxis=2)
    suffix = "-SIP" if projection == "TAN" else ""
    wcs.wcs.ctype = [f"RA---{projection}{suffix}", f"DEC--{projection}{suffix}"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [nx / 2, ny / 2]
    cos, sin = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    wcs.wcs.cd = 0.2 / 3600 * np.array([[-cos, sin], [sin, cos]])
    if suffix:
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[2, 0], a[1, 2], b[0, 2], b[2, 1] = 3e-6, 2e-8, -4e-6, 2e-8
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return CelestialWcs(wcs, (ny, nx))


def grid_about(ra: float = 150.0, dec: float = 2.0, scale_arcsec: float = 0.2) -> MosaicGrid:
    plane = TangentPlane(ra, dec)
    return MosaicGrid(0, plane, scale_arcsec, 500.0, 500.0, (1000, 1000), (256, 256))


def exact(wcs: CelestialWcs, grid: MosaicGrid, chip: Points) -> Points:
    return grid.pixel_from_sky(wcs.sky_from_pixel(chip))


def points_on(shape: tuple[int, int], n: int = 2000) -> Points:
    rng = np.random.default_rng(3)
    return Points(rng.uniform(-0.5, shape[1] - 0.5, n), rng.uniform(-0.5, shape[0] - 0.5, n))


class Bent:
    """A chip whose WCS has a kink: beyond column 203.3 it is stretched."""

    shape = (300, 400)

    def __init__(self, slope: float, *, has_tables: bool = False) -> None:
        self.slope, self.has_tables = slope, has_tables

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        stretched = pixel.x + self.slope * np.maximum(pixel.x - 203.3, 0.0)
        return grid_about().sky_from_pixel(Points(stretched, pixel.y))


class EndsAt:
    """A chip whose WCS has no sky beyond a column, as ZPN has none beyond its reach."""

    shape = (300, 400)
    has_tables = False

    def __init__(self, last_column: float) -> None:
        self.last_column = last_column

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        x = np.where(pixel.x > self.last_column, np.nan, pixel.x)
        return grid_about().sky_from_pixel(Points(x, pixel.y))


@pytest.mark.parametrize(
    ("wcs", "grid"),
    [
        (make_wcs(), grid_about()),
        (make_wcs("ZEA"), grid_about()),
        (make_wcs(ra=0.001), grid_about(ra=359.999)),
        (make_wcs(dec=89.999), grid_about(dec=90.0)),
        (make_wcs(), grid_about(scale_arcsec=0.05)),
    ],
    ids=["distorted", "another projection", "across RA 0", "at the pole", "fine grid"],
)
def test_the_map_follows_the_exact_way(wcs: CelestialWcs, grid: MosaicGrid) -> None:
    pixel_map = build_pixel_map(wcs, grid)
    chip = points_on(wcs.shape)
    found, wanted = pixel_map.to_grid(chip), exact(wcs, grid, chip)
    off = np.hypot(found.x - wanted.x, found.y - wanted.y).max()
    assert off < 1e-6
    assert off <= 2 * pixel_map.error_px + 1e-9
    assert side_of_cells(pixel_map) <= 256
    assert max(pixel_map.node_areas.lattice_x.spacing, pixel_map.node_areas.lattice_y.spacing) <= 64


def test_positions_are_the_map_at_every_pixel() -> None:
    wcs = make_wcs()
    pixel_map = build_pixel_map(wcs, grid_about())
    y, x = np.mgrid[100:230, : wcs.shape[1]].astype(float)
    wanted = pixel_map.to_grid(Points(x, y))
    found = pixel_map.positions(PixelBox(0, 100, wcs.shape[1], 230))
    assert found.shape == (2, 130, wcs.shape[1])
    np.testing.assert_allclose(found[0], wanted.x, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found[1], wanted.y, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "box", [(0, 0, 400, 37), (3, 5, 390, 6), (399, 499, 400, 500), (64, 63, 200, 300)]
)
def test_a_pixel_has_the_same_place_and_area_in_whatever_box(box: tuple[int, ...]) -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about())
    part = PixelBox(*box)
    inside = part.slices_in(pixel_map.box)
    places, areas = pixel_map.positions(pixel_map.box), pixel_map.areas(pixel_map.box)
    assert pixel_map.positions(part).tobytes() == places[:, *inside].tobytes()
    assert pixel_map.areas(part).tobytes() == areas[inside].tobytes()
    assert pixel_map.positions(PixelBox(0, 10, 400, 10)).shape == (2, 0, 400)


def test_there_and_back_is_where_one_was() -> None:
    wcs = make_wcs()
    pixel_map = build_pixel_map(wcs, grid_about())
    chip = points_on(wcs.shape, 50_000)  # enough that one lost in a thousand would be noticed
    back = pixel_map.to_chip(pixel_map.to_grid(chip))
    np.testing.assert_allclose(back.x, chip.x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(back.y, chip.y, rtol=0, atol=1e-9)


def test_the_inverse_ends_where_the_lattice_does() -> None:
    wcs = make_wcs()
    pixel_map = build_pixel_map(wcs, grid_about())
    ny, nx = wcs.shape
    chip = Points(
        np.array([-60.0, nx + 60.0, -75.0, nx + 75.0, 1e5, 50.0]),
        np.array([50.0, ny + 60.0, 50.0, 100.0, 1e5, -75.0]),
    )
    back = pixel_map.to_chip(exact(wcs, grid_about(), chip))
    np.testing.assert_allclose(back.x[:2], chip.x[:2], rtol=0, atol=1e-5)
    assert np.isnan(back.x[2:]).all()
    assert np.isnan(back.y[2:]).all()


def test_nan_gives_nan() -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about())
    nowhere = Points(np.array([np.nan, 1.0]), np.array([1.0, np.nan]))
    for there in (pixel_map.to_grid(nowhere), pixel_map.to_chip(nowhere)):
        assert np.isnan(np.stack(there)).any(axis=0).all()


def test_points_keep_their_shape() -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about())
    chip = Points(np.zeros((3, 4)), np.ones((3, 4)))
    assert pixel_map.to_grid(chip).x.shape == (3, 4)
    assert pixel_map.to_chip(chip).y.shape == (3, 4)
    assert pixel_map.jacobian(chip).shape == (3, 4, 2, 2)
    assert pixel_map.to_grid(Points(np.array(3.0), np.array(4.0))).x.shape == ()


def test_the_jacobian_is_the_slope_of_the_map() -> None:
    wcs, grid = make_wcs(), grid_about()
    pixel_map = build_pixel_map(wcs, grid)
    chip, h = points_on(wcs.shape, 50), 0.5
    for column, (dx, dy) in enumerate([(h, 0.0), (0.0, h)]):
        ahead = exact(wcs, grid, Points(chip.x + dx, chip.y + dy))
        behind = exact(wcs, grid, Points(chip.x - dx, chip.y - dy))
        slope = np.stack([ahead.x - behind.x, ahead.y - behind.y], axis=-1) / (2 * h)
        np.testing.assert_allclose(pixel_map.jacobian(chip)[..., column], slope, atol=1e-8)


def test_areas_are_the_jacobians_determinants() -> None:
    wcs = make_wcs()
    pixel_map = build_pixel_map(wcs, grid_about(scale_arcsec=0.3))
    y, x = np.mgrid[20:60, : wcs.shape[1]].astype(float)
    determinant = np.linalg.det(pixel_map.jacobian(Points(x, y)))
    areas = pixel_map.areas(PixelBox(0, 20, wcs.shape[1], 60))
    assert areas.dtype == np.float32
    # Linear between nodes: this distortion changes areas by 1 % within 400 px, cubically.
    np.testing.assert_allclose(areas, np.abs(determinant), rtol=1e-4)
    assert areas.mean() == pytest.approx((0.2 / 0.3) ** 2, rel=0.01)


def test_areas_are_linear_between_nodes_bit_for_bit() -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about(scale_arcsec=0.3))
    ny, nx = pixel_map.shape
    areas = pixel_map.node_areas
    row, v = areas.lattice_y.locate(np.arange(ny, dtype=float)[:, None])
    column, u = areas.lattice_x.locate(np.arange(nx, dtype=float))
    nodes = areas.nodes
    left, right = (
        nodes[row, at] + v * (nodes[row + 1, at] - nodes[row, at]) for at in (column, column + 1)
    )
    wanted = (left + u * (right - left)).astype(np.float32)
    assert pixel_map.areas(pixel_map.box).tobytes() == wanted.tobytes()
    row, at = np.nonzero(np.random.default_rng(3).random((ny, nx)) < 0.1)
    assert pixel_map.areas_at(row, at).tobytes() == wanted[row, at].tobytes()


def test_chosen_pixels_lie_where_all_do_bit_for_bit() -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about())
    ny, nx = pixel_map.shape
    everywhere = pixel_map.positions(pixel_map.box)
    row, column = np.nonzero(np.random.default_rng(4).random((ny, nx)) < 0.1)
    some = pixel_map.positions_at(row, column)
    assert some.tobytes() == np.ascontiguousarray(everywhere[:, row, column]).tobytes()
    nowhere = row[:0]
    assert pixel_map.positions_at(nowhere, nowhere).shape == (2, 0)
    assert pixel_map.areas_at(nowhere, nowhere).shape == (0,)


def test_a_kink_makes_the_lattice_finer_and_the_error_is_told() -> None:
    smooth = build_pixel_map(Bent(0.0), grid_about())  # type: ignore[arg-type]
    bent = build_pixel_map(Bent(2e-4), grid_about())  # type: ignore[arg-type]
    assert side_of_cells(bent) < side_of_cells(smooth)
    assert bent.error_px < 1e-3
    chip = points_on(Bent.shape)
    found, wanted = bent.to_grid(chip), exact(Bent(2e-4), grid_about(), chip)  # type: ignore[arg-type]
    assert np.abs(found.x - wanted.x).max() < 1e-3


def test_where_tables_may_bend_between_nodes_they_are_close_from_the_start() -> None:
    smooth, table = (
        build_pixel_map(Bent(0.0, has_tables=has_tables), grid_about())  # type: ignore[arg-type]
        for has_tables in (False, True)
    )
    assert side_of_cells(table) <= 64 < side_of_cells(smooth)


def test_a_wcs_that_is_not_smooth_is_refused() -> None:
    with pytest.raises(DataError, match=f"nodes every {FINEST_STEP} px") as caught:
        build_pixel_map(Bent(0.05), grid_about())  # type: ignore[arg-type]
    assert caught.value.kind is FailureKind.BAD_WCS


def test_a_wcs_that_ends_beside_the_chip_does_not_spoil_the_chip() -> None:
    wcs = EndsAt(410.0)
    pixel_map = build_pixel_map(wcs, grid_about())  # type: ignore[arg-type]
    assert pixel_map.lattice_x.end == pytest.approx(399 + 4)  # the next smaller margin
    assert pixel_map.lattice_x.start == -64
    chip = points_on(wcs.shape)
    found = pixel_map.to_grid(chip)
    assert np.abs(found.x - chip.x).max() < 1e-6


def test_a_wcs_that_ends_on_the_chip_is_refused() -> None:
    with pytest.raises(DataError, match="no position") as caught:
        build_pixel_map(EndsAt(380.0), grid_about())  # type: ignore[arg-type]
    assert caught.value.kind is FailureKind.BAD_WCS


def test_a_chip_smaller_than_a_cell_has_a_map() -> None:
    wcs = make_wcs()
    small = CelestialWcs(wcs.wcs, (3, 5))
    pixel_map = build_pixel_map(small, grid_about())
    assert pixel_map.positions(pixel_map.box).shape == (2, 3, 5)
    assert pixel_map.error_px < 1e-6


def test_the_map_cannot_be_changed() -> None:
    pixel_map = build_pixel_map(make_wcs(), grid_about())
    assert isinstance(pixel_map, PixelMap)
    with pytest.raises(ValueError, match="read-only"):
        pixel_map.bicubics.cells[0] = 0.0


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sipsample", "tpv", "zpx", "tnx"])
def test_real_headers_have_maps(name: str) -> None:
    path = DATA / "wcs_samples" / f"{name}.fits"
    if not path.is_file():
        pytest.skip(f"no real exposures at {DATA}")
    header = fits.getheader(path)
    wcs = celestial_from_header(header, None, (header["NAXIS2"], header["NAXIS1"])).wcs
    centre = wcs.centre()
    grid = grid_about(float(centre.ra), float(centre.dec), wcs.pixel_scale_arcsec)
    pixel_map = build_pixel_map(wcs, grid)
    chip = points_on(wcs.shape)
    found, wanted = pixel_map.to_grid(chip), exact(wcs, grid, chip)
    assert np.hypot(found.x - wanted.x, found.y - wanted.y).max() < 1e-4
