"""From the plane to pixels: corrections and their derivatives."""

import numpy as np

from alignsvc.domain.geometry import Points
from alignsvc.numerics.models.scene.geometry import AffineMap, CorrectedPlane, MappedPoints


class Barrel:
    """A map with distortion."""

    def __call__(self, plane: Points) -> MappedPoints:
        x, y = plane
        bent = 1 + 0.01 * (x**2 + y**2)
        by = np.empty((len(x), 2, 2))
        by[:, 0, 0], by[:, 1, 1] = bent + 0.02 * x**2, bent + 0.02 * y**2
        by[:, 0, 1] = by[:, 1, 0] = 0.02 * x * y
        return MappedPoints(Points(x * bent, y * bent), by)


PLANE = Points(np.array([0.5, -2.0, 3.0]), np.array([1.0, 0.3, -2.5]))
VALUES = np.array([0.3, -0.4, 1.1, 0.2, -0.1, 0.9])


def test_what_the_known_map_calls_old_lies_at_matrix_old_plus_shift() -> None:
    geometry = CorrectedPlane(AffineMap(((2.0, 0.0), (0.0, 3.0)), (10.0, 20.0)))
    old = np.stack([PLANE.x, PLANE.y])
    new = VALUES[2:].reshape(2, 2) @ old + VALUES[:2, None]
    placed = geometry(Points(*new), VALUES)
    np.testing.assert_allclose(placed.pixel.x, 10 + 2 * old[0])
    np.testing.assert_allclose(placed.pixel.y, 20 + 3 * old[1])


def test_derivatives_are_those_of_the_pixels() -> None:
    geometry = CorrectedPlane(Barrel())
    placed = geometry(PLANE, VALUES)

    def at(plane: Points, values: np.ndarray) -> np.ndarray:
        return np.stack(geometry(plane, values).pixel, axis=1)

    for k, step in enumerate(1e-6 * np.eye(6)):
        change = (at(PLANE, VALUES + step) - at(PLANE, VALUES - step)) / 2e-6
        np.testing.assert_allclose(placed.by_value[:, :, k], change, atol=1e-7)
    for k, (x, y) in enumerate(1e-6 * np.eye(2)):
        ahead, behind = Points(PLANE.x + x, PLANE.y + y), Points(PLANE.x - x, PLANE.y - y)
        change = (at(ahead, VALUES) - at(behind, VALUES)) / 2e-6
        np.testing.assert_allclose(placed.by_place[:, :, k], change, atol=1e-7)


def test_turning_is_how_the_derivative_by_place_changes() -> None:
    geometry = CorrectedPlane(AffineMap(((2.0, 0.3), (-0.1, 3.0))))
    turning = geometry.turning(geometry(PLANE, VALUES), VALUES)
    for k, step in enumerate(1e-6 * np.eye(6)):
        ahead, behind = (geometry(PLANE, VALUES + s * step).by_place for s in (1, -1))
        np.testing.assert_allclose(turning[..., k], (ahead - behind) / 2e-6, atol=1e-7)


def test_a_matrix_without_an_inverse_maps_to_nothing() -> None:
    flat = np.array([0.0, 0.0, 1.0, 2.0, 2.0, 4.0])
    assert np.isnan(CorrectedPlane(AffineMap())(PLANE, flat).pixel.x).all()
