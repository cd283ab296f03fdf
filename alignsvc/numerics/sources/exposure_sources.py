"""Sources of a single exposure, good to a fraction of a pixel: enough to know it by its stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, read_only
from alignsvc.domain.geometry import PixelBox, Points
from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.sources.matched_filter import signal_to_noise
from alignsvc.numerics.sources.measures import Planes, pixel_sums
from alignsvc.numerics.sources.segments import Segmenter

#: So many pixels tell what weight a good one has, if some of them are good.
_TYPICAL = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class ChipSources:
    """Sources of a chip, the brightest first.

    Parameters
    ----------
    points : Points, shape (n,)
        Barycentres above the isophote, 0-based pixels of the chip.
    flux : float64 array, shape (n,)
        Sum over the isophote, on the run's flux scale.
    """

    points: Points
    flux: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "flux", read_only(self.flux))

    def __len__(self) -> int:
        return len(self.flux)


@dataclass(frozen=True, slots=True)
class ExposureDetector:
    """Finds the brightest sources of a chip.

    Parameters
    ----------
    threshold : float
        In standard deviations, through the detection filter. What only deep mosaics show is of
        no use here, and noise that passes for a source costs matches.
    min_area : int
        Fewest pixels: a hot pixel is smaller through the filter.
    deblend : int
        Levels at which a blend is taken apart.
    contrast : float
    max_sources : int
        The brightest of each chip are kept.
    """

    threshold: float = 5.0
    min_area: int = 5
    deblend: int = 16
    contrast: float = 0.01
    max_sources: int = 2000

    def __call__(self, chip: CalibratedChip) -> ChipSources:
        """Return the sources of `chip`.

        A saturated core counts with its clipped value and a good pixel's weight: its centre is
        known well enough, and such stars are in every exposure's list.
        """
        if not chip.weight.any():
            return ChipSources(Points(np.zeros(0), np.zeros(0)), np.zeros(0))
        ny, nx = chip.shape
        segmenter = Segmenter(self.threshold, self.min_area, self.deblend, self.contrast)
        segments = segmenter(signal_to_noise(chip.pixels, _weight_in_cores(chip)))
        planes = Planes(PixelBox(0, 0, nx, ny), chip.pixels, None, chip.mask)
        sums = pixel_sums(segments.label, len(segments), planes)
        brightest = np.argsort(-sums.flux, kind="stable")[: self.max_sources]
        return ChipSources(Points(sums.x[brightest], sums.y[brightest]), sums.flux[brightest])


def _weight_in_cores(chip: CalibratedChip) -> Float32Array:
    """Return the weights of a chip's pixels, where they are saturated that of a good one."""
    full = np.flatnonzero(chip.saturated)
    full = full[chip.weight.take(full) <= 0]
    if not full.size:
        return chip.weight
    weight = chip.weight.copy()
    some = weight.reshape(-1)[:: 1 + weight.size // _TYPICAL]
    if not some.any():
        some = weight
    weight.reshape(-1)[full] = np.median(some[some > 0])
    return weight
