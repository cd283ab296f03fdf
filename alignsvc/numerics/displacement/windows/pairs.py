"""Cutouts of an exposure beside their templates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.numerics.compiled import compiled, compiled_sums
from alignsvc.numerics.displacement.splines.spline import TemplateSpline
from alignsvc.numerics.displacement.windows.noise import NoiseTexture
from alignsvc.numerics.displacement.windows.psf_matching import MatchingKernel

#: Width of the aperture's soft edge. A hard edge of whole pixels is lopsided by the phase of the
#: source, and where the profiles differ there is light at it: 1.5 mpx (a star of FWHM 6 px against
#: a mosaic of 3.5 to 6), 0.15 with an edge of 2 px.
SOFT_EDGE_PX = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class PairStack:
    """Boxes about sources in the exposure, with their templates, in a form to be fitted.

    Parameters
    ----------
    pixels : float32 array, shape (n, side, side)
        Of the exposure; 0 where not good.
    weight : float32 array, shape (n, side, side)
        Inverse variance of the sky noise.
    good : bool array, shape (n, side, side)
        False = bad, off the chip, or another source's.
    spline : TemplateSpline
    template_good : bool array, shape (n, template side, template side)
    template_variance : float32 array, shape (n, side, side)
        From the sky alone.
    texture : NoiseTexture
        Of the template.
    share : float32 array, shape (n, side, side)
        The exposure's part of the mosaic's weight.
    centre : Points, shape (n,)
        Where the source should lie in the box by the present WCS, had the box not been moved.
    whole : Points, shape (n,)
        Whole pixels that the box has been moved back by, so that shifts in it are small: the
        displacement is theirs and `whole`.
    aperture_px : float64 array, shape (n,)
        Radius within which the source stands out.
    gain : float or None
        Electrons per unit of `pixels`; None: the sources' own noise is left out.
    kernel : MatchingKernel
        With which `spline` has been convolved already.
    """

    pixels: Float32Array
    weight: Float32Array
    good: BoolArray
    spline: TemplateSpline
    template_good: BoolArray
    template_variance: Float32Array
    texture: NoiseTexture
    share: Float32Array
    centre: Points
    whole: Points
    aperture_px: FloatArray
    gain: float | None
    kernel: MatchingKernel = field(default_factory=MatchingKernel)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def side(self) -> int:
        """Pixels along a cutout's side."""
        return int(self.pixels.shape[-1])

    @property
    def catalogued(self) -> Points:
        """Where the source should lie in the box as it is, moved or not."""
        return Points(self.centre.x + self.whole.x, self.centre.y + self.whole.y)

    @property
    def searched(self) -> BoolArray:
        """The good pixels within the aperture about the place where the source should lie.

        Those of them that the box still holds, if it has been moved.
        """
        return self.good & self.aperture(Points(-self.whole.x, -self.whole.y))

    def common(self, shift: Points) -> BoolArray:
        """Return the pixels good in both, the template's mask moved to the nearest pixel."""
        if self.template_good.all():
            return self.good
        margin = (self.template_good.shape[-1] - self.side) // 2
        step = margin + np.arange(self.side)
        row = np.rint(shift.y).astype(np.int64)[:, None] + step
        column = np.rint(shift.x).astype(np.int64)[:, None] + step
        each = np.arange(len(self))[:, None, None]
        moved = self.template_good[each, row[:, :, None], column[:, None, :]]
        both: BoolArray = self.good & moved
        return both

    def aperture(self, shift: Points) -> BoolArray:
        """Return the pixels within `aperture_px` of where the shift puts the source."""
        place = np.stack([self.centre.x - shift.x, self.centre.y - shift.y], axis=1)
        return _discs(place, self.aperture_px, self.side)

    def window(self, shift: Points) -> Float32Array:
        """Return the aperture with a soft edge: from 1 to 0 across `SOFT_EDGE_PX` at its rim."""
        place = np.stack([self.centre.x - shift.x, self.centre.y - shift.y], axis=1)
        return _soft_discs(place, self.aperture_px, self.side)

    def compared(self, shift: Points) -> Float32Array:
        """Return the weight of each pixel good in both, within the aperture with its soft edge."""
        weight = self.window(shift)
        weight *= self.common(shift)
        weight *= self.weight
        return weight

    def variances(self, model: Float32Array, good: BoolArray) -> tuple[Float32Array, Float32Array]:
        """Return the variance of the exposure and of the template, sky and source.

        ``1 / weight + max(model, 0) / gain``; the template's noise is taken to be in the same
        proportion to its sky's as the exposure's (exposures of similar depth). 0 where not good;
        the exposure's where its weight is, too.
        """
        planes = contiguous(model), contiguous(self.weight), contiguous(self.template_variance)
        per_gain = np.float32(0 if self.gain is None else 1 / self.gain)
        return _variances(planes, contiguous(good), per_gain)

    def inverse_variance(self, model: Float32Array) -> Float32Array:
        """Return the inverse variance of the exposure, sky and source; 0 where `weight` is."""
        return self.noisier(self.weight, model, np.ones(len(self)))

    def noisier(
        self, weight: Float32Array, template: Float32Array, flux: FloatArray
    ) -> Float32Array:
        """Return weights less by what the noise of sources adds to that of the sky.

        Sources are templates, shape (n, side, side), times fluxes, shape (n,).
        """
        if self.gain is None:
            return weight
        planes = contiguous(weight), contiguous(template), contiguous(self.weight)
        return _noisier(*planes, (flux / self.gain).astype(np.float32))

    def select(self, which: BoolArray | IntArray) -> PairStack:
        """Return the pairs named by a mask or by indices."""
        return replace(
            self,
            pixels=self.pixels[which],
            weight=self.weight[which],
            good=self.good[which],
            spline=self.spline.select(which),
            template_good=self.template_good[which],
            template_variance=self.template_variance[which],
            texture=self.texture.select(which),
            share=self.share[which],
            centre=Points(self.centre.x[which], self.centre.y[which]),
            whole=Points(self.whole.x[which], self.whole.y[which]),
            aperture_px=self.aperture_px[which],
        )


