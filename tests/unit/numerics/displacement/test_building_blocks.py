"""The loop's pieces by themselves, as a script would use them."""

import numpy as np
import pytest
from displacement_scenes import SAME, catalog, positions, reference_of, stars, view_of

import alignsvc
from alignsvc.building_blocks import DisplacementSettings, LinearFitSettings
from alignsvc.domain.correction import Geometry
from alignsvc.domain.geometry import Points, TangentPlane
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import NothingToMeasure
from alignsvc.numerics.solve.linear_fit import LinearFitter

SIDE, LAG = 24, 4


def star(side: int, x: float, y: float) -> np.ndarray:
    middle = 0.5 * (side - 1)
    at = Points(np.array([middle + x]), np.array([middle + y]))
    return stars((side, side), at, 1e4, 4.0).astype(np.float32)


def four_blots(x: float, y: float) -> np.ndarray:
    """A star at (x, y), seen at pixel positions plus half-pixel steps."""
    steps = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5))
    return np.stack([star(SIDE + 2 * LAG, x - sx, y - sy) for sx, sy in steps])


@pytest.mark.parametrize("correlation", ["cc", "ncc", "zncc"])
def test_a_displacement_is_what_must_be_added_to_reach_the_blot(correlation: str) -> None:
    settings = DisplacementSettings(correlation, LAG - 1)
    found = alignsvc.find_displacement(
        star(SIDE, 0, 0), four_blots(0.3, -0.7), None, None, settings
    )
    assert found.dx == pytest.approx(0.3, abs=5e-3)
    assert found.dy == pytest.approx(-0.7, abs=5e-3)
    assert found.map.shape == (4 * (LAG - 1) + 1,) * 2


def test_a_linear_fit_brings_back_the_motion_of_a_chip_with_what_it_was_made_from() -> None:
    rng = np.random.default_rng(5)
    at, shape = positions(36, rng)
    angle, shift = 2e-4, (0.21, -0.13)
    seen = Points(at.x - shift[0] + angle * at.y, at.y - shift[1] - angle * at.x)
    ny, nx = shape
    plane = TangentPlane(20.0, 10.0)
    grid = MosaicGrid(0, plane, 0.2, 0.0, 0.0, (ny, nx), (ny, nx))
    settings = LinearFitSettings(grid, plane, fitter=LinearFitter(Geometry.RSCALE))
    found = alignsvc.find_linear_fit(
        view_of(stars(shape, seen, 1e5, 4.0), SAME),
        reference_of(stars(shape, at, 1e5, 4.0)),
        catalog(at, 4.0),
        settings,
    )
    corrected = found.correction.apply(grid.plane_from_pixel(seen))
    truth = grid.plane_from_pixel(at)
    np.testing.assert_allclose(corrected.x, truth.x, atol=5e-4)
    np.testing.assert_allclose(corrected.y, truth.y, atol=5e-4)
    assert len(found.displacements) == len(found.pixels) == 36
    assert found.pixels.cutout.shape == found.pixels.blot.shape
    assert found.fit.n_used > 30


def test_too_few_sources_say_what_is_wanted() -> None:
    at, shape = positions(1, np.random.default_rng(1))
    image = stars(shape, at, 1e4, 4.0)
    plane = TangentPlane(0.0, 0.0)
    grid = MosaicGrid(0, plane, 0.2, 0.0, 0.0, shape, shape)
    settings = LinearFitSettings(grid, plane)
    with pytest.raises(NothingToMeasure, match="geometry 'general' needs 3"):
        alignsvc.find_linear_fit(view_of(image), reference_of(image), catalog(at, 4.0), settings)
