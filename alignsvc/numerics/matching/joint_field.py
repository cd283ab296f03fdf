"""Exposures that match each other, as one field beside the stars of a catalogue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from alignsvc.domain.arrays import FloatArray, read_only
from alignsvc.domain.geometry import Points
from alignsvc.numerics.matching.pattern_match import (
    FieldSources,
    NoMatch,
    PatternMatch,
    PatternMatcher,
    Refusal,
)
from alignsvc.numerics.matching.similarity import Similarity

#: Offsets that are tried before the largest, as parts of it: of many stars round about, the fewer
#: have to be told apart the nearer the answer is.
_RADII = (0.0, 0.1, 0.4, 1.0)
#: A catalogue may be far deeper than the exposures, and its order may mean nothing.
_MOST_STARS = 1500


@dataclass(frozen=True, slots=True, eq=False)
class PlacedField:
    """An exposure's sources, their fluxes (n,), and the map that puts it among the others."""

    sources: FieldSources
    flux: FloatArray
    transform: Similarity

    def __post_init__(self) -> None:
        object.__setattr__(self, "flux", read_only(self.flux))


def joint_field(fields: Sequence[PlacedField], tolerance_px: float) -> FieldSources:
    """Return the sources of several exposures as those of one, each source once.

    Parameters
    ----------
    fields : sequence of PlacedField
        The order matters: of sources within `tolerance_px` the first exposure's counts.
    tolerance_px : float
    """
    place, flux, outlines = np.zeros((0, 2)), np.zeros(0), list[Points]()
    for one in fields:
        moved = one.transform(one.sources.points)
        there = np.column_stack([moved.x, moved.y])
        fresh = np.ones(len(there), bool)
        if len(place) and len(there):
            fresh = cKDTree(place).query(there)[0] > tolerance_px
        place = np.concatenate([place, there[fresh]])
        flux = np.concatenate([flux, one.flux[fresh]])
        outlines += [one.transform(outline) for outline in one.sources.outlines]
    order = np.argsort(-flux, kind="stable")
    return FieldSources(Points(place[order, 0], place[order, 1]), tuple(outlines))


def stars_about(stars: Points, field: FieldSources, radius_px: float) -> FieldSources:
    """Return the stars of a catalogue that may lie on a field, in their order.

    Parameters
    ----------
    stars : Points, shape (n,)
        The brightest first, if that is known; finite.
    field : FieldSources
    radius_px : float
        How far the field may be off.
    """
    middle, reach = field.middle, field.half_diagonal + radius_px
    near = np.flatnonzero(np.hypot(stars.x - middle.real, stars.y - middle.imag) <= reach)
    x, y = stars.x[near], stars.y[near]
    if not len(near):
        return FieldSources(Points(x, y), ())
    low_x, high_x, low_y, high_y = x.min(), x.max(), y.min(), y.max()
    box = Points(np.array([low_x, high_x, high_x, low_x]), np.array([low_y, low_y, high_y, high_y]))
    return FieldSources(Points(x, y), (box,))


@dataclass(frozen=True, slots=True)
class CatalogMatcher:
    """Finds where on a catalogue a field lies.

    Parameters
    ----------
    matcher : PatternMatcher
        As between exposures; its `radius_px` is the largest offset.
    """

    matcher: PatternMatcher

    def __call__(self, field: FieldSources, stars: Points) -> PatternMatch | NoMatch:
        """Return the map that carries the field to the catalogue, or why there is none.

        Parameters
        ----------
        field : FieldSources
        stars : Points, shape (n,)
            On the plane of the field, px, the brightest first if that is known; finite.

        Notes
        -----
        Ever larger offsets are tried; the first answer beyond doubt counts, and each has to
        outweigh that it is one of several (Bonferroni).
        """
        matcher = self.matcher
        result = NoMatch(Refusal.TOO_FEW, 0, -math.inf, was_expected=False)
        for part in _RADII:
            radius_px = max(matcher.near_px, part * matcher.radius_px)
            about = replace(
                matcher,
                radius_px=radius_px,
                n_offsets=max(matcher.n_offsets, _MOST_STARS),
                n_checked=max(matcher.n_checked, _MOST_STARS),
                least_log_odds=matcher.least_log_odds + math.log(len(_RADII)),
            )
            found = about(field, stars_about(stars, field, radius_px))
            if isinstance(found, PatternMatch):
                return found
            if result.refusal is not Refusal.AMBIGUOUS:
                result = replace(found, was_expected=found.was_expected or result.was_expected)
        return result
