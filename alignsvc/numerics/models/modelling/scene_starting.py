"""The start of a model fit for people, from images, headers and perhaps sources."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from alignsvc.domain.arrays import BoolArray, IntArray
from alignsvc.domain.geometry import Points, TangentPlane, middle_of
from alignsvc.numerics.matching.similarity import as_complex
from alignsvc.numerics.models.modelling.scene_building import ExposureStart, SceneStart
from alignsvc.numerics.models.modelling.scene_input import SceneExposure, SceneSources
from alignsvc.numerics.models.modelling.scene_settings import SceneSettings
from alignsvc.numerics.models.modelling.scene_start import (
    SeenSources,
    StartMatcher,
    above,
    level_of,
    rigid,
    seen_sources,
    typical_width,
    widths,
)
from alignsvc.numerics.models.modelling.sky_map import SkyMap
from alignsvc.numerics.models.scene.window import inverse_variance

#: Where nothing tells of a width.
_USUAL_FWHM_PX = 3.0
#: Exposures whose correction begins where it was given.
_GIVEN = ("none", "placing")
#: Fewer pixels away from all sources tell less of the sky's noise than all pixels, clipped.
_ENOUGH_SKY = 400


def begin(
    exposures: tuple[SceneExposure, ...], sources: SceneSources | None, settings: SceneSettings
) -> SceneStart | None:
    """Return where a fit begins; None if there is no source."""
    names = [exposure.name or f"exposure {e}" for e, exposure in enumerate(exposures)]
    geometries = _geometries(exposures, names, settings)
    reference = geometries.index("none") if "none" in geometries else 0
    seen = [seen_sources(exposure, settings.threshold) for exposure in exposures]
    if sources is None:
        sources = _found(exposures[reference], seen[reference], settings)
    if not len(sources):
        return None
    middle = middle_of(sources.sky)
    plane = TangentPlane(float(middle.ra), float(middle.dec))
    begun = []
    for e, (exposure, one) in enumerate(zip(exposures, seen, strict=True)):
        width = settings.fwhm_px or _width(exposure, one)
        sky_map = SkyMap(plane, exposure.celestial)
        level = 0.0 if settings.sky == "none" or math.isnan(one.level) else one.level
        begun.append(
            ExposureStart(
                exposure, names[e], sky_map, geometries[e], level, np.zeros(exposure.shape), width
            )
        )
    start = SceneStart(
        plane,
        plane.from_sky(sources.sky),
        np.asarray(sources.held, bool),
        sources.models,
        np.full(len(sources), np.nan),
        tuple(begun),
    )
    start = _placed(start, seen, reference, settings)
    start = _measured(start, reference, settings)
    weighted = (_weighted(start, one, settings) for one in start.exposures)
    return replace(start, exposures=tuple(weighted))


def _geometries(
    exposures: tuple[SceneExposure, ...], names: list[str], settings: SceneSettings
) -> tuple[str, ...]:
    """Return what is free of each exposure."""
    usual = [e for e, one in enumerate(exposures) if one.placing is None]
    of = settings.geometries([exposures[e].correction or names[e] for e in usual])
    geometries = dict(zip(usual, of, strict=True))
    return tuple(geometries.get(e, "placing") for e in range(len(exposures)))


def _found(exposure: SceneExposure, seen: SeenSources, settings: SceneSettings) -> SceneSources:
    """Return the brightest sources of an exposure as stars, where its header puts them."""
    at = Points(*(axis[: settings.max_sources] for axis in seen.sources.points))
    sky = exposure.celestial.sky_from_pixel(at)
    good = np.isfinite(sky.ra) & np.isfinite(sky.dec)
    return SceneSources(sky.ra[good], sky.dec[good])


def _width(exposure: SceneExposure, seen: SeenSources) -> float:
    if math.isnan(seen.level):
        return _USUAL_FWHM_PX
    found = typical_width(above(exposure, seen.level), seen.sources)
    return _USUAL_FWHM_PX if math.isnan(found) else found


def _placed(
    start: SceneStart, seen: list[SeenSources], reference: int, settings: SceneSettings
) -> SceneStart:
    """Return the start with sources where the reference shows them, exposures put onto them."""
    matcher = StartMatcher(settings.reach_px, settings.turn_deg)
    order = _brightest_first(start, start.exposures[reference], seen[reference])
    if not start.held.all():
        pairs = _pairs(start, start.exposures[reference], seen[reference], matcher, order)
        moved, held = _moved(start.place, pairs), start.held
        place = (np.where(held, *axes) for axes in zip(start.place, moved, strict=True))
        start = replace(start, place=Points(*place))
    known: dict[str, list[StartPairs]] = {}
    for one, own in zip(start.exposures, seen, strict=True):
        if one.geometry not in _GIVEN:
            pairs = _pairs(start, one, own, matcher, order)
            known.setdefault(one.correction_name, []).append(pairs)
    corrected = (
        one
        if one.geometry in _GIVEN
        else _corrected(one, StartPairs.joined(known[one.correction_name]), start.place)
        for one in start.exposures
    )
    return replace(start, exposures=tuple(corrected))


@dataclass(frozen=True, slots=True, eq=False)
class StartPairs:
    """Sources, and where an exposure's header puts them on the plane.

    Parameters
    ----------
    source : int64 array, shape (k,)
    seen : complex array, shape (k,)
        East + i north, arcsec.
    """

    source: IntArray
    seen: NDArray[np.complex128]

    @classmethod
    def joined(cls, parts: list[StartPairs]) -> StartPairs:
        """Return the pairs of several chips."""
        return cls(
            np.concatenate([part.source for part in parts]),
            np.concatenate([part.seen for part in parts]),
        )


def _pairs(
    start: SceneStart,
    one: ExposureStart,
    seen: SeenSources,
    matcher: StartMatcher,
    order: IntArray,
) -> StartPairs:
    """Return which of the scene's sources an exposure shows."""
    expected = one.pixels_of(start.place)
    ny, nx = one.exposure.shape
    reach = matcher.reach_px
    with np.errstate(invalid="ignore"):
        near = (expected.x > -reach) & (expected.x < nx + reach)
        near &= (expected.y > -reach) & (expected.y < ny + reach)
    order = order[near[order]]
    points = seen.sources.points
    may_turn = one.geometry not in ("shift", "none")
    at = Points(expected.x[order], expected.y[order])
    matches = matcher(at, points, may_turn=may_turn)
    found = Points(points.x[matches.second], points.y[matches.second])
    plane = start.plane.from_sky(one.map.wcs.sky_from_pixel(found))
    return StartPairs(order[matches.first], as_complex(plane))


