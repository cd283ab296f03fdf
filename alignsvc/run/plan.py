"""What a run is going to do: its exposures, its grids, and its identity. No pixel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from alignsvc.config.build import Algorithms, build_algorithms, build_cluster, margin_px
from alignsvc.config.schema import Config
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import TangentPlane, middle_of
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.exposure_files import find_exposures
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.fits_files import content_digest
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
from alignsvc.reasons import SkipReason
from alignsvc.run.extension.earlier import EarlierRun, KnownExposure
from alignsvc.run.extension.kept_tiles import Extension, KeptTile, Member, Role
from alignsvc.run.identity import setting_parts
from alignsvc.run.inspecting import ended_alone, failure, inspected, on_grid, without_duplicates
from alignsvc.run.named_files import (
    catalog_notes,
    given_grid,
    reference_catalog,
    require_on_grids,
    source_digests,
)
from alignsvc.run.reducer.colours import StarColours, refraction_notes, star_colours
from alignsvc.run.state import run_id_of

#: Why an exposure that could be compared is not in a component.
_ALONE = frozenset({SkipReason.NO_OVERLAP.value, SkipReason.SINGLE_EXPOSURE.value})


@dataclass(frozen=True, slots=True, eq=False)
class PlannedExposure:
    """A sound exposure that overlaps another.

    Parameters
    ----------
    header : ExposureHeader
    component : int
        Index of its grid in the layout.
    plane : TangentPlane
        In which its correction acts: about the middle of its footprint, unless the
        configuration names one.
    start : Correction or None
        From where gauge and priors count, and the loop begins with an exposure that nobody
        knows; None = as the header has it.
    known : KnownExposure or None
        What an earlier run says of it: there the loop begins.
    role : Role
    """

    header: ExposureHeader
    component: int
    plane: TangentPlane
    start: Correction | None = None
    known: KnownExposure | None = None
    role: Role = Role.MOVES

    @property
    def id(self) -> str:
        """The exposure's id."""
        return self.header.ref.id

    @property
    def start_wcs(self) -> tuple[CelestialWcs, ...]:
        """The WCS of each chip where the loop begins."""
        if self.start is None:
            return self.header.wcs
        return tuple(corrected(wcs, self.start) for wcs in self.header.wcs)

    @property
    def is_frozen(self) -> bool:
        """Whether its correction stays what an earlier run made it."""
        return self.role is not Role.MOVES

    def begin(self, geometry: Geometry) -> Correction:
        """Return the total with which the loop begins, as free as `geometry` unless frozen."""
        if self.known is None:
            return self.start or Correction.identity(self.plane, geometry)
        return self.known.total if self.is_frozen else self.known.total.restricted(geometry)

    def since_start(self, total: Correction) -> Correction:
        """Return what the loop has added to where it began.

        The gauge and the priors speak of this part: a header that is off by hundreds of pixels
        says nothing of where the others lie.
        """
        return total if self.start is None else total.after(self.start.inverse())


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All that is decided before the first task runs.

    Parameters
    ----------
    config : Config
    algorithms : Algorithms
    exposures : tuple of PlannedExposure
        In order of id.
    headers : tuple of ExposureHeader
        Of all sound files, those that cannot take part included; in order of id.
    ended : tuple of ExposureEnded
        Exposures that cannot take part, and why; in order of id.
    layout : MosaicLayout
        Its `component_of` refers to all sound exposures, `exposures` to those in a component.
    reference : str or None
        Id of the exposure that holds the frame.
    identity : str
        Digest of the settings that change numbers, of the inputs and of the store's format.
    parts : tuple of (str, str)
        The pieces of the identity, each with its own digest: which one changed can be told.
    catalog : ReferenceCatalog or None
        That `reference.catalog` names.
    notes : tuple of str
        What the user should know of the inputs.
    earlier : EarlierRun or None
        That is extended.
    idle : tuple of PlannedExposure
        Frozen ones that nothing new is near: no task reads them. In order of id.
    kept : mapping of TileId to KeptTile
        Tiles of the earlier run's mosaic that are not made again.
    colours : StarColours or None
        That `alignment.colour_term` names.
    off_catalog : frozenset of str
        Ids of exposures whose sources should match the catalogue, and do not.
    """

    config: Config
    algorithms: Algorithms
    exposures: tuple[PlannedExposure, ...]
    headers: tuple[ExposureHeader, ...]
    ended: tuple[ExposureEnded, ...]
    layout: MosaicLayout
    reference: str | None
    identity: str
    parts: tuple[tuple[str, str], ...]
    catalog: ReferenceCatalog | None
    notes: tuple[str, ...]
    earlier: EarlierRun | None = None
    idle: tuple[PlannedExposure, ...] = ()
    kept: Mapping[TileId, KeptTile] = field(default_factory=lambda: MappingProxyType({}))
    colours: StarColours | None = None
    off_catalog: frozenset[str] = frozenset()

    @property
    def run_id(self) -> str:
        """What corrected headers call the run (ALIGNRUN)."""
        return run_id_of(self.identity)

    @property
    def grids(self) -> tuple[MosaicGrid, ...]:
        """One a component."""
        return self.layout.grids

    @property
    def held(self) -> frozenset[str]:
        """Ids of the exposures that hold the frame by not moving."""
        frozen = {one.id for one in (*self.exposures, *self.idle) if one.is_frozen}
        return frozenset(frozen if self.reference is None else {self.reference, *frozen})

    @property
    def moving(self) -> tuple[PlannedExposure, ...]:
        """The exposures that are aligned."""
        return tuple(one for one in self.exposures if not one.is_frozen)

    def tiles_made(self, grid: MosaicGrid) -> tuple[TileId, ...]:
        """Return the tiles of a grid that this run makes, row by row."""
        return tuple(tile for tile in grid.tiles() if tile not in self.kept)

    @property
    def is_usable(self) -> bool:
        """Whether any exposure is sound, be there anything to align or not."""
        return bool(self.exposures) or any(e.status is Status.SKIPPED for e in self.ended)

    @property
    def exit_code(self) -> ExitCode:
        """What `check` returns."""
        if not self.is_usable:
            return ExitCode.BAD_CONFIGURATION
        failed = any(e.status is Status.FAILED for e in self.ended)
        return ExitCode.SOME_FAILED if failed else ExitCode.DONE


def make_plan(config: Config, earlier: EarlierRun | None = None) -> Plan:
    """Read every header that `config` names and decide what to do.

    Parameters
    ----------
    config : Config
    earlier : EarlierRun or None
        The run that is extended: its exposures join those of the configuration.

    Raises
    ------
    ConfigError
        Settings that do not fit, patterns that match nothing, a reference that is not there.
    """
    algorithms = build_algorithms(config)
    build_cluster(config, None)
    catalog = reference_catalog(config)
    sources = source_digests(config)
    grid = given_grid(config)
    also = earlier.files if earlier is not None else ()
    found = find_exposures(config.images.paths, algorithms.images, also)
    sound, failed = inspected(found.candidates, algorithms)
    ended = [failure(f) for f in (*found.failed, *failed)]
    ended += earlier.lost_among(sound) if earlier is not None else ()
    headers = tuple(sound)
    known = earlier.known_among(headers) if earlier is not None else {}
    sound, duplicates = without_duplicates(sound, known)
    ended += duplicates
    sound, outside = on_grid(sound, grid)
    ended += outside
    arranged = _arranged(config, sound, earlier, {})
    ended += [ended_alone(header, len(sound)) for header in arranged.alone]
    reference = _reference(config, (*arranged.exposures, *arranged.idle))
    arranged = arranged.held_by(reference)
    require_on_grids(config, catalog, arranged.layout.grids)
    named = (
        *sources,
        ("reference.image", reference or ""),
        ("mosaic.grid", digest_of(grid) if grid is not None else ""),
        _named_plane(config, sound),
    )
    inputs = tuple((f"input {header.ref.id}", header.ref.fingerprint) for header in headers)
    extended = () if earlier is None else (("run.extend", earlier.digest),)
    settings = (*setting_parts(config), *extended)
    parts = (("format", digest_of(FORMAT_VERSION)), *settings, *named, *inputs)
    moving = [one.known for one in arranged.exposures if not one.is_frozen]
    compared = [one.header for one in arranged.exposures]
    colours = star_colours(config, compared)
    notes = (
        *(() if earlier is None else earlier.notes(moving, len(arranged.idle))),
        *catalog_notes(catalog, sound),
        *refraction_notes(compared, colours),
        *(w for h in sound for w in h.warnings),
    )
    return Plan(
        config=config,
        algorithms=algorithms,
        exposures=arranged.exposures,
        headers=headers,
        ended=tuple(sorted(ended, key=lambda e: e.exposure)),
        layout=arranged.layout,
        reference=reference,
        identity=digest_of(parts),
        parts=parts,
        catalog=catalog,
        notes=notes,
        earlier=earlier,
        idle=arranged.idle,
        kept=arranged.kept,
        colours=colours,
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
    others = [end for end in plan.ended if end.reason not in _ALONE]
    now_alone = [ended_alone(header, len(sound)) for header in arranged.alone]
    return replace(
        plan,
        exposures=arranged.exposures,
        ended=tuple(sorted([*others, *ended, *now_alone], key=lambda e: e.exposure)),
        layout=arranged.layout,
        idle=arranged.idle,
        kept=arranged.kept,
    )


def comparable(plan: Plan) -> tuple[ExposureHeader, ...]:
    """Return the sound exposures, in order of id, those too that overlap none by their headers."""
    alone = {end.exposure for end in plan.ended if end.reason in _ALONE}
    taking_part = {one.id for one in (*plan.exposures, *plan.idle)} | alone
    return tuple(header for header in plan.headers if header.ref.id in taking_part)


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
    for header, component, role in zip(sound, layout.component_of, roles, strict=True):
        one = known.get(header.ref.id)
        if component is None:
            alone.append(header)
        elif one is not None:
            placed.append(PlannedExposure(header, component, one.plane, one.start, one, role))
        else:
            plane, start = given or _plane_of(header.wcs), starts.get(header.ref.id)
            placed.append(PlannedExposure(header, component, plane, start))
    return _Arranged(
        layout,
        tuple(one for one in placed if one.role is not Role.IDLE),
        tuple(one for one in placed if one.role is Role.IDLE),
        tuple(alone),
        kept,
    )


def no_usable_exposure(plan: Plan) -> ConfigError:
    """Return the error of a plan without a sound exposure; it names the first reasons."""
    reasons = "; ".join(e.message for e in plan.ended[:3])
    more = f"; and {len(plan.ended) - 3} more" if len(plan.ended) > 3 else ""
    return ConfigError(f"no usable exposure among {len(plan.ended)}: {reasons}{more}")


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
    if not Path(name).is_file():
        raise ConfigError(
            f"alignment.tangent_plane: {name!r} is neither the id of a sound exposure nor a file"
        )
    try:
        return _plane_of((celestial_from_file(name),))
    except DataError as error:
        raise ConfigError(f"alignment.tangent_plane: {error}") from error


def _plane_of(chips: Sequence[CelestialWcs]) -> TangentPlane:
    """Return the plane about the middle of all chips' corners."""
    middle = middle_of(footprint(chips).points())
    return TangentPlane(float(middle.ra), float(middle.dec))


def _reference(config: Config, exposures: Sequence[PlannedExposure]) -> str | None:
    """Return the id that `reference.image` names: an id, or a path that ends in it."""
    name = config.reference.image
    if name is None:
        return None
    for exposure in exposures:
        files = {chip.science.uri for chip in exposure.header.ref.chips}
        if exposure.id == name or str(Path(name).absolute()) in files:
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
