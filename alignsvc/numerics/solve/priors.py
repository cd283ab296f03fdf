"""What is known of corrections and sources before the fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, hold_read_only
from alignsvc.domain.correction import N_PARAMETERS, Geometry
from alignsvc.domain.measurement import Factors


class Shape(StrEnum):
    """What the linear part of a correction is made of.

    To first order in ``M = R(w) [[sx, sx tan k], [0, sy]]``: the rotation w = -m21, the scales
    sx = m11 and sy = m22, the skew k = m12 + m21.
    """

    ROTATION = "rotation"
    SCALE = "scale"
    SKEW = "skew"

    def directions(self, geometry: Geometry) -> FloatArray:
        """Return what of it a geometry leaves free, as rows over `PARAMETERS`, shape ``(k, 6)``.

        Each number once: rscale's one scale is m11.
        """
        rows = {
            Shape.ROTATION: np.array([[0.0, 0, 0, 0, -1, 0]]),
            Shape.SCALE: np.array([[0.0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]]),
            Shape.SKEW: np.array([[0.0, 0, 0, 1, 1, 0]]),
        }
        n_free = {
            Geometry.SHIFT: {},
            Geometry.RSHIFT: {Shape.ROTATION: 1},
            Geometry.RSCALE: {Shape.ROTATION: 1, Shape.SCALE: 1},
            Geometry.GENERAL: {Shape.ROTATION: 1, Shape.SCALE: 2, Shape.SKEW: 1},
        }
        return rows[self][: n_free[geometry].get(self, 0)]


@dataclass(frozen=True, slots=True)
class ShapePrior:
    """How far the linear part of an exposure's *total* correction may stray from the identity.

    Standard deviations; None = nothing is known. It serves the geometry that is too stiff (a
    free but small scale) as well as the one that is too free (a strip of thin overlaps).

    Parameters
    ----------
    rotation_deg : float or None
    scale : float or None
        Of each axis: 1e-5 is a part in a hundred thousand.
    skew_deg : float or None
    """

    rotation_deg: float | None = None
    scale: float | None = None
    skew_deg: float | None = None

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "scale", "skew_deg"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"prior: {name} must be positive, got {value}")

    def deviation(self, shape: Shape) -> float | None:
        """Return the standard deviation of matrix elements that a shape makes."""
        if shape is Shape.SCALE:
            return self.scale
        angle = self.rotation_deg if shape is Shape.ROTATION else self.skew_deg
        return None if angle is None else math.radians(angle)

    def having(self, shape: Shape, deviation: float) -> ShapePrior:
        """Return the prior with another `deviation` of a shape."""
        if shape is Shape.SCALE:
            return replace(self, scale=deviation)
        angle = math.degrees(deviation)
        if shape is Shape.ROTATION:
            return replace(self, rotation_deg=angle)
        return replace(self, skew_deg=angle)

    def information(self, geometry: Geometry) -> FloatArray:
        """Return the (6, 6) information on the departure from the identity.

        What a geometry does not leave free gets no prior.
        """
        information = np.zeros((N_PARAMETERS, N_PARAMETERS))
        for shape in Shape:
            known, deviation = shape.directions(geometry), self.deviation(shape)
            if deviation is not None:
                information += known.T @ known / deviation**2
        return information

    def known(self, geometry: Geometry) -> FloatArray:
        """Return the directions that it says something of, as rows over `PARAMETERS`."""
        shapes = [shape for shape in Shape if self.deviation(shape) is not None]
        none = np.zeros((0, N_PARAMETERS))
        return np.concatenate([none, *(shape.directions(geometry) for shape in shapes)])

    def holds(self, geometry: Geometry) -> bool:
        """Return whether it says something of all that a geometry leaves free, shifts apart."""
        free = [shape for shape in Shape if len(shape.directions(geometry))]
        return all(self.deviation(shape) is not None for shape in free)


@dataclass(frozen=True, slots=True, eq=False)
class CatalogOffsets:
    """Where a catalogue puts sources of the mosaic: a prior on their offsets.

    Parameters
    ----------
    source : int64, shape (n,)
        Source ids.
    offset : array, shape (n, 2)
        arcsec in the component's plane: measured position in the mosaic minus the catalogue's
        position, at the epoch of the mosaic.
    information : array, shape (n, 2, 2)
        Inverse covariance of `offset` (the catalogue's error, proper motion included), arcsec^-2.
    """

    source: IntArray
    offset: FloatArray
    information: FloatArray

    def __post_init__(self) -> None:
        hold_read_only(self, "source", "offset", "information")

    def as_factors(self, exposure: int) -> Factors:
        """Return the catalogue as an exposure that cannot move.

        ``offset = c + noise`` is the factor of an exposure whose correction has no effect.
        """
        n = len(self.source)
        return Factors(
            exposure=exposure,
            source=self.source,
            residual=self.offset,
            jacobian=np.zeros((n, 2, N_PARAMETERS)),
            information=self.information,
            weight_share=np.zeros(n),
            use=np.ones(n, bool),
            held_out=np.zeros(n, bool),
        )
