"""Sources whose cores overlap, fitted together.

What is close is said by places and widths that are the same for all exposures: in each of them a
source has the same others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alignsvc.domain.arrays import BoolArray, Float32Array, FloatArray, IntArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.displacement.stars.star_fit import FittedStars, StarStack
from alignsvc.numerics.displacement.windows.chip_view import Targets
from alignsvc.numerics.displacement.windows.cutouts import cut
from alignsvc.numerics.displacement.windows.pairs import SOFT_EDGE_PX, distance2
from alignsvc.numerics.models.on_chip.group_fit import FittedGroups, GroupFit, StarGroups
from alignsvc.numerics.models.on_chip.neighbours import Neighbours
from alignsvc.numerics.models.on_chip.source_profiles import Companions, rows_of
from alignsvc.numerics.models.on_chip.unexplained import growth
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
    is_faint : bool array, shape (n,)
        With these one step is made.
    aperture_px : float64 array, shape (n,)
    moved : tuple of float
        How far sources are from where the mosaic has them, x and y, as a whole.
    """

    source: IntArray
    flux: FloatArray
    is_faint: BoolArray
    aperture_px: FloatArray
    moved: tuple[float, float]

    def select(self, which: IntArray) -> SourcesOnChip:
        """Return the sources at indices."""
        return SourcesOnChip(
            self.source[which],
            self.flux[which],
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
        From where the mosaic has them, pixels; NaN where the fit does not converge.
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

    def put_in(self, fitted: FittedStars, known: Points) -> FittedStars:
        """Return fitted stars with these instead of what they were alone.

        Parameters
        ----------
        fitted : FittedStars
        known : Points, shape (n,)
            Where in the windows of `fitted` the mosaic has them.
        """
        old = (*fitted.place, fitted.flux, fitted.background, fitted.covariance)
        x, y, flux, background, covariance = (one.copy() for one in old)
        x[self.row] = known.x[self.row] + self.off.x
        y[self.row] = known.y[self.row] + self.off.y
        flux[self.row], background[self.row] = self.flux, self.background
        covariance[self.row] = self.covariance
        return FittedStars(Points(x, y), flux, background, covariance, fitted.weight)


@dataclass(frozen=True, slots=True, eq=False)
class SkyOfChip:
    """The pixels of a chip, and what is known to lie on them.

    Parameters
    ----------
    chip : CalibratedChip
    neighbours : Neighbours
        All sources of the chip.
    reach_px : float64 array, shape (n,)
        Of each of them: two overlap that are closer than the mean of theirs.
    off : Points, shape (n,)
        Where they are known to be, from the catalogue's places, pixels; 0 for companions.
    star : int64 array, shape (n,)
        Of companions, the index of the source that they stand beside; -1 for the catalogue's.
    """

    chip: CalibratedChip
    neighbours: Neighbours
    reach_px: FloatArray
    off: Points
    star: IntArray

    @classmethod
    def of(
        cls,
        chip: CalibratedChip,
        neighbours: Neighbours,
        sources: tuple[Targets, Companions],
        close_px: float,
    ) -> SkyOfChip:
        """Return the chip.

        Parameters
        ----------
        chip : CalibratedChip
        neighbours : Neighbours
            The sources where they are known to be, and their companions, with negative ids.
        sources : tuple of Targets and Companions
            The sources as the catalogue has them, and the companions; in order of their ids from
            -1 downwards.
        close_px : float
            Stars closer than this overlap.
        """
        targets, companions = sources
        of_targets = rows_of(targets.source, neighbours.source)
        x, y = (np.zeros(len(neighbours.source)) for _ in range(2))
        x[of_targets] = neighbours.position.x[of_targets] - targets.position.x
        y[of_targets] = neighbours.position.y[of_targets] - targets.position.y
        star = np.full(len(neighbours.source), -1)
        ids = -1 - np.arange(len(companions))
        star[rows_of(ids, neighbours.source)] = rows_of(companions.source, neighbours.source)
        return cls(chip, neighbours, neighbours.psf.widths(close_px), Points(x, y), star)

    def known(self, catalogued: Points, own: IntArray) -> Points:
        """Return where in windows the sources `own` are known to be, pixels."""
        return Points(catalogued.x + self.off.x[own], catalogued.y + self.off.y[own])

    def others(self, source: IntArray, most: int) -> IntArray:
        """Return the nearest of those that overlap each source, then its companions, shape (n, m).

        They are indices into `neighbours`, as all that follow; -1: no more. Of the catalogue's
        there are `most`; companions of others are none of it.
        """
        own = self.own(source)
        x, y = (axis - axis[own][:, None] for axis in self.neighbours.position)
        distance = np.hypot(x, y)
        distance[np.arange(len(own)), own] = np.inf
        distance[:, self.star >= 0] = np.inf
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :most]
        reach = 0.5 * (self.reach_px[own][:, None] + self.reach_px[nearest])
        close = np.take_along_axis(distance, nearest, axis=1) < reach
        others = np.full((len(own), most), -1)
        others[:, : nearest.shape[1]] = np.where(close, nearest, -1)
        others = np.concatenate([others, self._companions(own)], axis=1)
        last = np.argsort(others < 0, axis=1, kind="stable")
        return np.take_along_axis(others, last, axis=1)

    def _companions(self, own: IntArray) -> IntArray:
        """Return the companions of sources, as others are."""
        row = np.flatnonzero(self.star >= 0)
        row = row[np.argsort(self.star[row], kind="stable")]
        column = np.arange(len(row)) - np.searchsorted(self.star[row], self.star[row])
        table = np.full((len(self.star), int(column.max(initial=-1)) + 1), -1)
        table[self.star[row], column] = row
        return np.asarray(table[own])

    def farthest(self, source: IntArray, others: IntArray) -> FloatArray:
        """Return how far the farthest of the catalogue's others is, px; -inf: there is none."""
        own = self.own(source)
        x, y = (axis[others] - axis[own][:, None] for axis in self.neighbours.position)
        catalogued = (others >= 0) & (self.star[others] < 0)
        away = np.where(catalogued, np.hypot(x, y), -np.inf)
        return np.asarray(away.max(axis=1, initial=-np.inf))

    def own(self, source: IntArray) -> IntArray:
        """Return the indices of sources."""
        return np.asarray(np.searchsorted(self.neighbours.source, source), np.int64)

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
        window = aperture(Points(place.x[:, 0], place.y[:, 0]), sources.aperture_px, side)
        whole = StarStack(cutouts.pixels, cutouts.weight, np.ones_like(seen), self.chip.gain)
        # The light goes, its noise stays.
        stack = StarStack(cutouts.pixels - seen, whole.weighted(seen), window, self.chip.gain)
        flux = np.concatenate([sources.flux[:, None], near.flux[others]], axis=1)
        flux = np.maximum(flux, _LEAST_PART * flux[:, :1])
        return StarGroups(stack, place, flux, sources.is_faint, known_px, members)


