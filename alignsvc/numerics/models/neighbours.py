"""The light of a chip's sources in each other's windows, by their common profile.

The wings of a neighbour that is left out move a source, and make chi2 say that the model is wrong.
Where sources are is known from the catalogue; their fluxes follow from the chip's pixels, a few
times around, each from what the others leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.chip_view import Targets
from alignsvc.numerics.displacement.cutouts import cut, pieces
from alignsvc.numerics.displacement.pairs import PairStack
from alignsvc.numerics.displacement.star_fit import Psf
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: A source's light is known so far around it, in FWHM, within limits in px.
_REACH_FWHM, _REACH_PX = 5.0, (8, 32)
#: Fluxes come from pixels within so many FWHM.
_CORE_FWHM = 0.8
#: How often fluxes are improved: each time what neighbours take from each other falls by the part
#: of their cores that they share.
_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """All sources of a chip as the profile and their fluxes show them.

    Parameters
    ----------
    psf : Psf
    reach_px : int
        How far from its middle pixel a source has light.
    source : int64 array, shape (n,)
        Ids, ascending.
    position : Points, shape (n,)
        On the chip.
    flux : float64 array, shape (n,)
    model : float32 array, shape (ny, nx)
        The sum of their light.
    """

    psf: Psf
    reach_px: int
    source: IntArray
    position: Points
    flux: FloatArray
    model: Float32Array

    @classmethod
    def of(cls, psf: Psf, chip: CalibratedChip, targets: Targets, fwhm_px: float) -> Neighbours:
        """Return the sources of a chip; `fwhm_px` is that of its stars."""
        reach = int(np.clip(round(_REACH_FWHM * fwhm_px), *_REACH_PX))
        side = 2 * reach + 1
        cutouts = cut(chip, targets.position, side)
        x = targets.position.x - cutouts.corner_x
        y = targets.position.y - cutouts.corner_y
        light = psf.at(Points(x, y), side).value
        step = np.arange(side)
        away = np.hypot((step - x[:, None])[:, None, :], (step - y[:, None])[:, :, None])
        weight = cutouts.weight * (away <= _CORE_FWHM * fwhm_px)
        response = np.sum(weight * light**2, axis=(1, 2), dtype=np.float64)
        flux, model = np.zeros(len(x)), np.zeros(chip.pixels.shape, np.float32)
        for _ in range(_ROUNDS):
            others = pieces(model, cutouts.corner_y, cutouts.corner_x, side)
            others -= flux.astype(np.float32)[:, None, None] * light
            left = np.sum(weight * light * (cutouts.pixels - others), axis=(1, 2), dtype=np.float64)
            flux = np.divide(left, response, out=np.zeros(len(x)), where=response > 0)
            flux = np.maximum(flux, 0.0)
            model = _summed(light, flux, (cutouts.corner_x, cutouts.corner_y), chip.pixels.shape)
        order = np.argsort(targets.source)
        position = Points(targets.position.x[order], targets.position.y[order])
        return cls(psf, reach, targets.source[order], position, flux[order], model)

    def around(self, pairs: PairStack, source: IntArray) -> Float32Array:
        """Return the light of all other sources in boxes, shape (n, side, side).

        Parameters
        ----------
        pairs : PairStack
        source : int64 array, shape (n,)
            Ids of the pairs, all of them of this chip.
        """
        at = np.searchsorted(self.source, source)
        corner_x = np.rint(self.position.x[at] - pairs.catalogued.x).astype(np.int64)
        corner_y = np.rint(self.position.y[at] - pairs.catalogued.y).astype(np.int64)
        # Beyond the chip nothing is seen, so that what continues there does not count.
        whole = pieces(self.model, corner_y, corner_x, pairs.side)
        own = self.flux[at].astype(np.float32)[:, None, None]
        own = own * self.psf.at(pairs.catalogued, pairs.side).value
        # A source's light in the model ends where its stamp does.
        middle_x = np.rint(pairs.catalogued.x)[:, None]
        middle_y = np.rint(pairs.catalogued.y)[:, None]
        step = np.arange(pairs.side)
        inside_x = np.abs(step - middle_x) <= self.reach_px
        inside_y = np.abs(step - middle_y) <= self.reach_px
        light: Float32Array = whole - own * (inside_y[:, :, None] & inside_x[:, None, :])
        return light


def without_neighbours(pairs: PairStack, light: Float32Array) -> PairStack:
    """Return pairs whose pixels are freed of other sources' light, but not of its noise."""
    seen = np.where(pairs.good, light, np.float32(0))
    weight = pairs.inverse_variance(seen)
    return replace(pairs, pixels=pairs.pixels - seen, weight=weight)


def _summed(
    light: Float32Array,
    flux: FloatArray,
    corner: tuple[IntArray, IntArray],
    shape: tuple[int, int],
) -> Float32Array:
    """Return the sum of stamps on a chip; what lies beyond it is lost."""
    side = light.shape[-1]
    wide = np.zeros((shape[0] + 2 * side, shape[1] + 2 * side), np.float32)
    for one, amount, x, y in zip(light, flux.astype(np.float32), *corner, strict=True):
        row, column = y + side, x + side
        wide[row : row + side, column : column + side] += amount * one
    return np.ascontiguousarray(wide[side:-side, side:-side])
