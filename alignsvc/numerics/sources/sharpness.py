"""How sharp a mosaic is, compared with another one of the same sky."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog

#: Fainter sources' peaks are those of the noise.
_LEAST_SNR = 20.0
#: With fewer sources there is nothing to say.
_FEWEST = 5
#: Sources whose light is not what it was, or not all there.
_UNSOUND = SourceFlag.SATURATED | SourceFlag.AT_EDGE | SourceFlag.TRUNCATED
#: Standard errors, and part, by which a mosaic must have lost sharpness for that to be news.
_WORSE_BY, _WORSE_PART = 5.0, 0.01


@dataclass(frozen=True, slots=True)
class Sharpening:
    """By how much the sources of a mosaic became sharper.

    Parameters
    ----------
    n_sources : int
        Compared with themselves.
    before_fwhm_px, after_fwhm_px : float
        Median, grid pixels; NaN with too few sources.
    gain, error : float
        Median change of ln(peak over flux), and its standard error: 0.1 is a tenth sharper. NaN
        with too few sources.
    """

    n_sources: int
    before_fwhm_px: float
    after_fwhm_px: float
    gain: float
    error: float

    @property
    def is_known(self) -> bool:
        """Whether there were sources enough to compare."""
        return self.n_sources >= _FEWEST

    @property
    def is_loss(self) -> bool:
        """Whether the mosaic is less sharp than it was, beyond chance; False if not known."""
        return self.gain < -max(_WORSE_BY * self.error, _WORSE_PART)


def sharpening(before: SourceCatalog, after: SourceCatalog) -> Sharpening:
    """Compare the bright, sound sources that both catalogues have with themselves.

    Where exposures do not lie on each other a source's light is spread: its peak falls, its flux
    does not. A source's own shape is in both and drops out.

    Parameters
    ----------
    before, after : SourceCatalog
        Of two mosaics of the same exposures on the same grid; a source has one id in both.
    """
    before, after = _sound(before), _sound(after)
    _, first, second = np.intersect1d(before.id, after.id, return_indices=True)
    before, after = before.select(first), after.select(second)
    if len(before) < _FEWEST:
        return Sharpening(len(before), math.nan, math.nan, math.nan, math.nan)
    change = np.log(after.peak / after.flux) - np.log(before.peak / before.flux)
    gain = float(np.median(change))
    # Of a median: sqrt(pi / 2) that of a mean; 1.4826 makes a deviation of the median one.
    scatter = 1.4826 * float(np.median(np.abs(change - gain)))
    error = math.sqrt(math.pi / 2) * scatter / math.sqrt(len(before))
    was, now = (float(np.median(one.fwhm)) for one in (before, after))
    return Sharpening(len(before), was, now, gain, error)


def _sound(catalog: SourceCatalog) -> SourceCatalog:
    bright = (catalog.snr > _LEAST_SNR) & (catalog.peak > 0) & (catalog.flux > 0)
    return catalog.select(bright & ((catalog.flags & int(_UNSOUND)) == 0))
