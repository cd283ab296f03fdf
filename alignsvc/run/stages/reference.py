"""Where a reference catalogue puts the mosaic's sources, and how it says that they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.config.build import margin_px
from alignsvc.domain.arrays import FloatArray
from alignsvc.domain.geometry import Points, SkyPoints
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.measurement import Factors
from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.reference_catalog import ReferenceCatalog, julian_year
from alignsvc.domain.sources import SourceCatalog
from alignsvc.io.scratch_rows import ScratchRows
from alignsvc.numerics.solve.colour_terms import SourceColours
from alignsvc.numerics.solve.motions import SourceMotions, plane_from_local
from alignsvc.numerics.solve.priors import CatalogOffsets
from alignsvc.numerics.solve.sums import inverse_2x2
from alignsvc.numerics.sources.matching import Matches, nearest_but_for_a_shift
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.planning.star_colours import colour_term_notes, colours_on_grid
from alignsvc.run.stages.cataloguing import chosen_sources
from alignsvc.run.stages.loop_state import LoopState
from alignsvc.run.stages.running import Tools
from alignsvc.wording import counted

#: Motion between the first and the last exposure above which a source is left out where its
#: motion cannot be taken off, grid pixels: ten times what an alignment is good to.
STILL_PX = 0.02
#: Error of a source's centroid on the mosaic, of its FWHM over its signal-to-noise ratio:
#: sqrt(2) sigma for a Gaussian on a bright sky.
_CENTROID_ERROR = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class GridReference:
    """What the reference catalogue says of the sources of one grid.

    Parameters
    ----------
    offsets : CatalogOffsets or None
        None: there is no reference catalogue, only colours.
    motions : SourceMotions or None
        None: the table has none, or no exposure has a time.
    colours : SourceColours or None
        None: nobody asked for a colour term.
    """

    offsets: CatalogOffsets | None
    motions: SourceMotions | None
    colours: SourceColours | None = None

    def taken_off(
        self, factors: Sequence[Factors], exposures: Sequence[PlannedExposure]
    ) -> Sequence[Factors]:
        """Return the factors of exposures without the motion of the sources between them."""
        if self.motions is None:
            return factors
        years = years_of(exposures)
        span = float(np.nanmax(years) - np.nanmin(years)) if np.isfinite(years).any() else 0.0
        scale = np.array([one.header.wcs[0].pixel_scale_arcsec for one in exposures])
        return ScratchRows(
            self.motions.taken_off(one, year)
            if np.isfinite(year)
            else self.motions.movers_left_out(one, span, STILL_PX * pixel)
            for one, year, pixel in zip(factors, years, scale, strict=True)
        )


def years_of(exposures: Sequence[PlannedExposure]) -> FloatArray:
    """Return the mid times of exposures, Julian years; NaN where not known."""
    times = [one.header.mid_time_mjd for one in exposures]
    return np.array([np.nan if time is None else julian_year(time) for time in times])


def grid_references(tools: Tools, state: LoopState) -> Mapping[int, GridReference]:
    """Return what catalogues say of each grid's sources; empty without a reference or colours."""
    catalog, stars = tools.plan.catalog, tools.plan.colours
    if state.sources is None or (catalog is None and stars is None):
        return {}
    sources = chosen_sources(tools, state.sources)
    known = {}
    seen = {one.component for one in tools.plan.exposures}
    for grid in (grid for grid in tools.plan.grids if grid.component in seen):
        own = sources.select(sources.component == grid.component)
        if _is_off(tools, grid):
            continue
        one = GridReference(None, None)
        if catalog is not None:
            one = _on_grid(tools, grid, catalog, own)
        if stars is not None:
            one = replace(one, colours=colours_on_grid(tools.plan.config, stars, grid, own))
        known[grid.component] = one
    return known


