"""How a plan is made of what configuration and headers say: exposures are put on grids."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alignsvc.config.build import build_algorithms, build_cluster, margin_px
from alignsvc.config.resolved import resolved
from alignsvc.config.schema import Config
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import TangentPlane, middle_of
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError, DataError
from alignsvc.io import places
from alignsvc.io.exposure_files import find_files
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.fits_files import content_digest
from alignsvc.io.headers_read import HeadersRead
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import FORMAT_VERSION
from alignsvc.io.wcs_headers import celestial_from_file
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.footprints import (
    Footprint,
    MosaicLayout,
    choose_grids,
    footprint,
    share_grid,
)
from alignsvc.run.planning.copies import suspicion_notes
from alignsvc.run.planning.earlier_run import EarlierRun
from alignsvc.run.planning.inspecting import ended_alone, failure, on_grid, without_duplicates
from alignsvc.run.planning.kept_tiles import Extension, KeptTile, Member, Role
from alignsvc.run.planning.named_files import (
    catalog_notes,
    given_grid,
    reference_catalog,
    require_on_grids,
    source_digests,
)
from alignsvc.run.planning.plan import ALONE, Plan, PlannedExposure, comparable
from alignsvc.run.planning.reading_headers import (
    HeaderReader,
    Reading,
    ReadingListener,
    cores,
    untold,
)
from alignsvc.run.planning.star_colours import refraction_notes, star_colours
from alignsvc.run.records.identity import input_part, setting_parts


def make_plan(
    config: Config,
    earlier: EarlierRun | None = None,
    headers_read: HeadersRead | None = None,
    told: ReadingListener = untold,
) -> Plan:
    """Read every header that `config` names and decide what to do.

    Parameters
    ----------
    config : Config
    earlier : EarlierRun or None
        The run that is extended: its exposures join those of the configuration.
    headers_read : HeadersRead or None
        What headers said when they were read last: files that are unchanged are not read again.
    told : ReadingListener
        Hears how far the reading of the others is.

    Raises
    ------
    ConfigError
        Settings that do not fit, patterns that match nothing, a reference that is not there.
    """
    algorithms = build_algorithms(config)
    config = resolved(config)
    build_cluster(config, None)
    named = _Named.read(config)
    also = earlier.files if earlier is not None else ()
    found = find_files(config.images.paths, algorithms.images, also)
    processes = 0 if config.cluster.backend == "serial" else cores()
    reading = HeaderReader(algorithms.images, processes, told)(found, headers_read)
    start = time.perf_counter()
    usable = _usable(reading, earlier, named.grid)
    arranged = _arranged(config, usable.sound, earlier, {})
    alone = ended_alone(arranged.alone, usable.sound)
    ended = sorted((*usable.ended, *alone), key=lambda one: one.exposure)
    reference = _reference(config, (*arranged.exposures, *arranged.idle))
    arranged = arranged.held_by(reference)
    require_on_grids(config, named.catalog, arranged.layout.grids)
    parts = (
        *_setting_parts(config, earlier, named, reference),
        _named_plane(config, usable.sound),
        *((input_part(header.ref.id), header.ref.fingerprint) for header in reading.headers),
    )
    plan = Plan(
        config=config,
        algorithms=algorithms,
        exposures=arranged.exposures,
        headers=reading.headers,
        ended=tuple(ended),
        layout=arranged.layout,
        reference=reference,
        identity=digest_of(parts),
        parts=parts,
        catalog=named.catalog,
        notes=(),
        earlier=earlier,
        idle=arranged.idle,
        kept=arranged.kept,
        colours=star_colours(config, [one.header for one in arranged.exposures]),
    )
    planned = replace(reading.told, planning_s=time.perf_counter() - start)
    times = (planned.text,) if reading.is_long else ()
    notes = (*_notes(plan, usable.sound), *reading.notes, *times)
    return replace(plan, notes=notes, planned=planned)


@dataclass(frozen=True, slots=True, eq=False)
class _Named:
    """What the configuration names beside the exposures."""

    catalog: ReferenceCatalog | None
    sources: tuple[tuple[str, str], ...]
    grid: MosaicGrid | None

    @classmethod
    def read(cls, config: Config) -> _Named:
        return cls(reference_catalog(config), source_digests(config), given_grid(config))


@dataclass(frozen=True, slots=True, eq=False)
class _Usable:
    """Exposures that can take part, as far as they themselves say, and those that cannot."""

    sound: Sequence[ExposureHeader]
    ended: tuple[ExposureEnded, ...]


def _usable(reading: Reading, earlier: EarlierRun | None, grid: MosaicGrid | None) -> _Usable:
    headers = reading.headers
    ended = [failure(one) for one in reading.failed]
    ended += earlier.lost_among(headers) if earlier is not None else ()
    known = earlier.known_among(headers) if earlier is not None else {}
    single, duplicates = without_duplicates(headers, known)
    sound, outside = on_grid(single, grid)
    return _Usable(sound, (*ended, *duplicates, *outside))


def _setting_parts(
    config: Config, earlier: EarlierRun | None, named: _Named, reference: str | None
) -> tuple[tuple[str, str], ...]:
    """Return the pieces of the identity that are not inputs."""
    return (
        ("format", digest_of(FORMAT_VERSION)),
        *setting_parts(config),
        *(() if earlier is None else (("run.extend", earlier.digest),)),
        *named.sources,
        ("reference.image", reference or ""),
        ("mosaic.grid", digest_of(named.grid) if named.grid is not None else ""),
    )


def _notes(plan: Plan, sound: Sequence[ExposureHeader]) -> tuple[str, ...]:
    """Return what the user should know of the inputs."""
    moving = [one.known for one in plan.exposures if not one.is_frozen]
    return (
        *(() if plan.earlier is None else plan.earlier.notes(moving, len(plan.idle))),
        *catalog_notes(plan.catalog, sound),
        *refraction_notes([one.header for one in plan.exposures], plan.colours),
        # A time that the configuration gives is that of all.
        *(suspicion_notes(sound) if isinstance(plan.algorithms.images.mid_time, str) else ()),
        *(warning for header in sound for warning in header.warnings),
    )


def with_starts(
    plan: Plan, starts: Mapping[str, Correction], ended: Sequence[ExposureEnded]
) -> Plan:
    """Return the plan of a loop that begins with corrections, without exposures that ended.

    Parameters
    ----------
    plan : Plan
        By the headers alone.
    starts : mapping of exposure id to Correction
        Of exposures that are not where their headers say.
    ended : sequence of ExposureEnded
        Exposures that cannot take part after all.
    """
    if not starts and not ended:
        return plan
    out = {end.exposure for end in ended}
    sound = [header for header in comparable(plan) if header.ref.id not in out]
    arranged = _arranged(plan.config, sound, plan.earlier, starts).held_by(plan.reference)
    others = [end for end in plan.ended if end.reason not in ALONE]
    now_alone = ended_alone(arranged.alone, sound)
    return replace(
        plan,
        exposures=arranged.exposures,
        ended=tuple(sorted([*others, *ended, *now_alone], key=lambda e: e.exposure)),
        layout=arranged.layout,
        idle=arranged.idle,
        kept=arranged.kept,
    )


def plane_for(plan: Plan, header: ExposureHeader) -> TangentPlane:
    """Return the plane in which an exposure's correction acts."""
    return _given_plane(plan.config, comparable(plan)) or _plane_of(header.wcs)


