"""Plain cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.numerics.displacement.correlation.overlap import LagWindow, frame_products
from alignsvc.numerics.displacement.correlators import CORRELATORS
from alignsvc.numerics.displacement.windows.cutouts import MaskedStack
from alignsvc.numerics.displacement.windows.templates import Template


@CORRELATORS.register("cc")
@dataclass(frozen=True, slots=True)
class CrossCorrelation:
    """Sum of products of the good pixels, over one constant per source.

    The constant (the norms of the two frames, root mean square over the versions) only makes
    heights comparable. Not normalised lag by lag: where pixels are masked near a source the
    peak is drawn to lags that bring flux onto good pixels; ``ncc`` does not have that bias.
    """

    @property
    def frees_background(self) -> bool:
        """False: a background left in both frames counts as likeness."""
        return False

    def __call__(self, image: MaskedStack, template: Template, max_lag: int) -> Float32Array:
        """Return the score at every lag; shapes as the package says."""
        window = LagWindow(image.side, template.side, max_lag)
        pixels, blots = image.counted, template.counted
        products = frame_products(window, pixels, template)
        energy = np.einsum("nyx,nyx->n", pixels, pixels)
        norm = np.sqrt(energy * np.einsum("nvyx,nvyx->n", blots, blots) / blots.shape[1])
        scale = np.divide(1, norm, out=np.zeros_like(norm), where=norm > 0)
        scores: Float32Array = products * scale[:, None, None, None]
        return scores
