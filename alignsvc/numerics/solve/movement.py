"""How far exposures moved in a pass, and what a history of movements means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import read_only
from alignsvc.domain.correction import Correction
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.outcome import Convergence


class SkyMap(Protocol):
    """A map between the pixels of a chip and the sky: a `CelestialWcs`, for instance."""

    def sky_from_pixel(self, pixel: Points, /) -> SkyPoints:
        """Return ICRS degrees of 0-based pixel coordinates."""
        ...

    def pixel_from_sky(self, sky: SkyPoints, /) -> Points:
        """Return 0-based pixel coordinates of ICRS degrees; NaN where there are none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A map between pixels and sky as a correction wants it, whatever a header can hold of it.

    Parameters
    ----------
    start : SkyMap
    correction : Correction
        Its total.
    """

    start: SkyMap
    correction: Correction

    def sky_from_pixel(self, pixel: Points, /) -> SkyPoints:
        """Return ICRS degrees of 0-based pixel coordinates."""
        plane = self.correction.plane
        at = plane.from_sky(self.start.sky_from_pixel(pixel))
        return plane.to_sky(self.correction.apply(at))

    def pixel_from_sky(self, sky: SkyPoints, /) -> Points:
        """Return 0-based pixel coordinates of ICRS degrees; NaN where there are none."""
        plane = self.correction.plane
        at = self.correction.inverse().apply(plane.from_sky(sky))
        return self.start.pixel_from_sky(plane.to_sky(at))


@lru_cache(maxsize=64)
def chip_samples(shape: tuple[int, int], n_per_side: int = 9) -> Points:
    """Return a grid of points over a chip's area, its corners and edges among them.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` pixels.
    n_per_side : int
        A linear correction is largest at a corner; the distortion's share of the movement
        between is what the points inside are for.
    """
    y, x = np.meshgrid(
        np.linspace(-0.5, shape[0] - 0.5, n_per_side),
        np.linspace(-0.5, shape[1] - 0.5, n_per_side),
        indexing="ij",
    )
    return Points(read_only(x.ravel()), read_only(y.ravel()))


def movement_px(old: SkyMap, new: SkyMap, shape: tuple[int, int]) -> float:
    """Return the largest displacement between two maps over a chip, in its pixels.

    Parameters
    ----------
    old, new : SkyMap
        Of the same chip.
    shape : tuple of int
        ``(ny, nx)`` pixels.

    Raises
    ------
    ValueError
        Some point of the chip has no place in one of the two.
    """
    samples = chip_samples(shape)
    moved = old.pixel_from_sky(new.sky_from_pixel(samples))
    lengths = np.hypot(moved.x - samples.x, moved.y - samples.y)
    if not np.isfinite(lengths).all():
        raise ValueError(
            f"movement: {int((~np.isfinite(lengths)).sum())} of {len(lengths)} points of the chip "
            "do not map from one WCS to the other; wanted: all"
        )
    return float(lengths.max())


@dataclass(frozen=True, slots=True)
class ConvergenceRule:
    """Judge the loop by the largest movement of each pass.

    Parameters
    ----------
    eps_shift_px : float
        Converged when no exposure moves as far as this anywhere in its footprint.
    max_iterations : int
        Passes after which to stop in any case.
    patience : int
        Stalled when so many passes in a row came no lower than the best before them.
    """

    eps_shift_px: float = 0.003
    max_iterations: int = 10
    patience: int = 3

    def __post_init__(self) -> None:
        if not self.eps_shift_px > 0 or self.max_iterations < 1 or self.patience < 1:
            raise ValueError(f"convergence: settings must be positive, got {self}")

    def __call__(self, movements_px: Sequence[float]) -> Convergence:
        """Return the verdict on the largest movements of all passes so far, in order.

        Diverging: not finite, twice in a row more than twice the last, or more than ten times
        the least so far. It is told before `STALLED` and `MAX_ITERATIONS`.
        """
        if not movements_px:
            return Convergence.RUNNING
        last = movements_px[-1]
        if last < self.eps_shift_px:
            return Convergence.CONVERGED
        if self._diverges(movements_px):
            return Convergence.DIVERGING
        recent, before = movements_px[-self.patience :], movements_px[: -self.patience]
        if before and min(recent) >= min(before):
            return Convergence.STALLED
        if len(movements_px) >= self.max_iterations:
            return Convergence.MAX_ITERATIONS
        return Convergence.RUNNING

    def _diverges(self, movements_px: Sequence[float]) -> bool:
        last = movements_px[-1]
        if not math.isfinite(last) or last > 10.0 * min(movements_px):
            return True
        three = movements_px[-3:]
        return len(three) == 3 and three[1] > 2.0 * three[0] and three[2] > 2.0 * three[1]
