"""Zero-mean normalised cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.displacement.correlation.overlap import (
    LagWindow,
    image_sums,
    overlap_products,
    template_sums,
)
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.correlators.ncc import normalised
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack
from alignsvc.numerics.displacement.windows.templates import Template


@CORRELATORS.register("zncc")
@dataclass(frozen=True, slots=True)
class ZeroMeanCorrelation:
    """Pearson's coefficient of the frames over their common good pixels.

    Padfield (2012), eq. 20: the mean of each frame over the overlap *at that lag* is subtracted,
    so that neither a background nor the size of the box moves the peak. Maximising it is the
    least-squares fit of shift, flux and background.
    """

    @property
    def frees_background(self) -> bool:
        """True: the mean over the overlap is subtracted."""
        return True

    def __call__(self, image: MaskedStack, template: Template, max_lag: int) -> Float32Array:
        """Return the score at every lag; shapes as the package says."""
        window = LagWindow(image.side, template.side, max_lag)
        # A constant common to the frame changes no term but the rounding of their differences.
        pixels, blots = _levelled(image).counted, _levelled(template).counted
        ones = image.good.astype(np.float32)
        count = np.maximum(np.rint(image_sums(window, ones, template.good)), 1)
        products = overlap_products(window, pixels, blots)
        image_sum = image_sums(window, pixels, template.good)
        template_sum = template_sums(window, image.good, blots)
        image_energy = image_sums(window, pixels**2, template.good)
        template_energy = template_sums(window, image.good, blots**2)
        return normalised(
            _centred(products, image_sum * template_sum, count),
            _centred(image_energy, image_sum**2, count),
            _centred(template_energy, template_sum**2, count),
        )


def _centred(products: Float32Array, sums: Float32Array, count: Float32Array) -> Float32Array:
    """Return sums of products about the means: ``sum a b - sum a sum b / n``."""
    centred: Float32Array = np.subtract(products, sums / count, dtype=np.float32)
    return centred


def _levelled(stack: Template) -> MaskedStack:
    """Return each frame less the mean of its good pixels over all its versions."""
    counted = stack.counted
    axes = tuple(range(1, counted.ndim))
    n_versions = counted.size // max(stack.good.size, 1)
    count = np.maximum(stack.good.sum(axis=(1, 2)) * n_versions, 1).astype(np.float32)
    level = counted.sum(axis=axes) / count
    return MaskedStack(stack.values - np.expand_dims(level, axes), stack.good)
