"""Normalised cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, contiguous
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.correlation.overlap import (
    LagWindow,
    frame_products,
    image_sums,
    template_energies,
)
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack
from alignsvc.numerics.displacement.windows.templates import Template

#: Energies below this part of a frame's largest are rounding of float32 transforms, not signal.
ROUNDING = 1e-5


@CORRELATORS.register("ncc")
@dataclass(frozen=True, slots=True)
class NormalisedCorrelation:
    """Cosine of the angle between the frames over their common good pixels.

    ``sum E T / sqrt(sum E^2 sum T^2)``, all sums over the overlap of good pixels at that lag
    (Padfield 2012, without the means). By Cauchy-Schwarz it is at most 1, and 1 exactly where
    the frames are proportional: masks move no noise-free peak. Maximising it is the least-squares
    fit of shift and flux.
    """

    @property
    def frees_background(self) -> bool:
        """False: the sky of both frames must have been subtracted."""
        return False

    def __call__(self, image: MaskedStack, template: Template, max_lag: int) -> Float32Array:
        """Return the score at every lag; shapes as the package says."""
        window = LagWindow(image.side, template.side, max_lag)
        pixels = image.counted
        products = frame_products(window, pixels, template)
        image_energy = image_sums(window, pixels**2, template.good)
        template_energy = template_energies(window, image.good, template)
        return normalised(products, image_energy, template_energy)


def normalised(
    products: Float32Array, image_energy: Float32Array, template_energy: Float32Array
) -> Float32Array:
    """Return products over the root of the energies; 0 where either frame has none.

    Parameters
    ----------
    products, template_energy : float32 arrays, shape (n, versions, n_lags, n_lags)
    image_energy : float32 array, shape (n, 1, n_lags, n_lags)
    """
    scores = np.empty_like(products)
    energies = contiguous(image_energy), contiguous(template_energy)
    _normalise(contiguous(products), *energies, scores)
    return scores


@compiled
def _normalise(
    products: Float32Array,
    image_energy: Float32Array,
    template_energy: Float32Array,
    scores: Float32Array,
) -> None:
    for i in range(len(products)):
        least_image = np.float32(ROUNDING) * image_energy[i].max()
        least_template = np.float32(ROUNDING) * template_energy[i].max()
        for v in range(products.shape[1]):
            ours, theirs = image_energy[i, 0].reshape(-1), template_energy[i, v].reshape(-1)
            product, score = products[i, v].reshape(-1), scores[i, v].reshape(-1)
            for lag in range(len(score)):
                enough = (ours[lag] > least_image) & (theirs[lag] > least_template)
                norm = np.sqrt(ours[lag] * theirs[lag]) if enough else np.float32(1)
                score[lag] = product[lag] / norm if enough else np.float32(0)
