"""Movement anywhere in the footprint, and what a history of it means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.domain.outcome import Convergence
from alignsvc.numerics.solve.movement import ConvergenceRule, Moved, movement_px

SHAPE = (200, 400)
NEAR_POLE = TangentPlane(359.99, 89.9)


@dataclass(frozen=True)
class FlatMap:
    """Pixels of 0.1 arcsec, turned about the chip's middle."""

    rotation: float = 0.0
    shift_arcsec: float = 0.0
    plane: TangentPlane = NEAR_POLE

    def sky_from_pixel(self, pixel: Points) -> SkyPoints:
        x, y = pixel.x - 199.5, pixel.y - 99.5
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        east, north = -(c * x - s * y) * 0.1 + self.shift_arcsec, (s * x + c * y) * 0.1
        return self.plane.to_sky(Points(east, north))

    def pixel_from_sky(self, sky: SkyPoints) -> Points:
        plane = self.plane.from_sky(sky)
        x, y = -(plane.x - self.shift_arcsec) / 0.1, plane.y / 0.1
        c, s = np.cos(self.rotation), np.sin(self.rotation)
        return Points(c * x + s * y + 199.5, -s * x + c * y + 99.5)


def test_a_shift_moves_all_points_alike():
    assert movement_px(FlatMap(), FlatMap(shift_arcsec=0.05), SHAPE) == pytest.approx(0.5, rel=1e-6)


def test_a_rotation_about_the_middle_is_seen_at_the_corners():
    """At the reference point nothing moves: to look only there is the classical mistake."""
    corner = np.hypot(200.0, 100.0)
    assert movement_px(FlatMap(), FlatMap(1e-4), SHAPE) == pytest.approx(1e-4 * corner, rel=1e-5)


def test_no_change_is_no_movement():
    assert movement_px(FlatMap(0.3), FlatMap(0.3), SHAPE) < 1e-8


def test_a_correction_moves_a_chip_as_it_moves_the_plane():
    """0.05 arcsec on a total that was turned and shifted before: half a pixel, anywhere."""
    turned = np.array([[1.0, 2e-4], [-2e-4, 1.0]])
    before, after = (
        Correction(NEAR_POLE, turned, np.array([east, 0.3]), Geometry.GENERAL, np.zeros((6, 6)))
        for east in (0.2, 0.25)
    )
    moved = movement_px(Moved(FlatMap(), before), Moved(FlatMap(), after), SHAPE)
    assert moved == pytest.approx(0.5, rel=1e-6)
    assert movement_px(Moved(FlatMap(), before), Moved(FlatMap(), before), SHAPE) < 1e-8


def test_a_chip_that_does_not_map_is_refused():
    with pytest.raises(ValueError, match="do not map"):
        movement_px(FlatMap(), FlatMap(plane=TangentPlane(0.0, -60.0)), SHAPE)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([], Convergence.RUNNING),
        ([1.0], Convergence.RUNNING),
        ([1.0, 0.1, 0.002], Convergence.CONVERGED),
        ([1.0, 0.003], Convergence.RUNNING),
        ([0.5, 0.02, 0.02, 0.021, 0.02], Convergence.STALLED),
        ([0.5, 0.02, 0.03, 0.01, 0.009], Convergence.RUNNING),
        ([0.1, 0.25, 0.6], Convergence.DIVERGING),
        ([0.5, 0.01, 0.2], Convergence.DIVERGING),
        ([0.5, float("nan")], Convergence.DIVERGING),
        ([1.0 / (k + 1) for k in range(10)], Convergence.MAX_ITERATIONS),
    ],
)
def test_a_history_of_movements_goes_on_or_ends_as_one_thing(history, verdict):
    assert ConvergenceRule(eps_shift_px=0.003, max_iterations=10)(history) is verdict


def test_two_exposures_that_swap_places_for_ever_are_stalled():
    rule, history = ConvergenceRule(), []
    while rule(history) is Convergence.RUNNING:
        history.append(0.7)
    assert rule(history) is Convergence.STALLED
    assert len(history) == 4


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="must be positive"):
        ConvergenceRule(eps_shift_px=0.0)
