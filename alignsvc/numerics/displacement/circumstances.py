"""What surrounds a source in its cutout: which flags it earns, and how far it is trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.displacement.blots import BlotStack
from alignsvc.numerics.displacement.cutouts import CutoutStack
from alignsvc.numerics.displacement.pairs import SOFT_EDGE_PX

#: A source that carries more of the mosaic's weight than this has no reference to speak of.
DOMINATES = 0.95
#: Part of the aperture that may be holes of the template, and of the cutout that may be bad. The
#: fit leaves such pixels out; along an edge, where overlaps are thin, every source counts.
MOST_HOLES, MOST_BAD = 0.5, 0.5
#: Radius of a source's core: within it a bad pixel cannot be made good by a template whose
#: profile differs (a tenth of a pixel was seen). A chip's edge cuts off one whole side: nearer
#: than a FWHM it pulled sources by 0.02-0.05 px.
CORE_FWHM, LEAST_CORE_PX, EDGE_FWHM = 0.6, 1.5, 1.0
#: Trust rises from 0 at a limit to 1 so far beyond it: a part of the radius, and of the whole.
_RISE_OF_RADIUS, _RISE_OF_PART, _RISE_OF_SHARE = 0.25, 0.1, 0.03
#: Part of an aperture that holes may take before they count as the mosaic's end.
_FEW_HOLES = 0.01
#: Beyond so many times its radius a limit takes nothing away.
_WHOLE_BEYOND = 1.0 + _RISE_OF_RADIUS
#: What lies so far within the cutout is in it wherever in its middle pixel the source stands.
_WITHIN_PX = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Circumstances:
    """Judgement of sources by the pixels around them.

    Parameters
    ----------
    flags : int64 array, shape (n,)
        Bits of `DisplacementFlag`.
    trust : float64 array, shape (n,)
        Part of its information that a source keeps: 0 where flagged, less than 1 where nearly.
        With a limit that had an edge, one source 5 px from a chip's edge came and went with
        each pass in a grid of 36, since its exposure moved a little the other way each time.
    """

    flags: IntArray
    trust: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Cutouts with their templates, and where in them the sources stand.

    Parameters
    ----------
    cutouts : CutoutStack
    blots : BlotStack
    place : Points, shape (n,)
        Of the source, cutout pixels, as measured.
    fwhm_px : float64 array, shape (n,)
    chip_shape : tuple of int
        ``(ny, nx)``.
    """

    cutouts: CutoutStack
    blots: BlotStack
    place: Points
    fwhm_px: FloatArray
    chip_shape: tuple[int, int]

    def clear_aperture(self, wanted_px: FloatArray, least_px: FloatArray) -> FloatArray:
        """Return apertures that end before the chip does, or the mosaic, pixels.

        Cut off on one side, an aperture lets in what the profiles differ by (2 mpx at 10 px from
        an edge for a FWHM of 4.6 px beside 5.4), and another 1 mpx with each row of pixels that
        a movement brings in. A hole of a few pixels is not where the mosaic ends.

        Parameters
        ----------
        wanted_px, least_px : float64 arrays, shape (n,)
        """
        distance2, hole = self._distance2(), self._holes()
        clear = np.minimum(wanted_px, self._from_edge() - 0.5 * SOFT_EDGE_PX)
        disc = distance2 <= (wanted_px**2)[:, None, None]
        ends = np.clip((_part(hole & disc, disc) - _FEW_HOLES) / (4 * _FEW_HOLES), 0.0, 1.0)
        to_hole = np.minimum(_nearest(distance2, hole) - 0.5 * SOFT_EDGE_PX, clear)
        clear = clear + ends * (to_hole - clear)
        return np.asarray(np.maximum(clear, np.minimum(least_px, wanted_px)))

    def judged(self, aperture: BoolArray) -> Circumstances:
        """Return flags and trust that depend on pixels, not on the measurement.

        Parameters
        ----------
        aperture : bool array, shape (n, side, side)
            Holes of the template count within it: pixels beyond take no part.
        """
        cutouts, blots = self.cutouts, self.blots
        core = np.maximum(CORE_FWHM * self.fwhm_px, LEAST_CORE_PX)
        rim = np.maximum(EDGE_FWHM * self.fwhm_px, core)
        hole, distance2 = self._holes(), self._distance2()
        reach = 0.5 * (cutouts.side - 1) - _WITHIN_PX
        window = distance2 <= reach**2
        bad = ~cutouts.good & window
        saturated = cutouts.saturated & ~blots.others
        clear = [
            (DisplacementFlag.OUTSIDE, _beyond(self._from_edge(), rim)),
            (
                DisplacementFlag.MASKED_CORE,
                _beyond(_nearest(distance2, ~cutouts.good & cutouts.on_chip), core),
            ),
            (DisplacementFlag.MASKED_MANY, _below(_part(bad, window), MOST_BAD)),
            (DisplacementFlag.TEMPLATE_HOLE, _beyond(_nearest(distance2, hole), core)),
            (
                DisplacementFlag.TEMPLATE_HOLE,
                _below(_part(hole & aperture, aperture), MOST_HOLES),
            ),
            (
                DisplacementFlag.SATURATED,
                _beyond(_nearest(distance2, saturated), np.full(len(core), reach / _WHOLE_BEYOND)),
            ),
        ]
        flags = np.zeros(len(cutouts), np.int64)
        trust = np.ones(len(cutouts))
        for flag, kept in clear:
            flags |= np.where(kept > 0, 0, int(flag))
            trust *= kept
        return Circumstances(flags, trust)

    def _holes(self) -> BoolArray:
        margin = (self.blots.good.shape[-1] - self.cutouts.side) // 2
        return ~self.blots.good[:, margin:-margin, margin:-margin]

    def _distance2(self) -> FloatArray:
        step = np.arange(self.cutouts.side)
        along_x = (step - self.place.x[:, None])[:, None, :] ** 2
        along_y = (step - self.place.y[:, None])[:, :, None] ** 2
        distance2: FloatArray = along_x + along_y
        return distance2

    def _from_edge(self) -> FloatArray:
        """Return the distances to the nearest pixel that the chip does not have."""
        ny, nx = self.chip_shape
        x = self.cutouts.corner_x + self.place.x
        y = self.cutouts.corner_y + self.place.y
        nearest: FloatArray = np.minimum.reduce([x + 1, nx - x, y + 1, ny - y])
        return nearest


