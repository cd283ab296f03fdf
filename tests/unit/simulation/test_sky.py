"""The sky is the same sky wherever one looks at it from."""

import numpy as np
import pytest

from alignsvc.domain.geometry import SkyPoints, TangentPlane
from alignsvc.simulation.cells import Cap, cell_centres, cells_touching
from alignsvc.simulation.settings import GalaxySettings, StarSettings
from alignsvc.simulation.sky import Sources, draw_sources

STARS = StarSettings(density=30.0)
NONE = GalaxySettings()


@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.0, 12.0), (40.0, 90.0), (5.0, -89.95)])
def test_sources_are_as_dense_as_asked_for_anywhere(ra: float, dec: float) -> None:
    sources = draw_sources(1, STARS, NONE, (Cap(ra, dec, 0.1),))
    expected = 30.0 * np.pi * 6.0**2
    assert len(sources) == pytest.approx(expected, abs=4.0 * np.sqrt(expected))
    plane = TangentPlane(ra, dec).from_sky(SkyPoints(sources.ra, sources.dec))
    # No side of the field is richer than another.
    spread = 4.0 * 180.0 / np.sqrt(expected)
    assert abs(plane.x.mean()) < spread
    assert abs(plane.y.mean()) < spread


def test_a_source_does_not_depend_on_which_exposures_there_are() -> None:
    small, large = Cap(359.99, 1.0, 0.05), Cap(0.02, 1.0, 0.15)
    few = draw_sources(1, STARS, NONE, (small,))
    many = draw_sources(1, STARS, NONE, (large, small))
    again = many.select(small.holds(SkyPoints(many.ra, many.dec)))
    assert np.array_equal(np.sort(few.flux), np.sort(again.flux))
    assert np.array_equal(np.sort(few.dec), np.sort(again.dec))


def test_another_seed_is_another_sky() -> None:
    cap = (Cap(10.0, 1.0, 0.05),)
    assert not np.isin(
        draw_sources(1, STARS, NONE, cap).flux, draw_sources(2, STARS, NONE, cap).flux
    ).any()


def test_fluxes_follow_the_power_law() -> None:
    stars = StarSettings(density=200.0, flux=(1.0, 1e6), slope=1.0)
    flux = draw_sources(3, stars, NONE, (Cap(10.0, 1.0, 0.1),)).flux
    for limit in (10.0, 100.0):
        expected = len(flux) / limit
        assert (flux > limit).sum() == pytest.approx(expected, abs=4.0 * np.sqrt(expected))


def test_stars_move_with_time_and_galaxies_do_not() -> None:
    stars = StarSettings(density=10.0, proper_motion_mas=50.0)
    galaxies = GalaxySettings(density=10.0)
    sources = draw_sources(1, stars, galaxies, (Cap(10.0, 60.0, 0.05),))
    later = sources.at(57388.5 + 3652.5)
    moved = TangentPlane(10.0, 60.0).from_sky(later)
    start = TangentPlane(10.0, 60.0).from_sky(SkyPoints(sources.ra, sources.dec))
    east = (moved.x - start.x) * 1000.0
    assert np.abs(east[sources.is_galaxy]).max() < 1e-5
    assert np.allclose(east, sources.pm_ra * 10.0, atol=3.0)


def test_cells_tile_the_whole_sky() -> None:
    cells = list(cells_touching((Cap(0.0, 0.0, 180.0),), 15.0))
    assert sum(cell.area_arcmin2 for cell in cells) == pytest.approx(
        4 * np.pi * np.degrees(60) ** 2
    )


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (77.0, 89.999)])
def test_the_lattice_is_even_across_ra_0_and_the_pole(ra: float, dec: float) -> None:
    points = cell_centres((Cap(ra, dec, 0.1),), 0.01)
    inside = Cap(ra, dec, 0.1).holds(points)
    assert inside.sum() == pytest.approx(np.pi * 100.0, rel=0.1)


def test_true_sources_cannot_be_written_to() -> None:
    sources = draw_sources(1, STARS, NONE, (Cap(10.0, 1.0, 0.02),))
    assert isinstance(sources, Sources)
    with pytest.raises(ValueError, match="read-only"):
        sources.ra[0] = 0.0