def _moved(place: Points, pairs: StartPairs) -> Points:
    """Return sources where the reference shows them, the others shifted as these were."""
    if not len(pairs.source):
        return place
    z = as_complex(place)
    moved = z + np.mean(pairs.seen - z[pairs.source])
    moved[pairs.source] = pairs.seen
    return Points(moved.real, moved.imag)


def _corrected(one: ExposureStart, pairs: StartPairs, place: Points) -> ExposureStart:
    """Return an exposure with the correction that puts what it shows onto the sources."""
    if not len(pairs.source):
        return one
    to = as_complex(place)[pairs.source]
    moved = rigid(pairs.seen, to, may_turn=one.geometry != "shift")
    turn = math.atan2(moved.factor.imag, moved.factor.real)
    return replace(one, shift=(moved.shift.real, moved.shift.imag), turn=turn)


def _brightest_first(start: SceneStart, one: ExposureStart, seen: SeenSources) -> IntArray:
    """Return the sources' indices in order of the light at their places in an exposure."""
    at = one.pixels_of(start.place)
    brightness = np.full(len(at.x), -np.inf)
    if not math.isnan(seen.level):
        image = maximum_filter(above(one.exposure, seen.level), 5)
        inside = _on_chip(at, one)
        rows, columns = np.rint(at.y[inside]).astype(int), np.rint(at.x[inside]).astype(int)
        brightness[inside] = image[rows, columns]
    return np.argsort(-brightness, kind="stable").astype(np.int64)


def _on_chip(at: Points, one: ExposureStart) -> BoolArray:
    """Return which pixels lie on an exposure."""
    ny, nx = one.exposure.shape
    with np.errstate(invalid="ignore"):
        return np.asarray((at.x > -0.5) & (at.x < nx - 0.5) & (at.y > -0.5) & (at.y < ny - 0.5))


def _measured(start: SceneStart, reference: int, settings: SceneSettings) -> SceneStart:
    """Return the start with the widths of stars in each exposure, and of galaxies."""
    begun = []
    for e, one in enumerate(start.exposures):
        at = one.pixels_of(start.place)
        inside = _on_chip(at, one)
        found = np.full(len(inside), np.nan)
        image = above(one.exposure, one.level)
        found[inside] = widths(image, Points(at.x[inside], at.y[inside]))
        stars = found[start.is_star & np.isfinite(found)]
        if len(stars) and settings.fwhm_px is None:
            one = replace(one, fwhm_px=float(np.median(stars)))
        if e == reference:
            wide = np.where(start.is_star, np.nan, found * one.map.wcs.pixel_scale_arcsec)
            start = replace(start, width_arcsec=wide)
        begun.append(one)
    return replace(start, exposures=tuple(begun))


def _weighted(start: SceneStart, one: ExposureStart, settings: SceneSettings) -> ExposureStart:
    """Return an exposure with its weights: of its variance, or of the sky's noise."""
    good = one.exposure.good
    if one.exposure.variance is not None:
        variance = np.broadcast_to(np.asarray(one.exposure.variance, float), good.shape)
        return replace(one, weight=inverse_variance(variance, ~good))
    empty = good.copy()
    reach = math.ceil(0.5 * settings.window_fwhm * one.fwhm_px)
    at = one.pixels_of(start.place)
    inside = _on_chip(at, one)
    for x, y in zip(np.rint(at.x[inside]), np.rint(at.y[inside]), strict=True):
        rows = slice(max(int(y) - reach, 0), int(y) + reach + 1)
        empty[rows, max(int(x) - reach, 0) : int(x) + reach + 1] = False
    sky = level_of(one.exposure, empty if np.count_nonzero(empty) >= _ENOUGH_SKY else good)
    return replace(one, weight=inverse_variance(np.full(good.shape, sky.rms**2), ~good))
