"""Where a mosaic is worth a look at full resolution: where many bright stars are well covered."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import PixelBox
from alignsvc.numerics.resampling.coadd import Contribution
from alignsvc.numerics.showing.binning import shown

#: A star's brightest pixel stands out by so many sigma; one that stands out by more than the
#: second number counts no more, or one bright star would be worth more than a field.
_LEAST_SNR, _MOST_SNR = 15.0, 100.0
#: It stands out of what lies so many pixels away by this part of that: the noise in the halo of a
#: bright star does not.
_AROUND_PX, _LEAST_PART = 6, 0.5
#: Pixels enough to tell sky and noise.
_SAMPLE = 100_000


@dataclass(frozen=True, slots=True)
class StarField:
    """A square of pixels of the grid, and what it is worth: 0 = no star."""

    box: PixelBox
    worth: float


@dataclass(frozen=True, slots=True)
class StarFieldSearch:
    """Finds the square of a tile that has most bright stars.

    Parameters
    ----------
    side_px : int
        Of the square; a smaller tile is taken whole.
    """

    side_px: int

    def __call__(self, tile: Contribution) -> StarField:
        """Return the best of the squares that cover a tile, the first of equals.

        Each star is worth what its brightest pixel stands out by, in sigma of the sky and up to
        a limit; a square in part not covered loses by the square of the part.
        """
        box, value = tile.box, shown(tile)
        covered = np.isfinite(value)
        worth = _worth_of_pixels(value, covered)
        best = StarField(self._square(box, box.x0, box.y0), -1.0)
        for y0 in self._starts(box.y0, box.y1):
            for x0 in self._starts(box.x0, box.x1):
                square = self._square(box, x0, y0)
                inside = square.slices_in(box)
                found = float(worth[inside].sum()) * float(covered[inside].mean()) ** 2
                if found > best.worth:
                    best = StarField(square, found)
        return best

    def _starts(self, first: int, last: int) -> list[int]:
        """Return where squares begin that cover ``first <= x < last``, by halves twice."""
        most = max(last - self.side_px, first)
        steps = 1 + -(-2 * (most - first) // self.side_px)
        return [round(x) for x in np.linspace(first, most, steps)]

    def _square(self, box: PixelBox, x0: int, y0: int) -> PixelBox:
        return PixelBox(x0, y0, x0 + self.side_px, y0 + self.side_px).intersect(box)


def _worth_of_pixels(value: FloatArray, covered: BoolArray) -> FloatArray:
    """Return the worth of each star at its brightest pixel, 0 elsewhere."""
    if not covered.any():
        return np.zeros(value.shape)
    known = value[covered]
    known = known[:: max(1, len(known) // _SAMPLE)]
    sky = np.median(known)
    sigma = 1.4826 * np.median(np.abs(known - sky))
    if not sigma > 0:
        return np.zeros(value.shape)
    k = _AROUND_PX
    around = np.full((value.shape[0] + 2 * k, value.shape[1] + 2 * k), -np.inf)
    snr = around[k:-k, k:-k]
    np.subtract(value, sky, out=snr, where=covered)
    snr /= sigma
    # Only what is bright is looked at closely: few of a tile's pixels are.
    y, x = np.nonzero(snr > _LEAST_SNR)
    own = snr[y, x]
    highest = np.ones(len(own), bool)
    for dy, dx in product((-1, 0, 1), repeat=2):
        highest &= own >= around[y + k + dy, x + k + dx]
    four = [around[y + k + dy, x + k + dx] for dy, dx in ((k, 0), (-k, 0), (0, k), (0, -k))]
    away = np.mean(np.maximum(four, 0.0), axis=0)
    above = own - away
    stands_out = highest & (above > _LEAST_SNR) & (above > _LEAST_PART * away)
    worth = np.zeros(value.shape)
    worth[y, x] = np.where(stands_out, np.minimum(above, _MOST_SNR), 0.0)
    return worth
