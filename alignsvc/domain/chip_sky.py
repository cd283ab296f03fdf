"""The sky of one chip: its level at every pixel and the noise of a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, hold_read_only, read_only


class SkySurface(Protocol):
    """The level of a sky, evaluated where it is wanted: whole, it is as large as the chip."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the chip."""
        ...

    def rows_into(self, y0: int, out: Float32Array) -> None:
        """Fill `out`, shape (n, nx), with the n rows from `y0` on; the same bits in any part."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KeptSky:
    """What is kept of a sky, a few kB: its estimator makes the sky of it again.

    Parameters
    ----------
    rms : float
    mesh_level, mesh_rms : float64 arrays, shape (rows, columns)
        As of the `SkyModel`.
    """

    rms: float
    mesh_level: FloatArray
    mesh_rms: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SkyModel:
    """What a sky estimator found on a chip.

    Parameters
    ----------
    surface : SkySurface
        Sky at every pixel, masked ones included, in the chip's units; finite everywhere.
    rms : float
        Noise of one pixel free of sources (the median over the mesh), in the chip's units.
        0 only if every cell of the mesh is constant.
    mesh_level, mesh_rms : float64 arrays, shape (rows, columns)
        Level and noise of the cells that the surface was interpolated from.
    """

    surface: SkySurface
    rms: float
    mesh_level: FloatArray
    mesh_rms: FloatArray

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rms) and self.rms >= 0.0):
            raise ValueError(f"sky model: the rms must be finite and not negative, got {self.rms}")
        hold_read_only(self, "mesh_level", "mesh_rms")

    @property
    def level(self) -> Float32Array:
        """The surface at all pixels, shape (ny, nx), made anew."""
        level = np.empty(self.surface.shape, np.float32)
        self.surface.rows_into(0, level)
        return read_only(level)

    @property
    def kept(self) -> KeptSky:
        """What is kept of it."""
        return KeptSky(self.rms, self.mesh_level, self.mesh_rms)


class SkyEstimator(Protocol):
    """Estimates the sky of a chip: a plug-in of the family `skies.SKIES`."""

    def __call__(self, pixels: Float32Array, mask: BoolArray) -> SkyModel:
        """Return the sky of `pixels`, shape (ny, nx), where `mask` True = bad.

        The values of masked pixels change nothing. Raises `DataError` (ALL_MASKED) where
        too few pixels are left to say anything.
        """
        ...

    def again(self, kept: KeptSky, shape: tuple[int, int]) -> SkyModel:
        """Return the sky that was found on a chip of this shape, bit for bit, of what was kept.

        A sky is measured once and looked at often: so its level follows from what is kept, which
        may be as large as an estimator needs it, and without the pixels.
        """
        ...
