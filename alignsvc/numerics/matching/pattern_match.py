"""Find the map between two lists of sources of one sky, and say whether to believe it.

Groth (1986), Valdes et al. (1995) and others compare triangles; where the scale is known nearly,
pairs tell as much, and there are few enough to take all (see `votes`). What is found is judged as
by Lang et al. (2010): by the odds against its being chance, all that was tried counted in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.spatial import cKDTree

from alignsvc.domain.arrays import BoolArray, FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.similarity import (
    Similarity,
    as_complex,
    fit_similarity,
    on_circle,
    simplest_alike,
)
from alignsvc.numerics.matching.votes import (
    TurnVotes,
    chernoff_log_odds,
    likely_offsets,
)
from alignsvc.numerics.sky.polygons import contains
from alignsvc.numerics.sources.matching import Matches, mutual_nearest

#: Votes within a square of this side (px) count as one: small rotations and distortions smear.
_WINDOW_PX = 8.0
#: Distances (px) within which sources are paired, one fit after the other, before the last.
_REACHES_PX = (6.0, 4.0, 2.5)
#: Copies displaced by so many tolerances, in so many directions, tell how many matches are chance.
_DISPLACED = (5.0, 8.0, 12.0)
_N_DIRECTIONS = 8
#: Offsets, and turns, that are tried out of all that have votes.
_N_OFFSETS = 6
_N_TURNS = 8
_OFFSETS_A_TURN = 2
#: The least that chance may give: no density is known better than this.
_LEAST_EXPECTED = 1e-3
#: A second answer with more than this share of the best one's matches makes it doubtful.
_RIVAL_SHARE = 0.7
#: Fewer sources than this say nothing: three points fit any three of a crowd.
LEAST_SOURCES = 4
#: With this many sources each where two exposures overlap, they should match.
_ENOUGH_SOURCES = 12


@dataclass(frozen=True, slots=True, eq=False)
class FieldSources:
    """The sources of an exposure on a plane, px, the brightest first.

    Parameters
    ----------
    points : Points, shape (n,)
        Where the header puts them; finite.
    outlines : tuple of Points
        The area in which sources could be found: a polygon per chip.
    """

    points: Points
    outlines: tuple[Points, ...]

    def __len__(self) -> int:
        return len(self.points.x)

    def brightest(self, count: int) -> FieldSources:
        """Return the `count` brightest sources in the same area."""
        return FieldSources(Points(self.points.x[:count], self.points.y[:count]), self.outlines)

    def covers(self, points: Points) -> BoolArray:
        """Return which points lie in the area."""
        inside = np.zeros(np.shape(points.x), bool)
        for outline in self.outlines:
            inside |= contains(outline, points)
        return inside

    @property
    def middle(self) -> complex:
        """Middle of the area's box."""
        x, y = self._corners()
        return complex(0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max()))

    @property
    def half_diagonal(self) -> float:
        """Half the diagonal of the area's box."""
        x, y = self._corners()
        return 0.5 * math.hypot(float(np.ptp(x)), float(np.ptp(y)))

    @property
    def area(self) -> float:
        """Of all chips, px^2."""
        total = 0.0
        for outline in self.outlines:
            x, y = outline.x, outline.y
            total += 0.5 * abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))
        return total

    def _corners(self) -> tuple[FloatArray, FloatArray]:
        return (
            np.concatenate([outline.x for outline in self.outlines]),
            np.concatenate([outline.y for outline in self.outlines]),
        )


class Refusal(StrEnum):
    """Why no map is given; the value is the sentence."""

    TOO_FEW = "too few sources to compare"
    NOT_SIGNIFICANT = "no map brings more sources together than chance would"
    AMBIGUOUS = "another map brings nearly as many sources together"


@dataclass(frozen=True, slots=True)
class NoMatch:
    """No map can be believed.

    Parameters
    ----------
    refusal : Refusal
    n_matched : int
        Sources that the best map brings together.
    log_odds : float
        Of the best map; natural logarithm, -inf if there is none.
    was_expected : bool
        Whether both lists have sources enough where the headers say that the fields overlap.
    """

    refusal: Refusal
    n_matched: int
    log_odds: float
    was_expected: bool


@dataclass(frozen=True, slots=True, eq=False)
class PatternMatch:
    """The map from one list to another, and what speaks for it.

    Parameters
    ----------
    transform : Similarity
        Carries positions in the first list to those in the second; mirrored if parities differ.
    pairs : Matches
        Sources that it brings together.
    log_odds : float
        Natural logarithm of the odds against chance, all maps that were tried counted.
    expected : float
        Matches that chance alone would give.
    rival_matched : int
        Matches of the best of all other maps tried.
    """

    transform: Similarity
    pairs: Matches
    log_odds: float
    expected: float
    rival_matched: int


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    transform: Similarity
    pairs: Matches
    expected: float

    @property
    def weight(self) -> float:
        return chernoff_log_odds(len(self.pairs), self.expected)


