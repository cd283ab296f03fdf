"""Which exposures overlap, and the grids that hold them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from alignsvc.domain.arrays import FloatArray, IntArray, read_only
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.geometry import (
    Points,
    SkyPoints,
    TangentPlane,
    from_unit_vectors,
    middle_of,
    unit_vectors,
)
from alignsvc.domain.grid import MosaicGrid
from alignsvc.errors import ConfigError, DataError, NotYet
from alignsvc.numerics.sky.polygons import are_within, shared_area
from alignsvc.reasons import FailureKind

#: Points per side of a chip's outline: the bulge of a distorted edge is followed to 1 part in 250.
POINTS_PER_SIDE = 16
#: A gnomonic plane stretches by 0.4 % at 5 degrees from its tangent point; wider ones are split.
WIDEST_DEG = 10.0
#: Ten degrees at 0.1 arcsec are half as many tiles of 1024 px; each is planned, merged and kept.
MOST_TILES = 250_000
#: Empty border of a grid, pixels: room for a resampler's kernel.
BORDER_PX = 16
#: Scales within this of each other count as one instrument's.
_SAME_SCALE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """Where the chips of an exposure lie on the sky.

    Parameters
    ----------
    outlines : tuple of SkyPoints
        One closed polygon per chip (the last point is joined to the first), ICRS degrees.
    scale_arcsec : float
        Side of a pixel: the median of the chips'.
    """

    outlines: tuple[SkyPoints, ...]
    scale_arcsec: float

    def points(self) -> SkyPoints:
        """Return the points of all outlines together."""
        return SkyPoints(
            np.concatenate([outline.ra for outline in self.outlines]),
            np.concatenate([outline.dec for outline in self.outlines]),
        )


@dataclass(frozen=True, slots=True)
class OverlapLink:
    """How an exposure joined its component.

    Parameters
    ----------
    first, second : int
        Indices of two exposures that overlap; `second` joined through `first`.
    area_px : float
        Area that the two share, in pixels of `second`; 0 if they are only within the margin of
        each other. Good to a few per cent.
    """

    first: int
    second: int
    area_px: float


@dataclass(frozen=True, slots=True)
class MosaicLayout:
    """The grids of a set of exposures.

    Parameters
    ----------
    grids : tuple of MosaicGrid
        One per connected component of two or more exposures, in order of their first members.
    component_of : tuple of (int or None)
        For each exposure the index of its grid; None = it overlaps no other.
    links : tuple of OverlapLink
        A tree of overlaps that holds each component together.
    """

    grids: tuple[MosaicGrid, ...]
    component_of: tuple[int | None, ...]
    links: tuple[OverlapLink, ...]


def footprint(chips: Iterable[CelestialWcs]) -> Footprint:
    """Return the footprint of an exposure with these chips.

    Points of an outline that have no place on the sky are left out.

    Raises
    ------
    DataError
        BAD_WCS: fewer than three points of a chip's outline have one.
    """
    outlines, scales = [], []
    for wcs in chips:
        sky = wcs.sky_from_pixel(_outline(wcs.shape))
        good = np.isfinite(sky.ra) & np.isfinite(sky.dec)
        if good.sum() < 3:
            raise DataError(
                FailureKind.BAD_WCS,
                f"footprint: {good.sum()} of {good.size} points of a chip's outline have a place "
                "on the sky, at least 3 are needed; mend the header's WCS",
            )
        outlines.append(SkyPoints(sky.ra[good], sky.dec[good]))
        scales.append(wcs.pixel_scale_arcsec)
    return Footprint(tuple(outlines), float(np.median(scales)))


def choose_grids(
    footprints: Sequence[Footprint],
    tile_shape: tuple[int, int],
    *,
    scale_arcsec: float | None = None,
    tangent: TangentPlane | None = None,
    margin_px: int = 0,
) -> MosaicLayout:
    """Return a grid for every connected component of two or more exposures.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of each exposure, in exposure-id order.
    tile_shape : tuple of int
        ``(ny, nx)``; tiles are never larger than the grid.
    scale_arcsec : float or None
        Side of the grids' pixels. None: of each component's own. If its exposures' scales agree
        to 1 %, the finest of them (so that no grid pixel is missed by any); else their median (a
        grid finer than most exposures has holes).
    tangent : TangentPlane or None
        Plane of all grids; None: each component's middle.
    margin_px : int
        How wrong the headers may be, pixels. Footprints this near count as overlapping, and the
        grids are that much larger.

    Raises
    ------
    NotYet
        A component is wider than 10 degrees.
    ConfigError
        A component lies more than 10 degrees from the given tangent point.
    """
    several, links = _several(footprints, margin_px)
    grids = []
    for k, which in enumerate(several):
        own = [footprints[int(index)] for index in which]
        scale = scale_arcsec or _common_scale([one.scale_arcsec for one in own])
        grids.append(_grid(k, own, scale, tile_shape, _Frame(tangent, margin_px)))
    return MosaicLayout(tuple(grids), _component_of(several, len(footprints)), links)


def share_grid(
    footprints: Sequence[Footprint], grid: MosaicGrid, margin_px: int = 0
) -> MosaicLayout:
    """Return a layout in which every component of two or more exposures has a given grid.

    Parameters
    ----------
    footprints : sequence of Footprint
        Of each exposure, in exposure-id order; all of them touch the grid.
    grid : MosaicGrid
        Each component has one of its own, alike but for the component's number.
    margin_px : int
        Footprints this near each other count as overlapping.
    """
    several, links = _several(footprints, margin_px)
    grids = tuple(replace(grid, component=k) for k in range(len(several)))
    return MosaicLayout(grids, _component_of(several, len(footprints)), links)


def grown(grid: MosaicGrid, footprints: Sequence[Footprint], margin_px: int = 0) -> MosaicGrid:
    """Return a grid with room for more footprints, of the same pixels and tiles.

    It grows by whole tiles to the left and below, so that tiles keep their pixels; a last row
    or column of tiles that was cut short gets more.

    Raises
    ------
    ConfigError
        A footprint lies more than 10 degrees from the tangent point.
    """
    sky = _points_of(footprints)
    centre = SkyPoints(np.asarray(grid.plane.ra_deg), np.asarray(grid.plane.dec_deg))
    away_deg = _farthest_deg(sky, centre)
    if away_deg > WIDEST_DEG:
        raise ConfigError(
            f"mosaic: exposures lie up to {away_deg:.1f} degrees from the tangent point of the "
            f"grid that is extended, at most {WIDEST_DEG:.0f} are wanted; align them in a new run"
        )
    pixel = grid.pixel_from_sky(sky)
    border = BORDER_PX + margin_px
    (ny, nx), (height, width) = grid.tile_shape, grid.shape
    left = max(0, -((math.floor(pixel.x.min()) - border) // nx)) * nx
    below = max(0, -((math.floor(pixel.y.min()) - border) // ny)) * ny
    return replace(
        grid,
        origin_x=grid.origin_x + left,
        origin_y=grid.origin_y + below,
        shape=(
            max(height, math.ceil(pixel.y.max()) + border + 1) + below,
            max(width, math.ceil(pixel.x.max()) + border + 1) + left,
        ),
    )


def touches(exposure: Footprint, grid: MosaicGrid) -> bool:
    """Return whether a chip of an exposure shares pixels with a grid."""
    outline = _outline(grid.shape)
    for chip in exposure.outlines:
        pixel = grid.pixel_from_sky(chip)
        seen = np.isfinite(pixel.x)  # points 90 degrees away have no place in the plane
        if seen.sum() > 2 and are_within(outline, Points(pixel.x[seen], pixel.y[seen]), 0.0):
            return True
    return False


def _several(
    footprints: Sequence[Footprint], margin_px: int
) -> tuple[list[IntArray], tuple[OverlapLink, ...]]:
    """Return the members of each component of two or more, and the links found."""
    component, links = _components(footprints, margin_px)
    members = [np.flatnonzero(component == k) for k in range(component.max(initial=-1) + 1)]
    return [which for which in members if len(which) > 1], tuple(links)


def _component_of(several: Sequence[IntArray], n: int) -> tuple[int | None, ...]:
    component_of: list[int | None] = [None] * n
    for k, which in enumerate(several):
        for index in which:
            component_of[index] = k
    return tuple(component_of)


class _Frame(NamedTuple):
    tangent: TangentPlane | None
    margin_px: int


class _Caps(NamedTuple):
    """Circles on the sky that hold footprints: unit vectors of centres, radii in radians."""

    centre: FloatArray
    radius: FloatArray


@lru_cache(maxsize=64)
def _outline(shape: tuple[int, int]) -> Points:
    """Return the outline of the pixels' area, counter-clockwise in (x, y), read-only."""
    ny, nx = shape
    t = np.arange(POINTS_PER_SIDE) / POINTS_PER_SIDE
    zero, one = np.zeros_like(t), np.ones_like(t)
    x = np.concatenate([t, one, 1 - t, zero])
    y = np.concatenate([zero, t, one, 1 - t])
    return Points(read_only(x * nx - 0.5), read_only(y * ny - 0.5))


