"""Seams: where the edge of another exposure runs through a source in the mosaic.

On one side of the edge the mosaic is a mean of more exposures than on the other. They differ in
flux and in seeing, so that the template has a step, and the fitted position follows it: by 0.3 px
for a star of FWHM 6.6 px that one exposure of three, of 1.7 times the flux of another, held by
half. Masked pixels of another exposure do the same. Not even a bright star can be measured better
there, and sets of few sources hang on one bright star.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray
from alignsvc.domain.geometry import Points

_FWHM_OF_SIGMA = float(np.sqrt(8.0 * np.log(2.0)))


@dataclass(frozen=True, slots=True)
class SeamError:
    """The error that a seam of the template adds to a displacement.

    A Gaussian template of which a part f is missing beyond an edge has its centroid moved by the
    centroid D of its weight. How much of D is seen depends on how unlike the missing exposure is:
    as unlike, on the whole, as the exposure measured is unlike the others.

    Parameters
    ----------
    least_unlike : float
        Relative difference of the exposures' profiles that is taken for granted: that of seeing.
    """

    least_unlike: float = 0.1

    def __call__(
        self, template_variance: Float32Array, place: Points, fwhm_px: FloatArray, flux: FloatArray
    ) -> FloatArray:
        """Return the variance per axis, px^2, shape (n,); 0 where the mosaic's weight is even.

        Parameters
        ----------
        template_variance : float32 array, shape (n, side, side)
            Of the template's pixels; 0 = hole. Holes take no part in the fit, and none here.
        place : Points, shape (n,)
            Of the sources in the cutouts.
        fwhm_px : array, shape (n,)
        flux : array, shape (n,)
            The exposure's over the template's; NaN where it is not known, which counts as 1.
        """
        unlike2 = self.least_unlike**2 + np.nan_to_num(flux - 1.0, nan=0.0) ** 2
        x, y = _pull(template_variance, place, fwhm_px / _FWHM_OF_SIGMA)
        variance: FloatArray = unlike2 * (x**2 + y**2)
        return variance


def _pull(
    variance: Float32Array, place: Points, sigma_px: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the centroid of the template's weight in a Gaussian window, pixels from `place`.

    Less that of even weights over the same pixels: holes, and the cutout's end, drop out.
    """
    step = np.arange(variance.shape[-1])
    u, v = step - place.x[:, None], step - place.y[:, None]
    along_x, along_y = (np.exp(-0.5 * (one / sigma_px[:, None]) ** 2) for one in (u, v))
    seen = (variance > 0).astype(np.float64)
    weight = np.zeros(variance.shape)
    np.divide(1.0, variance, out=weight, where=variance > 0)

    def centroid(of: FloatArray) -> tuple[FloatArray, FloatArray]:
        rows = np.einsum("nyx,ny->nx", of, along_y)
        total = np.einsum("nx,nx->n", rows, along_x)
        columns = np.einsum("nyx,nx->ny", of, along_x)
        whole = np.where(total > 0, total, 1.0)
        return (
            np.einsum("nx,nx->n", rows, along_x * u) / whole,
            np.einsum("ny,ny->n", columns, along_y * v) / whole,
        )

    (x, y), (even_x, even_y) = centroid(weight), centroid(seen)
    return x - even_x, y - even_y