def reference_notes(tools: Tools, state: LoopState) -> tuple[str, ...]:
    """Return what the user should know of stars of the catalogue, and of those that move."""
    enough = tools.plan.algorithms.geometry.min_sources
    references = grid_references(tools, state)
    found = [
        f"reference.catalog: {len(one.offsets.source)} of its stars were found among the "
        f"sources of component {component}"
        + ("" if len(one.offsets.source) >= enough else ", too few: the mean holds its frame")
        for component, one in references.items()
        if one.offsets is not None
    ]
    for component, one in references.items():
        if one.colours is not None:
            members = [each.id for each in tools.plan.exposures if each.component == component]
            terms = [state.colour_terms[name] for name in members if name in state.colour_terms]
            found += colour_term_notes(component, one.colours, terms)
    if state.moving:
        found.append(
            f"{counted(len(state.moving), 'source moves', 'sources move')} between the exposures, "
            f"and no catalogue says how: left out of the fit (flag {int(SourceFlag.MOVING)} in "
            "sources.ecsv)"
        )
    return tuple(found)


def flagged_sources(tools: Tools, state: LoopState) -> SourceCatalog:
    """Return the sources that are measured, those flagged that move: as seen, or as known."""
    assert state.sources is not None
    sources = chosen_sources(tools, state.sources)
    moving = np.array(state.moving, np.int64)
    references = grid_references(tools, state)
    for grid in tools.plan.grids:
        one = references.get(grid.component)
        years = years_of([e for e in tools.plan.exposures if e.component == grid.component])
        if one is not None and one.motions is not None:
            span = float(np.nanmax(years) - np.nanmin(years))
            far = one.motions.farther_than(STILL_PX * grid.scale_arcsec, span)
            moving = np.append(moving, one.motions.source[far])
    flag = np.where(np.isin(sources.id, moving), int(SourceFlag.MOVING), 0)
    return replace(sources, flags=sources.flags | flag)


def _is_off(tools: Tools, grid: MosaicGrid) -> bool:
    """Return whether most exposures of a grid do not lie where the catalogue has their stars."""
    own = [one.id for one in tools.plan.exposures if one.component == grid.component]
    return 2 * len(tools.plan.off_catalog.intersection(own)) > len(own)


def _on_grid(
    tools: Tools, grid: MosaicGrid, catalog: ReferenceCatalog, sources: SourceCatalog
) -> GridReference:
    own = [one for one in tools.plan.exposures if one.component == grid.component]
    years = years_of(own)
    # Any time would do; the middle one keeps the errors of the motions small.
    year = float(np.nanmean(years)) if np.isfinite(years).any() else None
    stars = catalog.known_at(year)
    theirs = grid.plane.from_sky(stars.sky)
    near = np.flatnonzero(np.isfinite(theirs.x))
    theirs, stars = Points(theirs.x[near], theirs.y[near]), stars.select(near)
    ours = grid.plane_from_pixel(Points(sources.x, sources.y))
    pairs = nearest_but_for_a_shift(ours, theirs, margin_px(tools.plan.config) * grid.scale_arcsec)
    offsets = _offsets(grid, sources, stars, pairs)
    if year is None or not stars.has_motion:
        return GridReference(offsets, None)
    matched = stars.select(pairs.second)
    motions = SourceMotions(
        offsets.source,
        SkyPoints(matched.sky.ra, matched.sky.dec),
        matched.motion_mas,
        matched.covariance[:, 2:, 2:],
        year,
        grid.plane,
    )
    return GridReference(offsets, motions)


def _offsets(
    grid: MosaicGrid, sources: SourceCatalog, stars: ReferenceCatalog, pairs: Matches
) -> CatalogOffsets:
    """Return the offsets of matched sources, with the errors of both positions."""
    found, matched = sources.select(pairs.first), stars.select(pairs.second)
    ours = grid.plane_from_pixel(Points(found.x, found.y))
    theirs = grid.plane.from_sky(matched.sky)
    turn = plane_from_local(matched.sky, grid.plane)
    covariance = turn @ matched.place_covariance @ np.swapaxes(turn, 1, 2)
    centroid = _CENTROID_ERROR * found.fwhm * grid.scale_arcsec / np.maximum(found.snr, 1.0)
    covariance = covariance + (centroid**2)[:, None, None] * np.eye(2)
    offset = np.stack([ours.x - theirs.x, ours.y - theirs.y], axis=1)
    return CatalogOffsets(found.id, offset, inverse_2x2(covariance))
