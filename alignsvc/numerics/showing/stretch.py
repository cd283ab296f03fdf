"""From surface brightness to shades: the asinh stretch, with robust numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import FloatArray

#: A deviation of the median as a standard deviation of a Gaussian.
_SIGMA_OF_MAD = 1.4826
#: Black lies so many sigma below the sky, white at least so many above it.
_BLACK, _WHITE = 3.0, 30.0
#: Part of the pixels that are white.
_WHITE_PART = 2e-3
#: Enough pixels for a median: a picture's, or every k-th of them.
_SAMPLE = 100_000


@dataclass(frozen=True, slots=True)
class AsinhStretch:
    """Shade = asinh((v - black) / softening) / asinh((white - black) / softening), in 0 ... 1.

    Linear up to about `softening` above black, logarithmic beyond (Lupton et al. 2004).

    Parameters
    ----------
    black, white : float
        Values of shade 0 and 1; beyond them shades stay 0 and 1.
    softening : float
    sky, sigma : float
        What they were chosen by: the median of the covered pixels, and their robust scatter.
    """

    black: float
    white: float
    softening: float
    sky: float
    sigma: float

    @classmethod
    def of(cls, values: FloatArray) -> AsinhStretch:
        """Return the stretch that shows the noise of the sky and the cores of bright sources.

        Parameters
        ----------
        values : float array of any shape
            NaN = not covered; with no number at all the stretch is that of zeros.
        """
        sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
        sample = sample[np.isfinite(sample)].astype(np.float64)
        if not len(sample):
            sample = np.zeros(1)
        sky = float(np.median(sample))
        sigma = _SIGMA_OF_MAD * float(np.median(np.abs(sample - sky)))
        if not sigma > 0:  # most pixels are alike: noise-free, or coarse whole numbers
            sigma = float(np.std(sample)) or max(abs(sky), 1.0) * 1e-6
        white = max(float(np.quantile(sample, 1.0 - _WHITE_PART)), sky + _WHITE * sigma)
        return cls(sky - _BLACK * sigma, white, 3.0 * sigma, sky, sigma)

    def __call__(self, values: FloatArray) -> FloatArray:
        """Return shades, 0 ... 1; NaN stays."""
        above = np.clip(values, self.black, self.white) - self.black
        full = np.arcsinh((self.white - self.black) / self.softening)
        return np.asarray(np.arcsinh(above / self.softening) / full, np.float64)
