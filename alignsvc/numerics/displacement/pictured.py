"""What a measurement saw of a few sources, as pixels for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.correlation_maps import correlation_maps
from alignsvc.numerics.displacement.correlators import Correlator
from alignsvc.numerics.displacement.source_pixels import SourcePixels
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.displacement.windows.cutouts import middles
from alignsvc.numerics.displacement.windows.frames import Frames
from alignsvc.numerics.displacement.worst_sources import Badness


@dataclass(frozen=True, slots=True, eq=False)
class Pictured:
    """Pixels of sources, and how bad these are, row by row."""

    pixels: SourcePixels
    badness: Badness

    @classmethod
    def joined(cls, parts: Sequence[Pictured]) -> Pictured:
        """Return all sources of `parts`, in that order; none if there are no parts."""
        return cls(
            SourcePixels.concatenate([part.pixels for part in parts]),
            Badness.joined([part.badness for part in parts]),
        )


def pictured(targets: Targets, frames: Frames, chip: int, correlator: Correlator) -> SourcePixels:
    """Return the pixels of targets of one size class.

    Parameters
    ----------
    targets : Targets
    frames : Frames
        Of these targets, in which all of the cutout is compared.
    chip : int
        Index of the chip in its exposure.
    correlator : Correlator
    """
    cutouts, pairs, sides = frames.cutouts, frames.middles(), frames.sides
    nan, n = np.float32(np.nan), len(targets.source)
    still = Points(np.zeros(n), np.zeros(n))
    template = frames.spline.shifted(still, sides.cutout).value
    return SourcePixels(
        targets.source,
        np.full(n, chip, np.int64),
        cutouts.corner_x,
        cutouts.corner_y,
        np.where(pairs.good, cutouts.pixels, nan),
        np.where(middles(frames.blots.good, sides.cutout), template, nan),
        correlation_maps(correlator, pairs, sides).astype(np.float32, copy=False),
        np.zeros((n, 0, 0), np.float32),
    )


def with_flux_and_sky(
    light: Float32Array, pixels: Float32Array, weight: Float32Array
) -> Float32Array:
    """Return unit sources with the flux and the sky that fit pixels best, shape (n, side, side).

    Parameters
    ----------
    light : float32 array, shape (n, side, side)
        Of sources of unit flux.
    pixels, weight : float32 arrays, shape (n, side, side)
        What is seen, and its inverse variance, 0 where nothing is. NaN comes back where that does
        not tell flux from sky.
    """

    def total(what: Float32Array | FloatArray) -> FloatArray:
        summed: FloatArray = np.sum(weight * what, axis=(1, 2), dtype=np.float64, keepdims=True)
        return summed

    one = np.ones_like(light)
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = light - total(light) / total(one)
        flux = total(shape * pixels) / total(shape * light)
        sky = (total(pixels) - flux * total(light)) / total(one)
        model = flux * light + sky
    known = np.isfinite(flux) & np.isfinite(sky)
    return np.where(known, model, np.nan).astype(np.float32)
