"""Weights of pixels from a fit: chosen between fits, never within one, or chi2 would jump."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.numerics.models.scene.scene_windows import WindowModel
from alignsvc.numerics.models.scene.window import WindowStack

#: So often the weights of the fit of the noise are made of what it found: it has settled then.
_NOISE_ROUNDS = 6


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


def noise_per_flux(weight: FloatArray, left: FloatArray, sources: FloatArray) -> float:
    """Return the variance that a unit of sources' light adds, 1 / gain, from what a fit leaves.

    Parameters
    ----------
    weight : float64 array, shape (n,)
        Inverse variance of the sky; pixels without one are left out.
    left : float64 array, shape (n,)
        Pixels less their model.
    sources : float64 array, shape (n,)
        The sources' part of the model.

    Returns
    -------
    float
        0 where the pixels of sources are no noisier than the sky.

    Notes
    -----
    ``left^2 - 1/weight`` is ``c sources`` in the mean, with a variance of twice the square of
    ``1/weight + c sources``: least squares, weighted anew with each c. Light that the model does
    not explain counts as noise, so that errors are too large rather than too small.
    """
    used = (weight > 0) & (sources > 0)
    sky, light, excess = 1 / weight[used], sources[used], left[used] ** 2 - 1 / weight[used]
    found = 0.0
    for _ in range(_NOISE_ROUNDS):
        trust = (sky + found * light) ** -2.0
        below = float(np.sum(trust * light**2))
        found = max(float(np.sum(trust * light * excess)) / below, 0.0) if below > 0 else 0.0
    return found
