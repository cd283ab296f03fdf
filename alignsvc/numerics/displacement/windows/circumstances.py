"""What surrounds a source in its cutout: which flags it earns, and how far it is trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import BoolArray, FloatArray, IntArray, contiguous
from alignsvc.domain.geometry import Points
from alignsvc.domain.quality import DisplacementFlag
from alignsvc.numerics.compiled import compiled
from alignsvc.numerics.displacement.windows.blots import BlotStack
from alignsvc.numerics.displacement.windows.cutouts import CutoutStack, middles
from alignsvc.numerics.displacement.windows.pairs import SOFT_EDGE_PX
from alignsvc.numerics.solve.clipping import weighted_median_by

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
#: A source is another one for certain at this part of the flux that it should have, and by nothing
#: in its flux above the second; and for certain from the second of these distances on, in FWHM of
#: a typical source, and not before the first.
_FLUX_OF_ANOTHER, _AWAY_FWHM = (0.5, 0.65), (0.5, 1.0)
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
        holes = self._holes()
        clear = np.minimum(wanted_px, self._from_edge() - 0.5 * SOFT_EDGE_PX)
        ends = np.clip((holes.part(wanted_px) - _FEW_HOLES) / (4 * _FEW_HOLES), 0.0, 1.0)
        to_hole = np.minimum(holes.nearest() - 0.5 * SOFT_EDGE_PX, clear)
        clear = clear + ends * (to_hole - clear)
        return np.asarray(np.maximum(clear, np.minimum(least_px, wanted_px)))

    def judged(self, aperture_px: FloatArray) -> Circumstances:
        """Return flags and trust that depend on pixels, not on the measurement.

        Parameters
        ----------
        aperture_px : float64 array, shape (n,)
            Holes of the template count within it: pixels beyond take no part.
        """
        cutouts, holes = self.cutouts, self._holes()
        core = np.maximum(CORE_FWHM * self.fwhm_px, LEAST_CORE_PX)
        rim = np.maximum(EDGE_FWHM * self.fwhm_px, core)
        reach = np.full(len(core), 0.5 * (cutouts.side - 1) - _WITHIN_PX)
        bad = _Named(~cutouts.good, self.place)
        in_core = _Named(~cutouts.good & cutouts.on_chip, self.place)
        saturated = _Named(self._own_saturated(), self.place)
        clear = [
            (DisplacementFlag.OUTSIDE, _beyond(self._from_edge(), rim)),
            (DisplacementFlag.MASKED_CORE, _beyond(in_core.nearest(), core)),
            (DisplacementFlag.MASKED_MANY, _below(bad.part(reach), MOST_BAD)),
            (DisplacementFlag.TEMPLATE_HOLE, _beyond(holes.nearest(), core)),
            (DisplacementFlag.TEMPLATE_HOLE, _below(holes.part(aperture_px), MOST_HOLES)),
            (DisplacementFlag.SATURATED, _beyond(saturated.nearest(), reach / _WHOLE_BEYOND)),
        ]
        flags = np.zeros(len(cutouts), np.int64)
        trust = np.ones(len(cutouts))
        for flag, kept in clear:
            flags |= np.where(kept > 0, 0, int(flag))
            trust *= kept
        return Circumstances(flags, trust)

    def _holes(self) -> _Named:
        """Return the holes of the templates, as far as cutouts reach."""
        side = min(self.cutouts.side, self.blots.good.shape[-1])
        within = (self.cutouts.side - side) // 2
        place = Points(self.place.x - within, self.place.y - within)
        return _Named(~middles(self.blots.good, side), place)

    def _own_saturated(self) -> BoolArray:
        """Return saturated pixels but for those known to be of other sources."""
        found = self.cutouts.saturated
        if not found.any():
            return found
        side = min(self.cutouts.side, self.blots.others.shape[-1])
        own = found.copy()
        middles(own, side)[...] &= ~middles(self.blots.others, side)
        return own

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


def not_another(found: Found, fwhm_px: FloatArray) -> Circumstances:
    """Return the judgement of sources by whether it was themselves that were found.

    A faint source beside a bright one of the template, which the exposure's mask hides, is as
    like the bright one as like itself: it is found pixels away, with a third of the flux, and
    with a small error. (One in a hundred, at 100 stars a square arcmin.) Low flux alone may be
    colour, and distance alone the header's error.

    Parameters
    ----------
    found : Found
    fwhm_px : array, shape (n,)
    """
    if not len(found.dx):
        return Circumstances(np.zeros(0, np.int64), np.zeros(0))
    known = np.isfinite(found.dx) & (found.weight > 0) & (found.flux > 0)
    label = np.zeros(int(known.sum()), np.int64)
    dx, dy, flux = (
        weighted_median_by(label, one[known], found.weight[known], 1)[0]
        for one in (found.dx, found.dy, found.flux)
    )
    # Of two sources taken for one the width is that of neither.
    width = np.minimum(fwhm_px, np.median(fwhm_px))
    away = np.hypot(found.dx - dx, found.dy - dy) / width
    least, most = _FLUX_OF_ANOTHER
    lacks = np.clip((most * flux - found.flux) / max((most - least) * flux, 1e-30), 0.0, 1.0)
    near, far = _AWAY_FWHM
    trust = 1.0 - lacks * np.clip((away - near) / (far - near), 0.0, 1.0)
    trust = np.where(known, trust, 1.0)
    return Circumstances(np.where(trust > 0, 0, int(DisplacementFlag.OTHER_SOURCE)), trust)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found of a chip's sources.

    Parameters
    ----------
    dx, dy : float64 arrays, shape (n,)
        Displacements, pixels.
    flux : float64 array, shape (n,)
        The exposure's over the template's.
    weight : float64 array, shape (n,)
        By which they count in medians; 0 where nothing is known.
    """

    dx: FloatArray
    dy: FloatArray
    flux: FloatArray
    weight: FloatArray