def place_of(header: ExposureHeader, total: Correction | None) -> Footprint:
    """Return where an exposure lies with a correction; None = where its header says."""
    chips = header.wcs if total is None else (corrected(wcs, total) for wcs in header.wcs)
    return footprint(chips)


@dataclass(frozen=True, slots=True, eq=False)
class _Arranged:
    """Exposures on grids, as in `Plan`; and those that overlap no other."""

    layout: MosaicLayout
    exposures: tuple[PlannedExposure, ...]
    idle: tuple[PlannedExposure, ...]
    alone: tuple[ExposureHeader, ...]
    kept: Mapping[TileId, KeptTile]

    def held_by(self, reference: str | None) -> _Arranged:
        """Return it with a reference image that is where its header says, whoever knows better."""
        one = next((one for one in (*self.exposures, *self.idle) if one.id == reference), None)
        frozen = any(other.is_frozen for other in (*self.exposures, *self.idle))
        if one is None or one.is_frozen:
            return self
        if frozen:
            raise ConfigError(
                f"reference.image: {reference} is new, and with --freeze the exposures of the "
                "earlier run hold the frame; leave it out"
            )
        still = replace(one, start=None, known=None)
        exposures = tuple(still if other is one else other for other in self.exposures)
        return replace(self, exposures=exposures)


