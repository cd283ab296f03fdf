"""Galaxies of a chip, placed against the mosaic of the others by the same fit to both.

Galaxies lie upon each other, and are not quite what any profile says. Where a fit puts one in an
exposure is as wrong as where it puts it in the template, the mosaic of the others in the chip's
seeing, but the catalogue is not. What the template shows beside the galaxy and is in no model is
taken from the exposure's pixels, as far as it stands out of the template's noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.star_fit import StarFit, StarStack
from alignsvc.numerics.displacement.windows.pairs import PairStack
from alignsvc.numerics.models.on_chip.source_profiles import SourceProfiles

#: Light of others is judged over boxes of this side, and is what exceeds so many times the noise.
_NEARBY_PX, _NOISE_POWER = 5, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class GalaxiesOnChip:
    """Those of n sources that are galaxies, as their templates show them.

    Parameters
    ----------
    is_galaxy : bool array, shape (n,)
    pairs : PairStack
        In which galaxies are freed of what templates show beside them.
    place : Points, shape (n,)
        Of galaxies in their templates, pixels of the boxes; NaN where there is none.
    """

    is_galaxy: BoolArray
    pairs: PairStack
    place: Points

    @classmethod
    def of(
        cls, profiles: SourceProfiles, pairs: PairStack, known: Points, fit: StarFit
    ) -> GalaxiesOnChip:
        """Return the galaxies among pairs with all light that is seen.

        Parameters
        ----------
        profiles : SourceProfiles
            Of the pairs' sources.
        pairs : PairStack
            Templates in the seeing of the chip.
        known : Points, shape (n,)
            Where in the boxes the mosaic has the sources.
        fit : StarFit
        """
        row = np.flatnonzero(profiles.is_galaxy)
        x, y = np.full((2, len(pairs)), np.nan)
        if not row.size:
            return cls(profiles.is_galaxy, pairs, Points(x, y))
        stack = StarStack.of_templates(pairs.select(row))
        own, start = profiles.select(row), Points(known.x[row], known.y[row])
        fitted = fit(own, stack, start)
        x[row], y[row] = fitted.place
        found = fitted.found
        at = Points(*(np.where(found, a, b) for a, b in zip(fitted.place, start, strict=True)))
        flux, sky = (np.nan_to_num(one)[:, None, None] for one in (fitted.flux, fitted.background))
        left = stack.pixels - flux * own.at(at, stack.side).value - sky
        less = freed(pairs.select(row), fitted.weight, np.where(found[:, None, None], left, 0.0))
        pixels, weight = pairs.pixels.copy(), pairs.weight.copy()
        pixels[row], weight[row] = less.pixels, less.weight
        freed_pairs = replace(pairs, pixels=pixels, weight=weight)
        return cls(profiles.is_galaxy, freed_pairs, Points(x, y))

    def put_in(self, stars: PairStack) -> PairStack:
        """Return pairs in which stars are freed of others in their own way, with the galaxies."""
        which = self.is_galaxy[:, None, None]
        return replace(
            stars,
            pixels=np.where(which, self.pairs.pixels, stars.pixels),
            weight=np.where(which, self.pairs.weight, stars.weight),
        )

    def off(self, stars: Points, place: Points) -> Points:
        """Return displacements of stars, as given, and of galaxies: from exposure to template."""
        return Points(
            np.where(self.is_galaxy, self.place.x - place.x, stars.x),
            np.where(self.is_galaxy, self.place.y - place.y, stars.y),
        )


def freed(pairs: PairStack, weight: Float32Array, left: FloatArray) -> PairStack:
    """Return pairs without what templates show beside the sources, where that stands out.

    What a fit leaves has no part along its slopes, and its noise none either: to take it away
    from the exposure moves nobody but as the template's place is moved, and all exposures alike.

    Parameters
    ----------
    pairs : PairStack
    weight : float32 array, shape (n, side, side)
        Inverse variances of what is left; 0 for what says nothing.
    left : float64 array, shape (n, side, side)
    """
    size = (0, _NEARBY_PX, _NEARBY_PX)
    power, seen = (
        ndimage.uniform_filter(one, size, mode="constant")
        for one in (weight * left**2, (weight > 0).astype(np.float64))
    )
    # The part of the power that is not noise (Wiener), beyond what noise alone may reach.
    part = np.clip(1 - _NOISE_POWER * seen / np.maximum(power, 1e-30), 0, 1)
    others = np.where(pairs.good & (weight > 0), part * left, 0.0).astype(np.float32)
    variance = part.astype(np.float32) ** 2 * pairs.template_variance
    inverse = pairs.inverse_variance(others)
    return replace(pairs, pixels=pairs.pixels - others, weight=inverse / (1 + inverse * variance))