def not_dominated(share: FloatArray) -> Circumstances:
    """Return the judgement of sources by the exposure's part of the mosaic's weight."""
    trust = np.clip((DOMINATES - np.nan_to_num(share, nan=0.0)) / _RISE_OF_SHARE, 0.0, 1.0)
    return Circumstances(np.where(trust > 0, 0, int(DisplacementFlag.DOMINATED)), trust)


def _nearest(distance2: FloatArray, which: BoolArray) -> FloatArray:
    """Return the distance of the nearest pixel named, infinite without one."""
    if not which.any():
        return np.full(len(distance2), np.inf)
    return np.asarray(np.sqrt(np.min(np.where(which, distance2, np.inf), axis=(1, 2))))


def _beyond(distance: FloatArray, radius: FloatArray) -> FloatArray:
    """Return 0 up to a radius, 1 from `_WHOLE_BEYOND` of it."""
    return np.asarray(np.clip((distance / radius - 1.0) / _RISE_OF_RADIUS, 0.0, 1.0))


def _below(part: FloatArray, most: float) -> FloatArray:
    """Return 1 for small parts, falling to 0 at `most`."""
    return np.asarray(np.clip((most - part) / _RISE_OF_PART, 0.0, 1.0))


def _part(pixels: BoolArray, of: BoolArray) -> FloatArray:
    """Return how many of the pixels `of` are named, as a part; 0 where there are none."""
    whole = np.maximum(of.sum(axis=(1, 2)), 1)
    return np.asarray(pixels.sum(axis=(1, 2)) / whole, np.float64)