def _arranged(
    config: Config,
    sound: Sequence[ExposureHeader],
    earlier: EarlierRun | None,
    starts: Mapping[str, Correction],
) -> _Arranged:
    """Put exposures on grids, where they lie when the loop begins."""
    grid = given_grid(config)
    known = earlier.known_among(sound) if earlier is not None else {}
    totals = {**starts, **{name: one.total for name, one in known.items()}}
    places = [place_of(header, totals.get(header.ref.id)) for header in sound]
    layout = _layout(config, places, grid)
    roles: tuple[Role, ...] = (Role.MOVES,) * len(sound)
    kept: Mapping[TileId, KeptTile] = {}
    if earlier is not None:
        members = [
            Member(place, known.get(header.ref.id))
            for header, place in zip(sound, places, strict=True)
        ]
        extended = Extension(earlier, margin_px(config), grid is None)(layout, members)
        layout, kept, roles = extended.layout, extended.kept, extended.roles
    given, placed, alone = _given_plane(config, sound), [], []
    for k, (header, component) in enumerate(zip(sound, layout.component_of, strict=True)):
        one, start = known.get(header.ref.id), starts.get(header.ref.id)
        if component is None:
            alone.append(header)
        elif one is not None:
            placed.append(PlannedExposure(header, component, one.plane, one.start, one, roles[k]))
        else:
            by_header = places[k] if start is None else footprint(header.wcs)
            placed.append(PlannedExposure(header, component, given or _middle(by_header), start))
    return _Arranged(
        layout,
        tuple(one for one in placed if one.role is not Role.IDLE),
        tuple(one for one in placed if one.role is Role.IDLE),
        tuple(alone),
        kept,
    )


def _layout(
    config: Config, footprints: Sequence[Footprint], grid: MosaicGrid | None
) -> MosaicLayout:
    if grid is not None:
        return share_grid(footprints, grid, margin_px(config))
    return choose_grids(
        footprints,
        config.mosaic.tile_shape,
        scale_arcsec=None if config.mosaic.scale == "auto" else config.mosaic.scale,
        margin_px=margin_px(config),
    )


def _given_plane(config: Config, sound: Sequence[ExposureHeader]) -> TangentPlane | None:
    """Return the plane that `alignment.tangent_plane` names: an exposure's, or a header's."""
    name = config.alignment.tangent_plane
    if name is None:
        return None
    for header in sound:
        if header.ref.id == name:
            return _plane_of(header.wcs)
    if not places.is_url(name) and not Path(name).is_file():
        raise ConfigError(
            f"alignment.tangent_plane: {name!r} is neither the id of a sound exposure nor a file"
        )
    try:
        return _plane_of((celestial_from_file(name),))
    except DataError as error:
        raise ConfigError(f"alignment.tangent_plane: {error}") from error


def _plane_of(chips: Sequence[CelestialWcs]) -> TangentPlane:
    """Return the plane about the middle of all chips' corners."""
    return _middle(footprint(chips))


def _middle(place: Footprint) -> TangentPlane:
    middle = middle_of(place.points())
    return TangentPlane(float(middle.ra), float(middle.dec))


def _reference(config: Config, exposures: Sequence[PlannedExposure]) -> str | None:
    """Return the id that `reference.image` names: an id, or a path that ends in it."""
    name = config.reference.image
    if name is None:
        return None
    for exposure in exposures:
        files = {chip.science.uri for chip in exposure.header.ref.chips}
        if exposure.id == name or str(places.place_of(name)) in files:
            return exposure.id
    known = ", ".join(e.id for e in exposures[:5])
    raise ConfigError(
        f"reference.image: {name!r} is not a usable exposure of this run that overlaps another; "
        f"give an id such as {known or '(none is usable)'}"
    )


def _named_plane(config: Config, sound: Sequence[ExposureHeader]) -> tuple[str, str]:
    """Return the part of the identity that `alignment.tangent_plane` is."""
    key, name = "alignment.tangent_plane", config.alignment.tangent_plane
    if name is None or any(header.ref.id == name for header in sound):
        return (key, name or "")
    return (key, content_digest(name))
