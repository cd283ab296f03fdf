"""A chip made ready for summing: sky off, on the run's flux scale, with a weight per pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, contiguous
from alignsvc.domain.chip_sky import SkyModel
from alignsvc.domain.exposure import Chip
from alignsvc.errors import DataError
from alignsvc.numerics.compiled import compiled
from alignsvc.reasons import FailureKind


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedChip:
    """Pixels of a chip that can be compared with those of other exposures.

    Parameters
    ----------
    name : str
        As in its `Chip`.
    pixels : float32 array, shape (ny, nx)
        Sky-subtracted, on the run's flux scale; 0 where bad, except that saturated pixels keep
        their clipped value, which is nearer the truth than 0 for whoever must interpolate.
    weight : float32 array, shape (ny, nx)
        Inverse variance of a pixel; exactly 0 where `mask` is True.
    mask, saturated : bool arrays, shape (ny, nx)
        As in its `Chip`.
    gain : float or None
        Electrons per unit of `pixels`; None if not known.
    """

    name: str
    pixels: Float32Array
    weight: Float32Array
    mask: BoolArray
    saturated: BoolArray
    gain: float | None = None

    def __post_init__(self) -> None:
        for plane in ("pixels", "weight", "mask", "saturated"):
            array = getattr(self, plane)
            if array.shape != self.pixels.shape:
                raise ValueError(
                    f"chip {self.name}: pixels have shape {self.pixels.shape}, "
                    f"{plane} has {array.shape}"
                )
            object.__setattr__(self, plane, contiguous(array))

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        ny, nx = self.pixels.shape
        return ny, nx


def calibrated(
    chip: Chip, sky: SkyModel, flux_scale: float, sky_offset: float = 0.0
) -> CalibratedChip:
    """Return `chip` without its sky and `sky_offset`, multiplied by `flux_scale`, with weights.

    The weight is the inverse variance. A variance map gives its shape only: users' maps are
    often relative, so it is multiplied by the one number that makes its median over good pixels
    the square of the sky's measured rms. Without a map all good pixels weigh the same.

    Raises
    ------
    DataError
        BAD_WEIGHT: the noise of a pixel is not known, because the sky is constant or good pixels
        have variances that are not positive.
    """
    if not (math.isfinite(flux_scale) and flux_scale > 0):
        raise ValueError(f"chip {chip.name}: flux scale {flux_scale}, wanted a positive number")
    pixels, weight = (
        np.empty(chip.pixels.shape, np.float32),
        np.empty(chip.pixels.shape, np.float32),
    )
    _calibrate(
        _InOneForm.of(chip, sky),
        (np.float32(sky_offset), np.float32(flux_scale)),
        (pixels, weight, np.float32(sky_weight(chip.name, sky, flux_scale))),
    )
    if chip.variance is not None and not chip.mask.all():
        good = ~chip.mask
        typical = np.float32(_median_variance(chip.name, chip.variance[good]))
        weight *= np.divide(typical, chip.variance, out=np.zeros_like(weight), where=good)
    gain = None if chip.gain is None else chip.gain / flux_scale
    return CalibratedChip(chip.name, pixels, weight, chip.mask, chip.saturated, gain)


class _InOneForm(NamedTuple):
    """What pixels are made of, in rows that lie one after the other, read-only."""

    pixels: Float32Array
    sky: Float32Array
    mask: BoolArray
    saturated: BoolArray

    @classmethod
    def of(cls, chip: Chip, sky: SkyModel) -> _InOneForm:
        planes = (chip.pixels, sky.level, chip.mask, chip.saturated)
        return cls(*(contiguous(plane) for plane in planes))


@compiled
def _calibrate(
    given: _InOneForm,
    level: tuple[np.float32, np.float32],
    out: tuple[Float32Array, Float32Array, np.float32],
) -> None:
    """Fill pixels and weight: `level` is sky offset and flux scale, `out` ends with the weight."""
    offset, scale = level
    pixels, weight, good_weight = out
    nothing = np.float32(0.0)
    for r in range(pixels.shape[0]):
        for c in range(pixels.shape[1]):
            sky = given.sky[r, c] + offset
            bad = given.mask[r, c]
            clipped = given.saturated[r, c] & (given.pixels[r, c] > sky)
            value = (given.pixels[r, c] - sky) * scale
            pixels[r, c] = nothing if bad & (not clipped) else value
            weight[r, c] = nothing if bad else good_weight


def sky_weight(chip: str, sky: SkyModel, flux_scale: float) -> float:
    """Return the weight of a pixel that has the sky's noise, on a chip of this name.

    Raises
    ------
    DataError
        BAD_WEIGHT: the sky is constant.
    """
    if not sky.rms > 0:
        raise DataError(
            FailureKind.BAD_WEIGHT,
            f"chip {chip}: the sky's noise is {sky.rms}, wanted above 0; "
            "the pixels are constant and cannot be weighted",
        )
    return 1.0 / (sky.rms * flux_scale) ** 2


def _median_variance(name: str, variance: Float32Array) -> float:
    """Return the median of good pixels' variances, all of which must be positive."""
    typical = float(np.median(variance))
    if not (math.isfinite(typical) and variance.min() > 0):
        raise DataError(
            FailureKind.BAD_WEIGHT,
            f"chip {name}: good pixels have variances down to {variance.min()} and a median of "
            f"{typical}, wanted positive numbers; mask such pixels or drop the variance map",
        )
    return typical
