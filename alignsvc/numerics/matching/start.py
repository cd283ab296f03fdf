"""From the place of an exposure on a common plane to the correction that puts it there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import Points, SkyPoints, TangentPlane
from alignsvc.numerics.matching.similarity import (
    Similarity,
    as_complex,
    fit_similarity,
    on_circle,
)


@dataclass(frozen=True, slots=True)
class Start:
    """Where the loop may begin with an exposure.

    Parameters
    ----------
    correction : Correction
        As free as the geometry allows.
    moved_px : float
        By how much it moves the exposure, at most.
    missed_px : float
        How far the geometry keeps it from where it belongs, at most.
    """

    correction: Correction
    moved_px: float
    missed_px: float


def start_with(
    transform: Similarity,
    samples: SkyPoints,
    planes: tuple[TangentPlane, TangentPlane],
    scale_arcsec: float,
    geometry: Geometry,
) -> Start:
    """Return the correction that does what `transform` says.

    Parameters
    ----------
    transform : Similarity
        From the header's places to the true ones, upright, in px of the common plane.
    samples : SkyPoints, shape (k,)
        Points of the exposure's area, by the header.
    planes : tuple of TangentPlane
        The common one and the exposure's own.
    scale_arcsec : float
        A pixel of the common plane.
    geometry : Geometry
    """
    common, own = planes
    flat = common.from_sky(samples)
    moved = transform(Points(flat.x / scale_arcsec, flat.y / scale_arcsec))
    target = common.to_sky(Points(moved.x * scale_arcsec, moved.y * scale_arcsec))
    before, after = as_complex(own.from_sky(samples)), as_complex(own.from_sky(target))
    factor = fit_similarity(before, after, mirrored=False).factor
    if geometry is Geometry.SHIFT:
        factor = 1.0 + 0.0j
    elif geometry is Geometry.RSHIFT:
        factor = factor / abs(factor)
    shift = complex(after.mean() - factor * before.mean())
    reached = factor * before + shift
    correction = Correction(
        own,
        np.array([[factor.real, -factor.imag], [factor.imag, factor.real]]),
        np.array([shift.real, shift.imag]),
        geometry,
        np.zeros((6, 6)),
    )
    return Start(
        correction,
        float(np.abs(reached - before).max()) / scale_arcsec,
        float(np.abs(reached - after).max()) / scale_arcsec,
    )


def disagreement_px(transform: Similarity, middle: complex, extent: float) -> float:
    """Return how far a map moves the middle of a field, or points of its edge, at most."""
    z = on_circle(middle, extent)
    return float(np.abs(transform.moved(z) - z).max())
