"""The mosaic as if it were a chip: what sources are modelled on first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alignsvc.numerics.resampling.calibrate import CalibratedChip
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.sources.detection import MosaicCut


@dataclass(frozen=True, slots=True, eq=False)
class PartOfMosaic:
    """What an exposure gives to a box of the mosaic, and its electrons per unit of the mosaic's.

    Parameters
    ----------
    contribution : Contribution
    gain : float or None
        None: not known.
    """

    contribution: Contribution
    gain: float | None


def mosaic_image(cut: MosaicCut, parts: Iterable[PartOfMosaic]) -> CalibratedChip:
    """Return a box of the mosaic as a chip: sky off, with weights and a gain.

    Weights are such that the noise of areas as large as a source is right, as that of single
    pixels is not: drizzling correlates neighbours.

    Parameters
    ----------
    cut : MosaicCut
    parts : iterable of PartOfMosaic
        Looked at one at a time.

    Notes
    -----
    Of a mean with weights w_i a source of flux f has the variance ``f sum(w_i^2 / g_i) / W^2``,
    so its gain is ``W^2 / sum(w_i^2 / g_i)``. It is taken as ``W sum(w_i) / sum(w_i^2 / g_i)``
    over the parts whose gain is known, and of all pixels the median.
    """
    value, hole = cut.mosaic.mean()
    mask = hole if cut.saturated is None else hole | cut.saturated
    pixels = np.where(mask, 0, value - cut.background.level(cut.box)).astype(np.float32)
    scale = cut.background.noise_scale or 1.0
    weight = np.where(mask, 0, cut.mosaic.weight / scale**2).astype(np.float32)
    saturated = np.zeros(mask.shape, bool) if cut.saturated is None else cut.saturated
    return CalibratedChip("mosaic", pixels, weight, mask, saturated, _gain(cut, parts))


def _gain(cut: MosaicCut, parts: Iterable[PartOfMosaic]) -> float | None:
    """Return the electrons per unit of the mosaic where it is typical; None if nobody knows."""
    known, noise = (np.zeros(cut.mosaic.weight.shape) for _ in range(2))
    for part in parts:
        if part.gain is not None:
            weight = part.contribution.cut(cut.box).weight
            known += weight
            noise += weight.astype(np.float64) ** 2 / part.gain
    seen = noise > 0
    if not seen.any():
        return None
    return float(np.median(cut.mosaic.weight[seen] * known[seen] / noise[seen]))
