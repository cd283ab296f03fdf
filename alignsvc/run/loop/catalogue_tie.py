"""Before the loop: exposures that match each other, and are off from the catalogue all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points
from alignsvc.domain.reference_catalog import ReferenceCatalog, julian_year
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.numerics.matching.joint_field import CatalogMatcher, PlacedField, joint_field
from alignsvc.numerics.matching.joint_start import Placed, Standing
from alignsvc.numerics.matching.pattern_match import FieldSources, PatternMatch, PatternMatcher
from alignsvc.numerics.matching.similarity import UNMOVED, Similarity
from alignsvc.numerics.matching.start import disagreement_px
from alignsvc.run.loop.start_table import StartTable
from alignsvc.tasks.list_sources import SourceList
from alignsvc.tasks.match_sources import MatchFrame
from alignsvc.wording import counted

#: What the catalogue can say something of.
_ON_CATALOG = (Standing.PLACED, Standing.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Tie:
    """How a set of exposures lies on the catalogue.

    Parameters
    ----------
    transform : Similarity
        From common places to those of the catalogue; `UNMOVED` if they are the same.
    off_px : float
        By how much it moves the set, at most; infinite if it mirrors it, NaN if the set should
        match, and does not.
    """

    transform: Similarity
    off_px: float

    @property
    def moves(self) -> bool:
        """Whether the set has to begin elsewhere."""
        return self.transform is not UNMOVED


def ties_of(
    matcher: CatalogMatcher,
    catalog: ReferenceCatalog,
    frame: MatchFrame,
    exposures: Sequence[tuple[ExposureHeader, Placed, SourceList]],
) -> Mapping[int, Tie]:
    """Return how each block of matched exposures lies on the catalogue.

    Parameters
    ----------
    matcher : CatalogMatcher
    catalog : ReferenceCatalog
    frame : MatchFrame
        Of the exposures' common places.
    exposures : sequence of (ExposureHeader, Placed, SourceList)
        In order of id; those that are neither placed nor unknown have no part.

    Returns
    -------
    mapping of block to Tie
        Blocks that have too few sources, or too few stars, to tell are not in it.
    """
    blocks: dict[int, list[tuple[ExposureHeader, PlacedField]]] = {}
    for header, placed, found in exposures:
        if placed.standing in _ON_CATALOG:
            field = PlacedField(frame.field(found), _fluxes(frame, found), placed.transform)
            blocks.setdefault(placed.block, []).append((header, field))
    ties = {}
    for block, members in blocks.items():
        together = joint_field([one for _, one in members], matcher.matcher.tolerance_px)
        stars = _stars(catalog, frame, [header for header, _ in members])
        tie = _tie(matcher, together, stars)
        # One exposure alone may be of anything: it stays as it is unless it matches.
        if tie is not None and (len(members) > 1 or np.isfinite(tie.off_px)):
            ties[block] = tie
    return ties


def tied(placed: Sequence[Placed], ties: Mapping[int, Tie]) -> tuple[Placed, ...]:
    """Return places on the catalogue, of exposures of blocks that lie elsewhere on it.

    An exposure of which nothing is known goes with the largest block: what is wrong with all
    other headers is most likely wrong with its own.
    """
    counts = Counter(one.block for one in placed if one.block in ties)
    main = ties[max(counts, key=lambda block: (counts[block], -block))] if counts else None
    found = []
    for one in placed:
        tie = ties.get(one.block, main if one.standing is Standing.UNKNOWN else None)
        if tie is None or not tie.moves or one.standing not in _ON_CATALOG:
            found.append(one)
            continue
        mirrored = tie.transform.is_mirrored
        standing = Standing.ALL_MIRRORED if mirrored else Standing.TIED
        # A mirrored place is no place to begin.
        transform = UNMOVED if mirrored else tie.transform.after(one.transform)
        found.append(replace(one, standing=standing, transform=transform))
    return tuple(found)


def tie_notes(table: StartTable, matcher: PatternMatcher) -> tuple[str, ...]:
    """Return what the user should know of how exposures lie on the catalogue."""
    notes, moved = list[str](), table.moved_px(matcher.near_px)
    if len(moved):
        notes.append(
            f"reference.catalog: the headers of {counted(len(moved), 'exposure')} are off from it "
            f"together, by up to {moved.max():.1f} px; the loop begins where its stars match"
        )
    if off := table.off_catalog:
        notes.append(
            f"reference.catalog: the sources of {counted(len(off), 'exposure')} that match each "
            f"other ({', '.join(off[:5])}{', ...' if len(off) > 5 else ''}) do not match its stars "
            f"beyond doubt within {matcher.radius_px:.0f} px, at any rotation: it is not used for "
            "them, and the mean holds their frame; give a catalogue of this field (magnitudes "
            "help), raise alignment.bootstrap_radius, or set alignment.bootstrap: false to trust "
            "headers"
        )
    return tuple(notes)


def _tie(matcher: CatalogMatcher, field: FieldSources, stars: Points) -> Tie | None:
    found = matcher(field, stars)
    if not isinstance(found, PatternMatch):
        return Tie(UNMOVED, float("nan")) if found.was_expected else None
    if found.transform.is_mirrored:
        return Tie(found.transform, float("inf"))
    off_px = disagreement_px(found.transform, field.middle, field.half_diagonal)
    is_near = off_px <= matcher.matcher.near_px
    return Tie(UNMOVED if is_near else found.transform, off_px)


def _fluxes(frame: MatchFrame, found: SourceList) -> FloatArray:
    """Return the fluxes of the sources that `MatchFrame.field` keeps."""
    kept: FloatArray = found.flux[np.isfinite(frame.plane.from_sky(found.sky).x)]
    return kept


def _stars(
    catalog: ReferenceCatalog, frame: MatchFrame, headers: Sequence[ExposureHeader]
) -> Points:
    """Return the stars as they were when the exposures were taken, px, the brightest first."""
    years = [julian_year(h.mid_time_mjd) for h in headers if h.mid_time_mjd is not None]
    known = catalog.known_at(float(np.mean(years)) if years else None).brightest_first()
    there = frame.plane.from_sky(known.sky)
    near = np.isfinite(there.x)
    return Points(there.x[near] / frame.scale_arcsec, there.y[near] / frame.scale_arcsec)
