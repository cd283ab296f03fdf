"""The light of a chip's sources in each other's windows, by their common profile.

The wings of a neighbour that is left out move a source, and make chi2 say that the model is wrong.
Where sources are is known from the catalogue; their fluxes follow from the chip's pixels, a few
times around, each from what the others leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.psf_from_stars import KnownStars
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.displacement.windows.cutouts import cut, pieces
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.models.on_chip.source_profiles import SourceProfiles
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: A source's light is known so far around it, in FWHM, within limits in px.
_REACH_FWHM, _REACH_PX = 5.0, (8, 32)
#: Fluxes come from pixels within so many FWHM.
_CORE_FWHM = 0.8
#: Pixels of stars that are worked on at once.
_PIXELS_AT_ONCE = 1 << 19
#: Less of a core than this says nothing of the flux beside the wings.
_SEEN = 0.5
#: How often fluxes are improved: each time what neighbours take from each other falls by the part
#: of their cores that they share.
_ROUNDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """All sources of a chip as the profile and their fluxes show them.

    Parameters
    ----------
    psf : SourceProfiles
        Of the sources, in their order.
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

    psf: SourceProfiles
    reach_px: int
    source: IntArray
    position: Points
    flux: FloatArray
    model: Float32Array

    @classmethod
    def of(
        cls, psf: SourceProfiles, chip: CalibratedChip, targets: Targets, fwhm_px: float
    ) -> Neighbours:
        """Return the sources of a chip; `fwhm_px` is that of its stars.

        `psf` has those of the targets, in their order.
        """
        order = np.argsort(targets.source)
        psf, targets = psf.select(order), targets.select(order)
        reach = int(np.clip(round(_REACH_FWHM * fwhm_px), *_REACH_PX))
        side = 2 * reach + 1
        cutouts = cut(chip, targets.position, side)
        x = targets.position.x - cutouts.corner_x
        y = targets.position.y - cutouts.corner_y
        light = _light(psf, Points(x, y), side)
        step = np.arange(side)
        away = np.hypot((step - x[:, None])[:, None, :], (step - y[:, None])[:, :, None])
        weight = _near(cutouts.weight, light, away <= _CORE_FWHM * fwhm_px)
        response = np.sum(weight * light**2, axis=(1, 2), dtype=np.float64)
        flux, model = np.zeros(len(x)), np.zeros(chip.pixels.shape, np.float32)
        for _ in range(_ROUNDS):
            others = pieces(model, cutouts.corner_y, cutouts.corner_x, side)
            others -= flux.astype(np.float32)[:, None, None] * light
            left = np.sum(weight * light * (cutouts.pixels - others), axis=(1, 2), dtype=np.float64)
            flux = np.divide(left, response, out=np.zeros(len(x)), where=response > 0)
            flux = np.maximum(flux, 0.0)
            model = _summed(light, flux, (cutouts.corner_x, cutouts.corner_y), chip.pixels.shape)
        return cls(psf, reach, targets.source, targets.position, flux, model)

    def around(self, source: IntArray, place: Points, side: int) -> Float32Array:
        """Return the light of all other sources in windows, shape (n, side, side).

        Parameters
        ----------
        source : int64 array, shape (n,)
            Ids, all of them of this chip.
        place : Points, shape (n,)
            In the windows, of the sources as they are here: to half a pixel is enough.
        side : int
        """
        at = np.searchsorted(self.source, source)
        corner_x = np.rint(self.position.x[at] - place.x).astype(np.int64)
        corner_y = np.rint(self.position.y[at] - place.y).astype(np.int64)
        return self.without(at[:, None], (corner_x, corner_y), side)

    def without(
        self, members: IntArray, corner: tuple[IntArray, IntArray], side: int
    ) -> Float32Array:
        """Return the light in windows of all sources but some, shape (n, side, side).

        Parameters
        ----------
        members : int64 array, shape (n, m)
            Indices of the sources that are left out of each window; -1: none.
        corner : tuple of int64 arrays, shape (n,)
            x and y on the chip of the first pixel.
        side : int
        """
        # Beyond the chip nothing is seen, so that what continues there does not count.
        light: Float32Array = pieces(self.model, corner[1], corner[0], side)
        step = np.arange(side)
        for at in members.T:
            x, y = self.position.x[at] - corner[0], self.position.y[at] - corner[1]
            flux = np.where(at >= 0, self.flux[at], 0.0).astype(np.float32)[:, None, None]
            # A source's light in the model ends where its stamp does.
            inside_x, inside_y = (
                np.abs(step - np.rint(one)[:, None]) <= self.reach_px for one in (x, y)
            )
            own = flux * self.psf.select(at).at(Points(x, y), side).value
            light = light - own * (inside_y[:, :, None] & inside_x[:, None, :])
        return light

    def taken_from(self, pairs: PairStack, source: IntArray, place: Points) -> PairStack:
        """Return pairs whose pixels are freed of other sources' light, but not of its noise.

        `source` and `place` are those of `around`.
        """
        light = self.around(source, place, pairs.side)
        seen = np.where(pairs.good, light, np.float32(0))
        weight = pairs.inverse_variance(seen)
        return replace(pairs, pixels=pairs.pixels - seen, weight=weight)

    def taken_from_stars(self, stars: KnownStars) -> KnownStars:
        """Return stars whose pixels are freed of other sources' light, but not of its noise."""
        stack, where = stars.stack, stars.on_chip
        far = np.abs(self.position.x - where.x[:, None]) + np.abs(
            self.position.y - where.y[:, None]
        )
        light = self.around(self.source[np.argmin(far, axis=1)], stars.known, stack.side)
        seen = np.where(stack.weight > 0, light, np.float32(0))
        full = np.ones_like(stack.window)
        weight = replace(stack, window=full).weighted(seen)
        return replace(stars, stack=replace(stack, pixels=stack.pixels - seen, weight=weight))


def _light(psf: SourceProfiles, place: Points, side: int) -> Float32Array:
    """Return unit stars, a few at a time: slopes come with them, and take room."""
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    light = np.empty((len(place.x), side, side), np.float32)
    for first in range(0, len(light), at_once):
        some = slice(first, first + at_once)
        row = np.arange(len(light))[some]
        light[some] = psf.select(row).at(Points(place.x[some], place.y[some]), side).value
    return light


def _near(weight: Float32Array, light: Float32Array, core: BoolArray) -> Float32Array:
    """Return the weights of cores alone; all of them where most of a core is masked: saturated."""
    squares = np.where(core, light**2, np.float32(0))
    seen = np.sum(squares * (weight > 0), axis=(1, 2)) >= _SEEN * np.sum(squares, axis=(1, 2))
    return np.where(core | ~seen[:, None, None], weight, np.float32(0))


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