@dataclass(frozen=True, slots=True)
class CloseSources:
    """How sources are fitted that others overlap.

    Parameters
    ----------
    most_others : int
        The nearest, that a source is fitted with.
    known_fwhm : float
        How well the places of the others are known beforehand, in FWHM.
    beyond_fwhm : float
        Apertures reach so far beyond the farthest of the others, in FWHM.
    fit : GroupFit
    """

    most_others: int = 3
    known_fwhm: float = 0.1
    beyond_fwhm: float = 1.0
    fit: GroupFit = field(default_factory=GroupFit)

    def __call__(self, sky: SkyOfChip, sources: SourcesOnChip, fwhm_px: float) -> PlacedTogether:
        """Return the sources that are not alone; `fwhm_px` is that of the chip's stars."""
        others = sky.others(sources.source, self.most_others)
        not_alone = (sources.flux > 0) & (others >= 0).any(axis=1)
        return PlacedTogether.joined(
            [
                _first_of(one.row, one.groups, self.fit(sky.neighbours.psf, one.groups), sources)
                for one in self.windows(sky, sources, others, np.flatnonzero(not_alone), fwhm_px)
            ]
        )

    def windows(
        self,
        sky: SkyOfChip,
        sources: SourcesOnChip,
        others: IntArray,
        which: IntArray,
        fwhm_px: float,
    ) -> Iterator[GroupsOf]:
        """Yield the groups of the sources at `which`, those of one size at a time.

        Parameters
        ----------
        sky, sources, fwhm_px
            As called with.
        others : int64 array, shape (n, m)
            See `SkyOfChip.others`.
        which : int64 array
        """
        reach = sky.farthest(sources.source, others) + self.beyond_fwhm * fwhm_px
        sources = replace(sources, aperture_px=np.maximum(sources.aperture_px, reach))
        count, each = np.sum(others >= 0, axis=1), sides(sources.aperture_px)
        for n, side in np.unique(np.stack([count, each], axis=1)[which], axis=0).tolist():
            for rows in some_of(which[(count[which] == n) & (each[which] == side)], side):
                known_px = self.known_fwhm * fwhm_px
                yield GroupsOf(
                    rows, sky.groups(sources.select(rows), others[rows, :n], side, known_px)
                )


@dataclass(frozen=True, slots=True, eq=False)
class GroupsOf:
    """Windows of equal size, and which of the sources they are about, by index."""

    row: IntArray
    groups: StarGroups


def _first_of(
    row: IntArray, groups: StarGroups, fitted: FittedGroups, sources: SourcesOnChip
) -> PlacedTogether:
    """Return the first stars of windows, off where the mosaic has them."""
    moved = sources.moved
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


def aperture(place: Points, radius_px: FloatArray, side: int) -> Float32Array:
    """Return apertures with a soft edge, as pairs have them."""
    within = radius_px.astype(np.float32)[:, None, None] - np.sqrt(distance2(place, side))
    depth = np.clip(within / np.float32(SOFT_EDGE_PX) + np.float32(0.5), 0, 1)
    aperture: Float32Array = depth**2 * (3 - 2 * depth)
    return aperture


def sides(aperture_px: FloatArray) -> IntArray:
    """Return odd sides of windows, of few sizes, that hold the apertures with their soft edges."""
    half = np.ceil((aperture_px + 0.5 * SOFT_EDGE_PX + 1) / _HALF_STEP) * _HALF_STEP
    return (2 * half + 1).astype(np.int64)


def some_of(rows: IntArray, side: int) -> Iterator[IntArray]:
    """Yield parts of rows whose windows do not take much room."""
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    for first in range(0, len(rows), at_once):
        yield rows[first : first + at_once]
