"""Unknowns, quantities and their table."""

import numpy as np
import pytest

from alignsvc.numerics.models.parameters import (
    Combined,
    Fixed,
    Free,
    Joined,
    ParameterTable,
    Quantity,
    Rotated,
    Unknown,
)

X, Y, PHI, SCALE = Unknown("x", 1.0), Unknown("y", 2.0), Unknown("phi", 0.3), Unknown("s", 1.1)
MIRRORED = ((-2.0, 0.1), (0.2, 1.5))
QUANTITIES: list[Quantity] = [
    Fixed((1.0, 2.0)),
    Free((X, Y)),
    Combined(((-1.0, -1.0), (0.5, 2.0)), (X, Y), (3.0, 0.0)),
    Rotated(MIRRORED, PHI, "pixels"),
    Rotated(MIRRORED, PHI, "sky", SCALE),
    Joined((Free((X,)), Fixed((7.0,)), Rotated(MIRRORED, PHI, "sky", SCALE), Joined(()))),
]


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: type(q).__name__)
def test_derivatives_are_those_of_the_values(quantity: Quantity) -> None:
    free = np.array([unknown.start for unknown in quantity.unknowns])
    jacobian = quantity.jacobian(free)
    assert jacobian.shape == (quantity.size, len(free))
    for k, step in enumerate(1e-6 * np.eye(len(free))):
        change = (quantity.values(free + step) - quantity.values(free - step)) / 2e-6
        np.testing.assert_allclose(jacobian[:, k], change, atol=1e-8)


def test_a_matrix_is_turned_on_the_side_of_the_pixels_or_of_the_sky() -> None:
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    angle = Unknown("phi", np.pi / 2)
    given = np.array(MIRRORED)
    for acts_on, wanted in (("pixels", given @ turn), ("sky", turn @ given)):
        quantity = Rotated(MIRRORED, angle, acts_on)  # type: ignore[arg-type]
        found = quantity.values(np.array([np.pi / 2])).reshape(2, 2)
        np.testing.assert_allclose(found, wanted, atol=1e-15)


def test_unknowns_of_one_name_are_one() -> None:
    table = ParameterTable([Free((X, Y)), Fixed((1.0,)), Free((PHI, X))])
    assert [unknown.name for unknown in table.unknowns] == ["x", "y", "phi"]
    assert [index.tolist() for index in table.index] == [[0, 1], [], [2, 0]]
    assert table.values(2, np.array([5.0, 6.0, 7.0])).tolist() == [7.0, 5.0]


def test_unknowns_of_one_name_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="two unknowns are named x and differ"):
        ParameterTable([Free((X,)), Free((Unknown("x", 1.5),))])


@pytest.mark.parametrize("start", [np.nan, -1.0, 3.0])
def test_a_start_outside_the_bounds_is_refused(start: float) -> None:
    with pytest.raises(ValueError, match="unknown x: a finite start between 0"):
        Unknown("x", start, lowest=0.0, highest=2.0)


def test_a_combination_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="a matrix of shape"):
        Combined(((1.0,),), (X, Y), (0.0,))
