"""Normalised cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.cutouts import MaskedStack
from alignsvc.numerics.displacement.overlap import (
    LagWindow,
    frame_products,
    image_sums,
    template_sums,
)

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

    def __call__(self, image: MaskedStack, template: MaskedStack, max_lag: int) -> Float32Array:
        """Return the score at every lag; shapes as the package says."""
        window = LagWindow(image.side, template.side, max_lag)
        pixels, blots = image.counted, template.counted
        products = frame_products(window, image, template)
        image_energy = image_sums(window, pixels**2, template.good)
        template_energy = template_sums(window, image.good, blots**2)
        return normalised(products, image_energy, template_energy)


def normalised(
    products: Float32Array, image_energy: Float32Array, template_energy: Float32Array
) -> Float32Array:
    """Return products over the root of the energies; 0 where either frame has none."""
    enough = np.ones(products.shape, bool)
    for energy in (image_energy, template_energy):
        enough &= energy > ROUNDING * energy.max(axis=(1, 2, 3), keepdims=True)
    norm = np.sqrt(np.where(enough, image_energy * template_energy, np.float32(1)))
    return np.where(enough, products / norm, np.float32(0))
