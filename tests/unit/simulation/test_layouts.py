"""Laws of the family of layouts; a new one joins by being registered."""

import numpy as np
import pytest

from alignsvc.domain.geometry import SkyPoints, TangentPlane
from alignsvc.errors import ConfigError
from alignsvc.simulation.layouts import LAYOUTS, Extent, Pointing
from alignsvc.simulation.layouts.grid import Grid
from alignsvc.simulation.layouts.ring import Ring
from alignsvc.simulation.layouts.stack import Stack
from alignsvc.simulation.layouts.strip import Strip

EXTENT = Extent(600.0, 300.0)


def _pointing(layout, index: int) -> Pointing:
    return layout(index, EXTENT, np.random.default_rng(index))


@pytest.mark.parametrize("name", LAYOUTS.names())
@pytest.mark.parametrize(("ra", "dec"), [(150.0, 2.0), (0.0, -30.0), (0.0, 90.0)])
def test_every_layout_points_near_its_centre(name: str, ra: float, dec: float) -> None:
    layout = LAYOUTS.build(name, {"ra": ra, "dec": dec})
    assert layout.n_exposures >= 1
    plane = TangentPlane(ra, dec)
    for index in range(min(layout.n_exposures, 6)):
        pointing = _pointing(layout, index)
        place = plane.from_sky(SkyPoints(np.array(pointing.ra_deg), np.array(pointing.dec_deg)))
        assert np.hypot(place.x, place.y) < 6 * 600.0
        assert 0.0 <= pointing.ra_deg < 360.0


@pytest.mark.parametrize("name", sorted(set(LAYOUTS.names()) - {"grid"}))
def test_an_exposure_does_not_depend_on_how_many_follow(name: str) -> None:
    few, many = LAYOUTS.build(name, {"count": 3}), LAYOUTS.build(name, {"count": 30})
    assert [_pointing(few, k) for k in range(3)] == [_pointing(many, k) for k in range(3)]


def test_neighbours_in_a_strip_share_the_overlap() -> None:
    strip = Strip(count=3, overlap=0.2, position_angle_deg=30.0)
    first, second = _pointing(strip, 0), _pointing(strip, 1)
    step = TangentPlane(first.ra_deg, first.dec_deg).from_sky(
        SkyPoints(np.array(second.ra_deg), np.array(second.dec_deg))
    )
    assert np.hypot(step.x, step.y) == pytest.approx(0.8 * 600.0)


def test_a_grid_is_centred_and_as_wide_as_its_steps() -> None:
    grid = Grid(rows=2, columns=3, ra=30.0, dec=40.0, overlap=0.5)
    assert grid.n_exposures == 6
    plane = TangentPlane(30.0, 40.0)
    places = [
        plane.from_sky(SkyPoints(np.array(p.ra_deg), np.array(p.dec_deg)))
        for p in (_pointing(grid, k) for k in range(6))
    ]
    assert np.ptp([place.x for place in places]) == pytest.approx(600.0)
    assert np.ptp([place.y for place in places]) == pytest.approx(150.0)
    assert np.mean([place.x for place in places]) == pytest.approx(0.0, abs=1e-6)


def test_a_ring_lies_around_the_pole() -> None:
    ring = Ring(count=5, reach=0.25)
    pointings = [_pointing(ring, k) for k in range(5)]
    assert [90.0 - p.dec_deg for p in pointings] == pytest.approx([150.0 / 3600.0] * 5)
    assert len({round(p.ra_deg, 6) for p in pointings}) == 5


def test_a_camera_keeps_its_orientation_in_a_strip_past_the_pole() -> None:
    """Meridians turn from one exposure to the next; the camera does not."""
    strip = Strip(count=2, ra=10.0, dec=89.9, overlap=0.0)
    second = _pointing(strip, 1)
    assert abs(second.position_angle_deg) > 30.0


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="count is 0"):
        Stack(count=0)
    with pytest.raises(ConfigError, match=r"overlap 1\.5"):
        Strip(overlap=1.5)