@dataclass(frozen=True, slots=True)
class PatternMatcher:
    """Matches the sources of two exposures.

    Parameters
    ----------
    near_px : float
        An offset up to this is what headers usually have: it is looked for first.
    radius_px : float
        Largest offset looked for, of the middle of the field.
    tolerance_px : float
        Sources this near are the same: distortions, and centroids of faint sources.
    max_scale : float
        How much the scales may differ, as a fraction.
    n_offsets, n_pairs, n_checked : int
        Brightest sources that vote for offsets, that vote for rotations, and that are compared.
    least_matches : int
    least_log_odds : float
        Natural logarithm. The default lets chance through once in a million pairs of fields.

    Notes
    -----
    Hypotheses come in the order of what is likely: the header is nearly right; it is off by an
    offset; by any rotation, mirrored or not. The first that is beyond doubt ends the search, and
    each has to outweigh the number of maps tried up to it (Bonferroni).
    """

    near_px: float = 8.0
    radius_px: float = 500.0
    tolerance_px: float = 1.5
    max_scale: float = 0.02
    n_offsets: int = 200
    n_pairs: int = 80
    n_checked: int = 600
    least_matches: int = 5
    least_log_odds: float = 13.8

    def __call__(self, first: FieldSources, second: FieldSources) -> PatternMatch | NoMatch:
        """Return the map that carries `first` to `second`, or why there is none.

        Both lie on one plane, px. Swapping them inverts the answer, to the tolerance.
        """
        expected = _was_expected(first, second)
        first, second = self._within_reach(first, second), self._within_reach(second, first)
        if min(len(first), len(second)) < LEAST_SOURCES:
            return NoMatch(Refusal.TOO_FEW, 0, -math.inf, expected)
        tried: list[_Candidate] = []
        result = NoMatch(Refusal.NOT_SIGNIFICANT, 0, -math.inf, expected)
        stages: tuple[tuple[Iterable[Similarity], float], ...] = (
            (self._offsets(first, second, self.near_px), self._unturned_cells(self.near_px)),
            (self._offsets(first, second, self.radius_px), self._unturned_cells(self.radius_px)),
            (self._turns(first, second), self._turned_cells(first)),
        )
        for starts, log_trials in stages:
            for start in starts:
                candidate = self._checked(first, second, start)
                if candidate is not None:
                    tried.append(candidate)
            judged = self._judged(tried, log_trials, first, expected)
            if isinstance(judged, PatternMatch) or judged.refusal is Refusal.AMBIGUOUS:
                return judged
            result = judged
        return result

    def _within_reach(self, one: FieldSources, other: FieldSources) -> FieldSources:
        """Return the brightest sources that can lie on the other field, whatever the map."""
        reach = other.half_diagonal + self.radius_px
        z = as_complex(one.points)
        # A turn about the field's own middle takes a source anywhere on its circle.
        nearest = np.abs(abs(one.middle - other.middle) - np.abs(z - one.middle))
        rows = np.flatnonzero(nearest <= reach)[: self.n_checked]
        return FieldSources(Points(one.points.x[rows], one.points.y[rows]), one.outlines)

    def _cells(self, radius_px: float) -> float:
        """Return the log of how many distinct offsets there are within a radius."""
        return 2.0 * math.log(max(1.0, radius_px / self.tolerance_px))

    def _unturned_cells(self, radius_px: float) -> float:
        """Return the log of how many maps are met from offsets within a radius.

        Fitted to what lies within the first reach, a map turns and stretches as far as that.
        """
        return self._cells(radius_px) + self._cells(_REACHES_PX[0])

    def _turned_cells(self, field: FieldSources) -> float:
        """Return the log of how many distinct maps there are with any turn, scale and parity."""
        extent = field.half_diagonal
        angles = 2.0 * math.pi * extent / (2.0 * self.tolerance_px)
        scales = max(1.0, self.max_scale * extent / self.tolerance_px)
        offsets = self._cells(self.radius_px + extent)
        return math.log(2.0 * max(1.0, angles) * scales) + offsets

    def _offsets(
        self, first: FieldSources, second: FieldSources, radius_px: float
    ) -> Iterator[Similarity]:
        u = as_complex(first.points)[: self.n_offsets]
        v = as_complex(second.points)[: self.n_offsets]
        window = min(_WINDOW_PX, radius_px)
        for offset in likely_offsets(u, v, radius_px, window, _N_OFFSETS):
            yield Similarity(1.0 + 0.0j, offset)

    def _turns(self, first: FieldSources, second: FieldSources) -> Iterator[Similarity]:
        u, v = as_complex(first.points), as_complex(second.points)
        extent = max(first.half_diagonal, second.half_diagonal)
        vote = TurnVotes(extent, _WINDOW_PX, self.max_scale)
        for mirrored in (False, True):
            start = np.conj(u) if mirrored else u
            middle = first.middle.conjugate() if mirrored else first.middle
            for turn in vote(start[: self.n_pairs], v[: self.n_pairs], _N_TURNS):
                # About the field's middle, which stays unless there is an offset.
                still = first.middle - turn.factor * middle
                turned = turn.factor * start[: self.n_offsets] + still
                radius = self.radius_px + extent
                for offset in likely_offsets(
                    turned, v[: self.n_offsets], radius, _WINDOW_PX, _OFFSETS_A_TURN
                ):
                    yield Similarity(turn.factor, still + offset, mirrored)

    def _checked(
        self, first: FieldSources, second: FieldSources, start: Similarity
    ) -> _Candidate | None:
        """Return a map fitted to the sources that it brings together, more of them each time."""
        bright = (first.brightest(self.n_offsets), second.brightest(self.n_offsets))
        transform = start
        for reach in _REACHES_PX:
            fitted = _refitted(*bright, transform, reach)
            if fitted is None:
                return None
            transform = fitted
        last = _refitted(first, second, transform, self.tolerance_px)
        if last is None or abs(math.log(last.scale)) > self.max_scale:
            return None
        pairs = mutual_nearest(last(first.points), second.points, self.tolerance_px)
        u, v = as_complex(first.points)[pairs.first], as_complex(second.points)[pairs.second]
        return _Candidate(
            simplest_alike(u, v, last, self.tolerance_px), pairs, self._chance(first, second, last)
        )

    def _chance(self, first: FieldSources, second: FieldSources, found: Similarity) -> float:
        """Return how many matches chance gives to a map like `found`.

        By the density of the second list, or by what copies displaced by a few tolerances find
        if that is more: sources cluster, and what is beside a source is beside its match too.
        """
        moved = found.moved(as_complex(first.points))
        moved = moved[second.covers(Points(moved.real, moved.imag))]
        density = len(second) / max(second.area, 1.0)
        by_density = len(moved) * density * math.pi * self.tolerance_px**2
        angles = 2.0 * math.pi * np.arange(_N_DIRECTIONS) / _N_DIRECTIONS
        ways = self.tolerance_px * np.outer(_DISPLACED, np.exp(1j * angles)).ravel()
        copies = (moved[None, :] + ways[:, None]).ravel()
        tree = cKDTree(np.column_stack([second.points.x, second.points.y]))
        distance, _ = tree.query(
            np.column_stack([copies.real, copies.imag]), distance_upper_bound=self.tolerance_px
        )
        by_copies = float(np.isfinite(distance).sum()) / len(ways)
        return max(by_density, by_copies, _LEAST_EXPECTED)

    def _judged(
        self,
        tried: Sequence[_Candidate],
        log_trials: float,
        field: FieldSources,
        was_expected: bool,
    ) -> PatternMatch | NoMatch:
        """Return the best map if it is beyond chance and has no rival."""
        if not tried:
            return NoMatch(Refusal.NOT_SIGNIFICANT, 0, -math.inf, was_expected)
        best = max(tried, key=lambda one: one.weight)
        log_odds = best.weight - log_trials
        n = len(best.pairs)
        if n < self.least_matches or log_odds < self.least_log_odds:
            return NoMatch(Refusal.NOT_SIGNIFICANT, n, log_odds, was_expected)
        rivals = [one for one in tried if self._differ(one.transform, best.transform, field)]
        rival_matched = max((len(one.pairs) for one in rivals), default=0)
        if rival_matched > _RIVAL_SHARE * n:
            return NoMatch(Refusal.AMBIGUOUS, n, log_odds, was_expected)
        return PatternMatch(best.transform, best.pairs, log_odds, best.expected, rival_matched)

    def _differ(self, one: Similarity, other: Similarity, field: FieldSources) -> bool:
        """Return whether two maps put some point of the field at places that are not the same."""
        circle = on_circle(field.middle, field.half_diagonal)
        there = one.moved(circle) - other.moved(circle)
        return float(np.abs(there).max()) > 3.0 * self.tolerance_px


def _refitted(
    first: FieldSources, second: FieldSources, transform: Similarity, reach: float
) -> Similarity | None:
    """Return the map fitted to the pairs within reach of `transform`; None if they are too few."""
    pairs = mutual_nearest(transform(first.points), second.points, reach)
    if len(pairs) < LEAST_SOURCES:
        return None
    u = as_complex(first.points)[pairs.first]
    v = as_complex(second.points)[pairs.second]
    return fit_similarity(u, v, mirrored=transform.is_mirrored)


def _was_expected(first: FieldSources, second: FieldSources) -> bool:
    """Return whether both lists have sources enough where the headers let the fields overlap."""
    return (
        int(second.covers(first.points).sum()) >= _ENOUGH_SOURCES
        and int(first.covers(second.points).sum()) >= _ENOUGH_SOURCES
    )