def _common_scale(scales: Sequence[float]) -> float:
    finest, coarsest = min(scales), max(scales)
    if coarsest <= finest * (1 + _SAME_SCALE):
        return finest
    return float(np.median(scales))


def _components(
    footprints: Sequence[Footprint], margin_px: int
) -> tuple[IntArray, list[OverlapLink]]:
    """Return each exposure's component, numbered by smallest member, and the links found.

    Each exposure looks only at those that have no component yet, so that a deep stack costs one
    look at each, and a wide survey a comparison of caps per pair: 10,000 exposures in seconds.
    """
    caps = _caps_of([one.points() for one in footprints])
    component = np.full(len(footprints), -1, np.int64)
    alone = np.arange(len(footprints))
    links: list[OverlapLink] = []
    n_components = 0
    while alone.size:
        component[alone[0]] = n_components
        queue, alone = [int(alone[0])], alone[1:]
        while queue:
            first = queue.pop(0)
            joined = _neighbours(first, alone, footprints, caps, margin_px)
            links.extend(joined)
            found = [link.second for link in joined]
            component[found] = n_components
            queue.extend(found)
            alone = alone[component[alone] < 0]
        n_components += 1
    return component, links


def _neighbours(
    first: int,
    others: IntArray,
    footprints: Sequence[Footprint],
    caps: _Caps,
    margin_px: int,
) -> list[OverlapLink]:
    """Return a link to each of `others` whose chips come near those of `first`."""
    margin_arcsec = margin_px * footprints[first].scale_arcsec
    distance = np.linalg.norm(caps.centre[others] - caps.centre[first], axis=1)
    reach = caps.radius[others] + caps.radius[first] + math.radians(margin_arcsec / 3600.0)
    near = others[distance <= reach]  # a chord is shorter than its arc: none is missed
    if not near.size:
        return []
    middle = from_unit_vectors(caps.centre[first])
    plane = TangentPlane(float(middle.ra), float(middle.dec))
    own = [plane.from_sky(outline) for outline in footprints[first].outlines]
    links = []
    for second in near:
        theirs = [plane.from_sky(outline) for outline in footprints[second].outlines]
        pairs = [(a, b) for a in own for b in theirs if _boxes_meet(a, b, margin_arcsec)]
        if any(are_within(a, b, margin_arcsec) for a, b in pairs):
            area = sum(shared_area(a, b) for a, b in pairs)
            pixel = footprints[second].scale_arcsec ** 2
            links.append(OverlapLink(first, int(second), area / pixel))
    return links


