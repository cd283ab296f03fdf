"""Boxes of pixels and tangent planes on the sky."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import FloatArray

ARCSEC_PER_RADIAN = math.degrees(1.0) * 3600.0


class Points(NamedTuple):
    """Coordinates in a plane: `x`, `y`, any shape, the same for both."""

    x: FloatArray
    y: FloatArray


class SkyPoints(NamedTuple):
    """ICRS positions in degrees, any shape; NaN where a point has no place on the sky."""

    ra: FloatArray
    dec: FloatArray


@dataclass(frozen=True, slots=True)
class PixelBox:
    """A half-open box of pixels: ``x0 <= x < x1``, ``y0 <= y < y1``. May be empty."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``, as of an array that holds the box."""
        return (max(self.y1 - self.y0, 0), max(self.x1 - self.x0, 0))

    @property
    def is_empty(self) -> bool:
        """Whether no pixel lies in the box."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def intersect(self, other: PixelBox) -> PixelBox:
        """Return the box common to both; empty if they do not meet."""
        return PixelBox(
            max(self.x0, other.x0),
            max(self.y0, other.y0),
            min(self.x1, other.x1),
            min(self.y1, other.y1),
        )

    def expand(self, margin: int) -> PixelBox:
        """Return the box grown by `margin` pixels on each side."""
        return PixelBox(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def slices_in(self, frame: PixelBox) -> tuple[slice, slice]:
        """Return the ``[y, x]`` slices of this box in an array that holds `frame`."""
        return (
            slice(self.y0 - frame.y0, self.y1 - frame.y0),
            slice(self.x0 - frame.x0, self.x1 - frame.x0),
        )

    @classmethod
    def holding(cls, boxes: Sequence[PixelBox]) -> PixelBox:
        """Return the smallest box that holds all of some boxes, of which none is empty."""
        return cls(
            min(box.x0 for box in boxes),
            min(box.y0 for box in boxes),
            max(box.x1 for box in boxes),
            max(box.y1 for box in boxes),
        )

    @classmethod
    def around(cls, points: Points) -> PixelBox:
        """Return the smallest box whose pixels' areas hold all finite `points`."""
        x, y = np.asarray(points.x), np.asarray(points.y)
        good = np.isfinite(x) & np.isfinite(y)
        if not good.any():
            return cls(0, 0, 0, 0)
        x, y = x[good], y[good]
        return cls(
            math.floor(x.min() + 0.5),
            math.floor(y.min() + 0.5),
            math.floor(x.max() + 0.5) + 1,
            math.floor(y.max() + 0.5) + 1,
        )


@dataclass(frozen=True, slots=True)
class TangentPlane:
    """The gnomonic plane about a point of the sky: x = east, y = north, arcsec.

    Parameters
    ----------
    ra_deg, dec_deg : float
        Tangent point, ICRS degrees.

    Notes
    -----
    Calabretta & Greisen (2002), section 5.1.1, with the native pole at the tangent point.
    At a pole, north is the direction of the meridian `ra_deg` + 180 (north pole).
    """

    ra_deg: float
    dec_deg: float

    def from_sky(self, sky: SkyPoints) -> Points:
        """Return plane coordinates in arcsec; NaN for points 90 degrees away or farther."""
        ra = np.radians(np.asarray(sky.ra, float) - self.ra_deg)
        dec = np.radians(np.asarray(sky.dec, float))
        sin0, cos0 = _sin_cos(self.dec_deg)
        sin_dec, cos_dec, cos_ra = np.sin(dec), np.cos(dec), np.cos(ra)
        toward = sin0 * sin_dec + cos0 * cos_dec * cos_ra
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(toward > 1e-9, ARCSEC_PER_RADIAN / toward, np.nan)
        x = cos_dec * np.sin(ra) * scale
        y = (cos0 * sin_dec - sin0 * cos_dec * cos_ra) * scale
        return Points(x, y)

    def to_sky(self, plane: Points) -> SkyPoints:
        """Return ICRS positions, RA in [0, 360), of plane coordinates in arcsec."""
        x = np.asarray(plane.x, float) / ARCSEC_PER_RADIAN
        y = np.asarray(plane.y, float) / ARCSEC_PER_RADIAN
        sin0, cos0 = _sin_cos(self.dec_deg)
        # The unit vector in the frame (toward the point, east, north), then turned to the pole.
        across = cos0 - y * sin0
        ra = np.degrees(np.arctan2(x, across)) + self.ra_deg
        dec = np.degrees(np.arctan2(sin0 + y * cos0, np.hypot(x, across)))
        return SkyPoints(np.mod(ra, 360.0), dec)


def _sin_cos(angle_deg: float) -> tuple[float, float]:
    angle = math.radians(angle_deg)
    return math.sin(angle), math.cos(angle)


def unit_vectors(sky: SkyPoints) -> FloatArray:
    """Return unit vectors, shape ``(..., 3)``, of ICRS positions."""
    ra, dec = np.radians(np.asarray(sky.ra, float)), np.radians(np.asarray(sky.dec, float))
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def from_unit_vectors(vectors: FloatArray) -> SkyPoints:
    """Return ICRS positions, RA in [0, 360), of vectors of shape ``(..., 3)`` of any length."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    ra = np.mod(np.degrees(np.arctan2(y, x)), 360.0)
    return SkyPoints(ra, np.degrees(np.arctan2(z, np.hypot(x, y))))


def middle_of(sky: SkyPoints) -> SkyPoints:
    """Return the direction of the mean of unit vectors of `sky` (safe at poles and RA 0)."""
    vectors = unit_vectors(sky).reshape(-1, 3)
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    return from_unit_vectors(vectors.mean(axis=0))
