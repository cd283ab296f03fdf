"""The gauge: what the data cannot tell, the motion that all exposures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.correction import Correction, Geometry, stiffest
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.numerics.solve.factors import step_jacobian
from alignsvc.numerics.solve.steps import departure, departure_after


@dataclass(frozen=True, slots=True)
class MeanGauge:
    """The exposures of a component have, on average, not moved since their input headers."""


@dataclass(frozen=True, slots=True)
class FixedGauge:
    """Some exposures stay where they are; components without one of them use the mean.

    Parameters
    ----------
    exposures : tuple of int
        Indices in the solve. Their total correction is the identity.
    """

    exposures: tuple[int, ...]


Gauge: TypeAlias = MeanGauge | FixedGauge


class GaugeKind(StrEnum):
    """What holds a component in place."""

    MEAN = "mean"
    FIXED = "fixed"
    CATALOG = "catalog"


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Sample points of an exposure's area with how far it has moved there so far.

    The points come from the input header and stay the same for the whole run, so that the
    gauge does not depend on which sources happen to be used.

    Parameters
    ----------
    position : array, shape (k, 2)
        arcsec in the component's plane, by the input header.
    displacement : array, shape (k, 2)
        arcsec there: what the total correction has added to `position`.
    jacobian : array, shape (k, 2, 6)
        Change of the corrected position per unit of each parameter of a further step.
    departure : array, shape (6,)
        Of the total correction from the identity (`steps.departure`).
    geometry : Geometry
        How free a further step is.
    """

    position: FloatArray
    displacement: FloatArray
    jacobian: FloatArray
    departure: FloatArray
    geometry: Geometry

    def __post_init__(self) -> None:
        k = len(self.position)
        shapes = {"position": (k, 2), "displacement": (k, 2), "jacobian": (k, 2, 6)}
        for name, shape in {**shapes, "departure": (6,)}.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(
                    f"footprint: {name} must be finite with shape {shape}, got {array.shape}"
                )
            object.__setattr__(self, name, read_only(array))

    def unmoved(self) -> Footprint:
        """Return the footprint as if it had not moved: for the motion of one step alone."""
        return replace(self, displacement=np.zeros_like(self.displacement))

    def after(self, step: FloatArray) -> Footprint:
        """Return the footprint with a further step (6,) taken, to first order."""
        return replace(
            self,
            displacement=self.displacement + self.jacobian @ step,
            departure=departure_after(self.departure, step),
        )


def footprint_of(samples: SkyPoints, total: Correction, common: TangentPlane) -> Footprint:
    """Return the footprint of an exposure with its total correction.

    Parameters
    ----------
    samples : SkyPoints, shape (k,)
        Corners of each chip (and more, if wished) by the *input* header.
    total : Correction
        Since the input header; a further step is as free as its geometry.
    common : TangentPlane
        The component's plane.
    """
    moved = total.apply(total.plane.from_sky(samples))
    start = common.from_sky(samples)
    end = common.from_sky(total.plane.to_sky(moved))
    position = np.stack([start.x, start.y], axis=1)
    return Footprint(
        position=position,
        displacement=np.stack([end.x, end.y], axis=1) - position,
        jacobian=step_jacobian(end, common, total.plane),
        departure=departure(total),
        geometry=total.geometry,
    )


def common_geometry(footprints: Sequence[Footprint]) -> Geometry:
    """Return the geometry of the motions that all exposures can share: the stiffest one's."""
    return stiffest(footprint.geometry for footprint in footprints)


def common_motions(footprints: Sequence[Footprint]) -> tuple[FloatArray, ...]:
    """Return, per footprint, the motions that all exposures can share, at its points.

    A common shift, rotation, scale or linear map of the component's plane, as far as the
    `common_geometry` allows: ``r = B step + c`` is unchanged when all steps take it up and all
    sources' offsets give it back. Exact where the exposures share a tangent plane; nearly so
    (to the square of the field in radians) where each has its own.

    Returns
    -------
    tuple of array, shape (k, 2, n_parameters)
        About the middle of all points and in units of their extent, so that all are of order
        one.
    """
    everywhere = np.concatenate([f.position for f in footprints])
    geometry = common_geometry(footprints)
    centre = everywhere.mean(axis=0)
    extent = max(float(np.sqrt(((everywhere - centre) ** 2).mean())), 1e-6)
    plane = TangentPlane(0.0, 0.0)  # any: both planes are the same one here
    motions = []
    for footprint in footprints:
        x, y = ((footprint.position - centre) / extent).T
        motions.append(step_jacobian(Points(x, y), plane, plane) @ geometry.basis)
    return tuple(motions)


def hold_mean(steps: FloatArray, footprints: Sequence[Footprint]) -> FloatArray:
    """Return steps without the common part of (displacement so far + step).

    For exposures of one component that were each solved by itself. With `Footprint.unmoved`
    it removes the common part of the steps alone: what is left is movement, whatever the gauge.

    Parameters
    ----------
    steps : array, shape (n, 6)
    footprints : sequence of Footprint, length n
        What their `common_geometry` cannot express is not removed.
    """
    geometry, motions = common_geometry(footprints), common_motions(footprints)
    moved = np.concatenate(
        [
            (f.displacement + f.jacobian @ step).ravel()
            for f, step in zip(footprints, steps, strict=True)
        ]
    )
    design = np.concatenate([m.reshape(-1, geometry.n_parameters) for m in motions])
    common = np.linalg.lstsq(design, moved)[0]
    held = np.array(steps, float)
    for i, (footprint, motion) in enumerate(zip(footprints, motions, strict=True)):
        own = (footprint.jacobian @ geometry.basis).reshape(-1, geometry.n_parameters)
        # Columns of shifts and of matrix elements differ by the size of the plane.
        size = np.maximum(np.sqrt((own**2).mean(axis=0)), 1e-300)
        part = np.linalg.lstsq(own / size, (motion @ common).ravel())[0] / size
        held[i] -= geometry.basis @ part
    return held
