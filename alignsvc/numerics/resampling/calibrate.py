"""A chip made ready for summing: sky off, on the run's flux scale, with a weight per pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, IntArray, contiguous
from alignsvc.domain.chip_sky import SkyModel
from alignsvc.domain.exposure import ChipInRows, ChipRows
from alignsvc.errors import DataError
from alignsvc.numerics.compiled import compiled
from alignsvc.reasons import FailureKind

#: Rows worked on at once: they stay in the processor's cache.
_ROWS = 32

_NONE = np.zeros(0, np.int64)


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
    chip: ChipInRows,
    sky: SkyModel,
    flux_scale: float,
    sky_offset: float = 0.0,
    left_out: IntArray = _NONE,
) -> CalibratedChip:
    """Return `chip` without its sky and `sky_offset`, multiplied by `flux_scale`, with weights.

    `left_out` are the indices of pixels that are bad besides those that the chip has as bad.

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
    level = (np.float32(sky_offset), np.float32(flux_scale))
    good_weight = np.float32(sky_weight(chip.name, sky, flux_scale))
    (ny, nx), (pixels, mask, saturated) = chip.shape, ChipRows.empty(chip.shape)
    weight = np.empty(chip.shape, np.float32)
    seen, its_sky = np.empty((_ROWS, nx), np.float32), np.empty((_ROWS, nx), np.float32)
    for y0 in range(0, ny, _ROWS):
        rows, n = slice(y0, y0 + _ROWS), min(_ROWS, ny - y0)
        chip.rows_into(y0, ChipRows(seen[:n], mask[rows], saturated[rows]))
        sky.surface.rows_into(y0, its_sky[:n])
        given = (seen[:n], its_sky[:n], mask[rows], saturated[rows])
        _calibrate(given, level, (pixels[rows], weight[rows], good_weight))
    variance = chip.variance
    if variance is not None and not mask.all():
        good = ~mask
        typical = np.float32(_median_variance(chip.name, variance[good]))
        weight *= np.divide(typical, variance, out=np.zeros_like(weight), where=good)
    pixels.reshape(-1)[left_out], weight.reshape(-1)[left_out] = 0.0, 0.0
    mask.reshape(-1)[left_out] = True
    gain = None if chip.gain is None else chip.gain / flux_scale
    return CalibratedChip(chip.name, pixels, weight, mask, saturated, gain)


@compiled
def _calibrate(
    given: tuple[Float32Array, Float32Array, BoolArray, BoolArray],
    level: tuple[np.float32, np.float32],
    out: tuple[Float32Array, Float32Array, np.float32],
) -> None:
    """Fill pixels and weight from pixels, sky, mask and what is saturated.

    `level` is sky offset and flux scale, `out` ends with the weight of a good pixel.
    """
    offset, scale = level
    nothing = np.float32(0.0)
    for r in range(out[0].shape[0]):
        seen, level_here, mask, saturated = given[0][r], given[1][r], given[2][r], given[3][r]
        pixels, weight = out[0][r], out[1][r]
        for c in range(len(pixels)):
            sky = level_here[c] + offset
            bad = mask[c]
            clipped = saturated[c] & (seen[c] > sky)
            value = (seen[c] - sky) * scale
            pixels[c] = nothing if bad & (not clipped) else value
            weight[c] = nothing if bad else out[2]


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
