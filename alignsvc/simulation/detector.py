"""From expected electrons to the numbers in a file: noise, cosmic rays, saturation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.simulation.settings import CosmicRaySettings, DetectorSettings

DQ_BAD_PIXEL = 1  #: dead or hot
DQ_SATURATED = 2  #: clipped at the saturation level

#: What a hot pixel adds, as a fraction of saturation.
_HOT = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class ChipImage:
    """What the camera recorded on one chip.

    Parameters
    ----------
    pixels : float32, shape (ny, nx)
        adu, sky included; bad pixels hold what the chip gave.
    error : float32, shape (ny, nx)
        adu, standard deviation as a pipeline would know it, from the pixels themselves.
    quality : int64, shape (ny, nx)
        `DQ_BAD_PIXEL`, `DQ_SATURATED`.
    """

    pixels: Float32Array
    error: Float32Array
    quality: IntArray


def expose(
    expected: FloatArray,
    detector: DetectorSettings,
    bad: IntArray,
    generator: np.random.Generator,
) -> ChipImage:
    """Return a noisy image.

    Parameters
    ----------
    expected : float64, shape (ny, nx)
        Mean number of electrons per pixel, sky included.
    detector : DetectorSettings
    bad : int64, shape (ny, nx)
        0 = good, 1 = dead, 2 = hot: see `bad_pixels`.
    generator : numpy.random.Generator
    """
    full = detector.saturation * detector.gain
    electrons = generator.poisson(expected).astype(float)
    if detector.bleed:
        electrons = bled(electrons, full)
    electrons += generator.normal(0.0, 1.0, expected.shape) * detector.read_noise
    electrons = np.where(bad == 1, 0.0, electrons + np.where(bad == 2, _HOT * full, 0.0))
    saturated = electrons >= full
    electrons = np.minimum(electrons, full)
    variance = np.maximum(electrons, 0.0) + detector.read_noise**2
    quality = DQ_BAD_PIXEL * (bad > 0) + DQ_SATURATED * saturated
    return ChipImage(
        pixels=(electrons / detector.gain).astype(np.float32),
        error=(np.sqrt(np.maximum(variance, 1.0)) / detector.gain).astype(np.float32),
        quality=quality.astype(np.int64),
    )


def bad_pixels(shape: tuple[int, int], fraction: float, generator: np.random.Generator) -> IntArray:
    """Return 0 where good, 1 where dead, 2 where hot; half of the bad ones each."""
    drawn = generator.random(shape)
    kinds: IntArray = np.where(drawn < fraction, np.where(drawn < 0.5 * fraction, 1, 2), 0)
    return kinds.astype(np.int64)


def bled(electrons: FloatArray, full: float) -> FloatArray:
    """Return electrons with what exceeds `full` moved along the column, half each way."""
    result = electrons.copy()
    ny = electrons.shape[0]
    for column in np.flatnonzero((electrons > full).any(axis=0)):
        line = result[:, column]
        for step in (1, -1):
            carried = 0.0
            for row in range(ny)[::step]:
                excess = max(electrons[row, column] - full, 0.0) / 2.0
                carried += excess
                if excess == 0.0 and carried > 0.0:
                    taken = min(max(full - line[row], 0.0), carried)
                    line[row] += taken
                    carried -= taken
        np.minimum(line, full, out=line)
    return result


def cosmic_rays(
    shape: tuple[int, int], settings: CosmicRaySettings, generator: np.random.Generator
) -> FloatArray:
    """Return the electrons that cosmic rays leave, shape (ny, nx).

    Straight tracks one pixel wide: uniform in place and direction, exponential in length,
    log-normal in charge per length (half a decade wide).
    """
    ny, nx = shape
    image = np.zeros(shape)
    count = int(generator.poisson(settings.per_megapixel * ny * nx / 1e6))
    x, y = generator.uniform(-0.5, nx - 0.5, count), generator.uniform(-0.5, ny - 0.5, count)
    angle = generator.uniform(0.0, 2.0 * math.pi, count)
    length = generator.exponential(settings.length_px, count)
    charge = settings.electrons_per_px * 10.0 ** generator.normal(0.0, 0.5, count)
    for track in range(count):
        # Eight points per pixel of track; a track shorter than a pixel leaves a pixel's charge.
        n = max(8, math.ceil(8 * length[track]))
        along = (np.arange(n) + 0.5) / n * length[track]
        column = np.floor(x[track] + along * math.cos(angle[track]) + 0.5).astype(int)
        row = np.floor(y[track] + along * math.sin(angle[track]) + 0.5).astype(int)
        inside: BoolArray = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        each = charge[track] * max(length[track], 1.0) / n
        np.add.at(image, (row[inside], column[inside]), each)
    return image