def _beyond(distance: FloatArray, radius: FloatArray) -> FloatArray:
    """Return 0 up to a radius, 1 from `_WHOLE_BEYOND` of it."""
    return np.asarray(np.clip((distance / radius - 1.0) / _RISE_OF_RADIUS, 0.0, 1.0))


def _below(part: FloatArray, most: float) -> FloatArray:
    """Return 1 for small parts, falling to 0 at `most`."""
    return np.asarray(np.clip((most - part) / _RISE_OF_PART, 0.0, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """Some pixels of frames, (n, side, side), and a place in each; most frames have none."""

    which: BoolArray
    place: Points

    def nearest(self) -> FloatArray:
        """Return the distance of the nearest one from the place, infinite without one."""
        return _nearest(contiguous(self.which), self._rows)

    def part(self, radius_px: FloatArray) -> FloatArray:
        """Return how many of the pixels of a disc about the place they are, as a part."""
        return _part(contiguous(self.which), self._rows, radius_px)

    @property
    def _rows(self) -> FloatArray:
        return np.stack([self.place.x, self.place.y], axis=1)


@compiled
def _nearest(which: BoolArray, place: FloatArray) -> FloatArray:
    """Return the distances of places (x, y) from the nearest pixels named, infinite without one."""
    found = np.full(len(which), np.inf)
    for i in range(len(which)):
        for y in range(which.shape[1]):
            if not _any(which[i, y]):
                continue
            across = (y - place[i, 1]) ** 2
            for x in range(which.shape[2]):
                if which[i, y, x]:
                    found[i] = min(found[i], (x - place[i, 0]) ** 2 + across)
    return np.asarray(np.sqrt(found))


@compiled
def _part(which: BoolArray, place: FloatArray, radius_px: FloatArray) -> FloatArray:
    """Return how many pixels of discs about places (x, y) are named, as a part of them."""
    found = np.zeros(len(which))
    for i in range(len(which)):
        rows = 0
        for y in range(which.shape[1]):
            rows += int(_any(which[i, y]))
        if not rows:
            continue
        inside = named = 0
        for y in range(which.shape[1]):
            left = radius_px[i] ** 2 - (y - place[i, 1]) ** 2
            for x in range(which.shape[2]):
                if (x - place[i, 0]) ** 2 <= left:
                    inside += 1
                    named += int(which[i, y, x])
        found[i] = named / max(inside, 1)
    return found


@compiled
def _any(row: BoolArray) -> bool:
    """Return whether a pixel of a row is named, looking at all: several at once."""
    found = False
    for x in range(len(row)):
        found |= row[x]
    return found
