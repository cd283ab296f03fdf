"""Sources whose cores overlap, fitted together, with companions that the catalogue does not know.

What is close is the catalogue's to say, at a width that is the same for all exposures: in each of
them a source has the same others. A companion that the catalogue lacks, on the flank of a bright
source, is found in what the fit of that source leaves: each exposure looks at its own pixels,
which no pass changes, so that what one pass finds the next one finds again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.cutouts import cut
from alignsvc.numerics.displacement.pairs import SOFT_EDGE_PX, distance2
from alignsvc.numerics.displacement.star_fit import FittedStars, Psf, StarStack
from alignsvc.numerics.models.chip_profile import ChipProfile
from alignsvc.numerics.models.companions import CompanionSearch
from alignsvc.numerics.models.group_fit import FittedGroups, GroupFit, StarGroups
from alignsvc.numerics.models.neighbours import Neighbours
from alignsvc.numerics.models.unexplained import growth
from alignsvc.numerics.resampling.calibrate import CalibratedChip

#: Half sides of windows go in such steps, so that there are few sizes.
_HALF_STEP = 3
#: Of others no less flux is expected than this part of a source's: a scale for steps.
_LEAST_PART = 1e-3
#: Pixels of windows that are worked on at once.
_PIXELS_AT_ONCE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class SourcesOnChip:
    """What is known of sources when each has been placed alone.

    Parameters
    ----------
    source : int64 array, shape (n,)
        Ids.
    flux : float64 array, shape (n,)
        As expected.
    snr : float64 array, shape (n,)
        As expected.
    is_faint : bool array, shape (n,)
        With these one step is made.
    aperture_px : float64 array, shape (n,)
    moved : tuple of float
        How far sources are from their places in the catalogue, x and y, as a whole.
    """

    source: IntArray
    flux: FloatArray
    snr: FloatArray
    is_faint: BoolArray
    aperture_px: FloatArray
    moved: tuple[float, float]

    def select(self, which: IntArray) -> SourcesOnChip:
        """Return the sources at indices."""
        return SourcesOnChip(
            self.source[which],
            self.flux[which],
            self.snr[which],
            self.is_faint[which],
            self.aperture_px[which],
            self.moved,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PlacedTogether:
    """Those of the sources that are not alone.

    Parameters
    ----------
    row : int64 array, shape (k,)
        Which of the sources they are.
    off : Points, shape (k,)
        From their places in the catalogue, pixels; NaN where the fit does not converge.
    flux, background : float64 arrays, shape (k,)
    covariance : float64 array, shape (k, 2, 2)
        Of the place, with what is not known of the others; grown by chi2.
    """

    row: IntArray
    off: Points
    flux: FloatArray
    background: FloatArray
    covariance: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[PlacedTogether]) -> PlacedTogether:
        """Return the sources of all parts; of one that is in several, what the last says."""
        none = np.zeros(0)
        empty = cls(np.zeros(0, np.int64), Points(none, none), none, none, np.zeros((0, 2, 2)))
        row, flux, background, covariance = (
            np.concatenate([getattr(part, name) for part in (empty, *parts)])
            for name in ("row", "flux", "background", "covariance")
        )
        x, y = (np.concatenate([part.off[axis] for part in (empty, *parts)]) for axis in (0, 1))
        last = len(row) - 1 - np.unique(row[::-1], return_index=True)[1]
        off = Points(x[last], y[last])
        return cls(row[last], off, flux[last], background[last], covariance[last])

    def of_all(self, rows: IntArray) -> PlacedTogether:
        """Return the same, counted among all sources, of which they were those at `rows`."""
        return replace(self, row=rows[self.row])

    def put_in(self, fitted: FittedStars, catalogued: Points) -> FittedStars:
        """Return fitted stars with these instead of what they were alone.

        Parameters
        ----------
        fitted : FittedStars
        catalogued : Points, shape (n,)
            Where in the windows of `fitted` the catalogue has them.
        """
        old = (*fitted.place, fitted.flux, fitted.background, fitted.covariance)
        x, y, flux, background, covariance = (one.copy() for one in old)
        x[self.row] = catalogued.x[self.row] + self.off.x
        y[self.row] = catalogued.y[self.row] + self.off.y
        flux[self.row], background[self.row] = self.flux, self.background
        covariance[self.row] = self.covariance
        return FittedStars(Points(x, y), flux, background, covariance, fitted.weight)


@dataclass(frozen=True, slots=True, eq=False)
class SkyOfChip:
    """The pixels of a chip, and what the catalogue says lies on them.

    Parameters
    ----------
    chip : CalibratedChip
    neighbours : Neighbours
        All sources of the chip.
    reach_px : float
        Sources closer than this overlap.
    """

    chip: CalibratedChip
    neighbours: Neighbours
    reach_px: float

    def others(self, source: IntArray, most: int) -> IntArray:
        """Return the nearest of those that overlap each source, shape (n, most); -1: no more.

        They are indices into `neighbours`, as all that follow.
        """
        own = self.own(source)
        x, y = (axis - axis[own][:, None] for axis in self.neighbours.position)
        distance = np.hypot(x, y)
        distance[np.arange(len(own)), own] = np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :most]
        close = np.take_along_axis(distance, nearest, axis=1) < self.reach_px
        others = np.full((len(own), most), -1)
        others[:, : nearest.shape[1]] = np.where(close, nearest, -1)
        return others

    def farthest(self, source: IntArray, others: IntArray) -> FloatArray:
        """Return how far away the farthest of the others is, pixels; -inf where there is none."""
        own = self.own(source)
        x, y = (axis[others] - axis[own][:, None] for axis in self.neighbours.position)
        away = np.where(others >= 0, np.hypot(x, y), -np.inf)
        return np.asarray(away.max(axis=1, initial=-np.inf))

    def own(self, source: IntArray) -> IntArray:
        """Return the indices of sources."""
        return np.asarray(np.searchsorted(self.neighbours.source, source), np.int64)

    def places(self, source: IntArray) -> Points:
        """Return where on the chip sources are."""
        own = self.own(source)
        return Points(self.neighbours.position.x[own], self.neighbours.position.y[own])

    def groups(
        self, sources: SourcesOnChip, others: IntArray, side: int, known_px: float
    ) -> StarGroups:
        """Return windows about sources, the light of all that is not of their groups taken away.

        Parameters
        ----------
        sources : SourcesOnChip
        others : int64 array, shape (n, m)
        side : int
        known_px : float
            See `StarGroups`.
        """
        near, move = self.neighbours, sources.moved
        members = np.concatenate([self.own(sources.source)[:, None], others], axis=1)
        x, y = near.position.x[members] + move[0], near.position.y[members] + move[1]
        cutouts = cut(self.chip, Points(x[:, 0], y[:, 0]), side)
        place = Points(x - cutouts.corner_x[:, None], y - cutouts.corner_y[:, None])
        light = near.without(members, (cutouts.corner_x, cutouts.corner_y), side)
        seen = np.where(cutouts.good, light, np.float32(0))
        window = _aperture(Points(place.x[:, 0], place.y[:, 0]), sources.aperture_px, side)
        whole = StarStack(cutouts.pixels, cutouts.weight, np.ones_like(seen), self.chip.gain)
        # The light goes, its noise stays.
        stack = StarStack(cutouts.pixels - seen, whole.weighted(seen), window, self.chip.gain)
        flux = np.concatenate([sources.flux[:, None], near.flux[others]], axis=1)
        flux = np.maximum(flux, _LEAST_PART * flux[:, :1])
        return StarGroups(stack, place, flux, sources.is_faint, known_px)


@dataclass(frozen=True, slots=True)
class CloseSources:
    """How sources are fitted that others overlap.

    Parameters
    ----------
    most_others : int
        Of the catalogue's, the nearest, that a source is fitted with.
    known_fwhm : float
        How well the places of the others are known beforehand, in FWHM.
    beyond_fwhm : float
        Apertures reach so far beyond the farthest of the catalogue's others, in FWHM.
    most_companions : int
        That the catalogue does not know.
    least_snr : float
        Of the sources beside which these are looked for.
    nearest : float
        So close to a source, as a part of what overlaps, none is looked for.
    fit : GroupFit
    search : CompanionSearch
    """

    most_others: int = 3
    known_fwhm: float = 0.25
    beyond_fwhm: float = 1.0
    most_companions: int = 3
    least_snr: float = 50.0
    nearest: float = 0.35
    fit: GroupFit = field(default_factory=GroupFit)
    search: CompanionSearch = field(default_factory=CompanionSearch)

    def __call__(
        self, profile: ChipProfile, sky: SkyOfChip, sources: SourcesOnChip
    ) -> PlacedTogether:
        """Return the sources that are not alone."""
        others = sky.others(sources.source, self.most_others)
        reach = sky.farthest(sources.source, others) + self.beyond_fwhm * profile.fwhm_px
        sources = replace(sources, aperture_px=np.maximum(sources.aperture_px, reach))
        count, sides = np.sum(others >= 0, axis=1), _sides(sources.aperture_px)
        searched = ~sources.is_faint & (sources.snr >= self.least_snr)
        tried = np.flatnonzero((sources.flux > 0) & ((count > 0) | searched))
        parts, psf = [], profile.seen_at(sky.places(sources.source))
        for n, side in np.unique(np.stack([count, sides], axis=1)[tried], axis=0).tolist():
            for rows in _some(tried[(count[tried] == n) & (sides[tried] == side)], side):
                known_px = self.known_fwhm * profile.fwhm_px
                groups = sky.groups(sources.select(rows), others[rows, :n], side, known_px)
                fitted = self.fit(psf.select(rows), groups)
                if n:
                    parts.append(_first_of(rows, groups, fitted, sources.moved))
                which = np.flatnonzero(searched[rows] & fitted.first.found)
                begun = _Going(rows[which], groups.select(which), fitted.select(which))
                parts.extend(
                    _first_of(one.row, one.groups, one.fitted, sources.moved)
                    for one in self._with_companions(
                        profile, psf, begun, self.nearest * sky.reach_px
                    )
                )
        return PlacedTogether.joined(parts)

    def _with_companions(
        self, profile: ChipProfile, psf: Psf, going: _Going, nearest_px: float
    ) -> Iterator[_Going]:
        """Yield those that a companion more is found beside, fitted with it."""
        for _ in range(self.most_companions):
            if not going.row.size:
                break
            companions = self.search(profile, going.groups, going.fitted, nearest_px)
            there = np.flatnonzero(np.isfinite(companions.flux))
            if not there.size:
                break
            place = Points(*(axis[there] for axis in companions.place))
            groups = going.groups.select(there).with_one_more(place, companions.flux[there])
            fitted = self.fit(psf.select(going.row[there]), groups)
            # A companion with which nothing converges is none.
            sound = np.flatnonzero(fitted.first.found)
            row = going.row[there][sound]
            going = _Going(row, groups.select(sound), fitted.select(sound))
            yield going


@dataclass(frozen=True, slots=True, eq=False)
class _Going:
    """Sources beside which companions are looked for, as fitted so far."""

    row: IntArray
    groups: StarGroups
    fitted: FittedGroups


def _first_of(
    row: IntArray, groups: StarGroups, fitted: FittedGroups, moved: tuple[float, float]
) -> PlacedTogether:
    """Return the first stars of windows, off their places in the catalogue."""
    first, stack = fitted.first, groups.stack
    counted = stack.window * (stack.weight > 0)
    grown = growth(fitted.left, first.weight, counted, fitted.columns.shape[1])
    off = Points(
        first.place.x - groups.place.x[:, 0] + moved[0],
        first.place.y - groups.place.y[:, 0] + moved[1],
    )
    grown = np.where(first.found, grown, 1.0)
    return PlacedTogether(
        row, off, first.flux, first.background, first.covariance * grown[:, None, None]
    )


def _aperture(place: Points, radius_px: FloatArray, side: int) -> Float32Array:
    """Return apertures with a soft edge, as pairs have them."""
    within = radius_px.astype(np.float32)[:, None, None] - np.sqrt(distance2(place, side))
    depth = np.clip(within / np.float32(SOFT_EDGE_PX) + np.float32(0.5), 0, 1)
    aperture: Float32Array = depth**2 * (3 - 2 * depth)
    return aperture


def _sides(aperture_px: FloatArray) -> IntArray:
    """Return odd sides of windows, of few sizes, that hold the apertures with their soft edges."""
    half = np.ceil((aperture_px + 0.5 * SOFT_EDGE_PX + 1) / _HALF_STEP) * _HALF_STEP
    return (2 * half + 1).astype(np.int64)


def _some(rows: IntArray, side: int) -> Iterator[IntArray]:
    """Yield parts of rows whose windows do not take much room."""
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    for first in range(0, len(rows), at_once):
        yield rows[first : first + at_once]
