"""Matrices of a correction that turn the sky, or the pixels: expressions of an angle and a scale.

Together with a shift they are the placing of an exposure (`SceneExposure.placing`), as in
``Joined((Free((Unknown("east", 0.0), Unknown("north", 0.0))), turned_sky(Unknown("turn", 0.0))))``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alignsvc.numerics.models.parameters import Mapped, Quantity, Rotated, Unknown


def turned_sky(angle: Unknown, scale: Unknown | None = None) -> Quantity:
    """Return the matrix of a placing that turns the *sky*: ``CD = R(angle) CD0``.

    From east towards north, whatever way round an image is; what `SceneSettings.geometry` has.
    """
    return Rotated(((1.0, 0.0), (0.0, 1.0)), angle, "sky", scale)


def turned_pixels(
    cd: Sequence[Sequence[float]], angle: Unknown, scale: Unknown | None = None
) -> Quantity:
    """Return the matrix of a placing that turns the *pixels* of an image: ``CD = CD0 R(angle)``.

    From x towards y. A placing acts on the plane, so this is ``CD0 R CD0^-1``; of an image with
    east to the left it is a turn of the sky the other way, and of one with oblong or skewed pixels
    no turn of the sky at all.

    Parameters
    ----------
    cd : 2 x 2 numbers
        ``CD0`` of the image's header, in any unit.
    angle, scale : Unknown
        Radians, and a factor; None: 1.

    Raises
    ------
    ValueError
        A matrix without an inverse.
    """
    matrix = np.array(cd, float)
    if matrix.shape != (2, 2) or not abs(np.linalg.det(matrix)) > 0:
        raise ValueError(f"turned pixels: a CD matrix with an inverse wanted, found {cd}")
    (a, b), (c, d) = matrix.tolist()
    # Row by row, a product with a matrix from the right is this one from the left.
    back = np.kron(np.eye(2), np.linalg.inv(matrix).T)
    return Mapped(
        tuple(map(tuple, back.tolist())), Rotated(((a, b), (c, d)), angle, "pixels", scale)
    )
