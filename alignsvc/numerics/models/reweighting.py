"""Weights of pixels from a fit: chosen between fits, never within one, or chi2 would jump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.scene_windows import WindowModel
from alignsvc.numerics.models.window import WindowStack


class Reweighting(Protocol):
    """A rule for weights."""

    def __call__(self, windows: WindowStack, model: WindowModel) -> FloatArray:
        """Return weights (n, side, side) from the windows with their first ones, and a model."""
        ...


@dataclass(frozen=True, slots=True)
class ModelVariance:
    """The first weights are those of the sky; the sources' own noise is added from the model.

    Noise of the pixels themselves in their weights would bias fluxes low.

    Parameters
    ----------
    gain : float
        Electrons per unit of the pixels.
    """

    gain: float

    def __call__(self, windows: WindowStack, model: WindowModel) -> FloatArray:
        """Return the inverse of the sky's and the sources' variance."""
        source = np.maximum(model.sources, 0.0) / self.gain
        weight = windows.weight.astype(np.float64)
        return np.asarray(weight / (1.0 + weight * source))


@dataclass(frozen=True, slots=True)
class CauchyWeights:
    """Robust: a pixel counts less the farther it is from the model.

    Parameters
    ----------
    scale : float
        Standard deviations at which a pixel counts half. 2.385 keeps 95 % of the efficiency for
        Gaussian noise (Holland & Welsch 1977).
    """

    scale: float = 2.385

    def __call__(self, windows: WindowStack, model: WindowModel) -> FloatArray:
        """Return the weights, lowered."""
        left = (windows.pixels - model.total) ** 2 * windows.weight
        return np.asarray(windows.weight / (1.0 + left / self.scale**2))