@compiled
def _discs(place: FloatArray, radius_px: FloatArray, side: int) -> BoolArray:
    """Return which pixels lie within discs about places (x, y), shape (n, side, side)."""
    discs = np.empty((len(place), side, side), np.bool_)
    for i in range(len(place)):
        most = np.float32(radius_px[i]) ** 2
        for y in range(side):
            across = np.float32((y - place[i, 1]) ** 2)
            for x in range(side):
                discs[i, y, x] = np.float32((x - place[i, 0]) ** 2) + across <= most
    return discs


@compiled
def _variances(
    planes: tuple[Float32Array, Float32Array, Float32Array], good: BoolArray, per_gain: np.float32
) -> tuple[Float32Array, Float32Array]:
    """Return what `PairStack.variances` does, of model, weight and variance of the template."""
    model, weight, template_variance = planes
    own, template = np.zeros(weight.shape, np.float32), np.zeros(weight.shape, np.float32)
    none, unit = np.float32(0), np.float32(1)
    to = own.reshape(-1), template.reshape(-1)
    of = model.reshape(-1), weight.reshape(-1), template_variance.reshape(-1)
    counts = good.reshape(-1)
    for k in range(len(counts)):
        if counts[k]:
            growth = unit + max(of[0][k], none) * (of[1][k] * per_gain)
            to[0][k] = growth / of[1][k] if of[1][k] > none else none
            to[1][k] = of[2][k] * growth
    return own, template


@compiled
def _soft_discs(place: FloatArray, radius_px: FloatArray, side: int) -> Float32Array:
    """Return discs about places (x, y) with soft edges, shape (n, side, side)."""
    discs = np.empty((len(place), side, side), np.float32)
    squares = np.empty(side, np.float32)
    for i in range(len(place)):
        for x in range(side):
            squares[x] = (x - place[i, 0]) ** 2
        for y in range(side):
            _fill_soft(squares, (y - place[i, 1]) ** 2, radius_px[i], discs[i, y])
    return discs


@compiled_sums
def _fill_soft(squares: Float32Array, across: float, radius_px: float, row: Float32Array) -> None:
    """Fill a row of a disc, given squares of distances along it and across."""
    none, half, unit = np.float32(0), np.float32(0.5), np.float32(1)
    two, three = np.float32(2), np.float32(3)
    per_edge, away = np.float32(1 / SOFT_EDGE_PX), np.float32(across)
    rim = np.float32(radius_px) * per_edge + half
    for x in range(len(row)):
        depth = min(max(rim - np.sqrt(squares[x] + away) * per_edge, none), unit)
        row[x] = depth * depth * (three - two * depth)


@compiled
def _noisier(
    weight: Float32Array,
    template: Float32Array,
    sky_weight: Float32Array,
    flux_per_gain: Float32Array,
) -> Float32Array:
    """Return weights over the variance of sky and source over that of the sky."""
    found, none, unit = np.empty(weight.shape, np.float32), np.float32(0), np.float32(1)
    for i in range(len(weight)):
        to, flux = found[i].reshape(-1), flux_per_gain[i]
        of = weight[i].reshape(-1), template[i].reshape(-1), sky_weight[i].reshape(-1)
        for k in range(len(to)):
            to[k] = of[0][k] / (unit + max(flux * of[1][k], none) * of[2][k])
    return found


def distance2(place: Points, side: int) -> Float32Array:
    """Return the squares of pixels' distances from a place in each frame, (n, side, side)."""
    step = np.arange(side)
    x, y = (((step - at[:, None]) ** 2).astype(np.float32) for at in (place.x, place.y))
    squares: Float32Array = x[:, None, :] + y[:, :, None]
    return squares
