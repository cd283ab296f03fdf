"""Where on a chip something is, for what varies over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points


@dataclass(frozen=True, slots=True)
class ChipField:
    """The part of a chip where stars tell of it.

    Parameters
    ----------
    x, y : float
        Its middle, pixels of the chip.
    half_size : float
        From there to the farthest star along an axis, pixels.
    """

    x: float
    y: float
    half_size: float

    @classmethod
    def around(cls, places: Sequence[Points]) -> ChipField:
        """Return the field of stars, one of them at least."""
        x, y = (np.concatenate([place[axis] for place in places]) for axis in (0, 1))
        middle_x, middle_y = (0.5 * float(np.max(axis) + np.min(axis)) for axis in (x, y))
        half = 0.5 * max(float(np.ptp(x)), float(np.ptp(y)))
        return cls(middle_x, middle_y, max(half, 1.0))

    @property
    def middle(self) -> Points:
        """Its middle, one point."""
        return Points(np.array([self.x]), np.array([self.y]))

    def terms(self, on_chip: Points) -> FloatArray:
        """Return 1, and how far along x and y places are, in half sizes: shape (n, 3).

        No farther than stars are: what is beyond is as at the edge.
        """
        u, v = (
            np.clip((axis - middle) / self.half_size, -1.0, 1.0)
            for axis, middle in zip(on_chip, (self.x, self.y), strict=True)
        )
        return np.stack([np.ones_like(u), u, v], axis=1)