def _boxes_meet(first: Points, second: Points, margin: float) -> bool:
    return all(
        a.min() <= b.max() + margin and b.min() <= a.max() + margin
        for a, b in ((first.x, second.x), (first.y, second.y))
    )


def _caps_of(points: Sequence[SkyPoints]) -> _Caps:
    """Return a cap about each set of points."""
    centres, radii = np.zeros((len(points), 3)), np.zeros(len(points))
    for k, sky in enumerate(points):
        vectors = unit_vectors(sky)
        mean = vectors.mean(axis=0)
        centres[k] = mean / np.linalg.norm(mean)
        chord = np.linalg.norm(vectors - centres[k], axis=1).max(initial=0.0)
        radii[k] = 2.0 * math.asin(min(1.0, chord / 2.0))
    return _Caps(centres, radii)


def _grid(
    component: int,
    footprints: Sequence[Footprint],
    scale_arcsec: float,
    tile_shape: tuple[int, int],
    frame: _Frame,
) -> MosaicGrid:
    """Return the smallest grid that holds the footprints, their border and the margin."""
    sky = _points_of(footprints)
    middle = middle_of(sky)
    radius_deg = _farthest_deg(sky, middle)
    if 2 * radius_deg > WIDEST_DEG:
        raise NotYet(
            f"component {component}: its {len(footprints)} exposures span {2 * radius_deg:.1f} "
            f"degrees, one tangent plane serves {WIDEST_DEG:.0f}; "
            "align parts of the survey in runs of their own"
        )
    plane = frame.tangent or TangentPlane(float(middle.ra), float(middle.dec))
    away_deg = _farthest_deg(sky, SkyPoints(np.asarray(plane.ra_deg), np.asarray(plane.dec_deg)))
    if away_deg > WIDEST_DEG:
        raise ConfigError(
            f"alignment.tangent_plane: exposures lie up to {away_deg:.1f} degrees from the "
            f"tangent point, at most {WIDEST_DEG:.0f} are wanted; choose one nearer to them"
        )
    at_origin = MosaicGrid(component, plane, scale_arcsec, 0.0, 0.0, (1, 1), (1, 1))
    pixel = at_origin.pixel_from_sky(sky)
    border = BORDER_PX + frame.margin_px
    x0, y0 = (math.floor(axis.min()) - border for axis in pixel)
    nx = math.ceil(pixel.x.max()) + border + 1 - x0
    ny = math.ceil(pixel.y.max()) + border + 1 - y0
    tile = (min(tile_shape[0], ny), min(tile_shape[1], nx))
    n_tiles = math.ceil(ny / tile[0]) * math.ceil(nx / tile[1])
    if n_tiles > MOST_TILES:
        raise ConfigError(
            f"mosaic: component {component} would have {nx} x {ny} px of {scale_arcsec:.3g} arcsec "
            f"in {n_tiles} tiles, at most {MOST_TILES} are wanted; give a larger mosaic.scale "
            "(arcsec) or mosaic.tile_shape, or find a header of a wrong scale among them"
        )
    return MosaicGrid(component, plane, scale_arcsec, float(-x0), float(-y0), (ny, nx), tile)


def _points_of(footprints: Sequence[Footprint]) -> SkyPoints:
    return SkyPoints(
        np.concatenate([one.points().ra for one in footprints]),
        np.concatenate([one.points().dec for one in footprints]),
    )


def _farthest_deg(sky: SkyPoints, centre: SkyPoints) -> float:
    chord = np.linalg.norm(unit_vectors(sky) - unit_vectors(centre), axis=1).max()
    return math.degrees(2.0 * math.asin(min(1.0, float(chord) / 2.0)))
