"""What a run is going to do: its exposures, its grids, and its identity. No pixel is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alignsvc.config.build import Algorithms, build_algorithms, build_cluster, margin_px
from alignsvc.config.schema import Config
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction
from alignsvc.domain.digest import digest_of
from alignsvc.domain.geometry import TangentPlane, middle_of
from alignsvc.domain.grid import MosaicGrid
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError, DataError
from alignsvc.io.exposure_files import ExposureCandidate, FailedExposure, find_exposures
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
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
    touches,
)
from alignsvc.reasons import REASON_TEXT, SkipReason
from alignsvc.run.colours import StarColours, refraction_notes, star_colours
from alignsvc.run.named_files import (
    catalog_digests,
    catalog_notes,
    given_grid,
    reference_catalog,
    require_on_grids,
)
from alignsvc.run.state import run_id_of

#: Why an exposure that could be compared is not in a component.
_ALONE = frozenset({SkipReason.NO_OVERLAP.value, SkipReason.SINGLE_EXPOSURE.value})
#: Keys that name files: what is in these is part of a run's identity, not where they lie.
_NAME_FILES = frozenset(
    {
        "images.paths",
        "detection.catalog",
        "reference.catalog",
        "reference.image",
        "mosaic.grid",
        "alignment.tangent_plane",
    }
)


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
        With which the loop begins; None = as the header has it.
    """

    header: ExposureHeader
    component: int
    plane: TangentPlane
    start: Correction | None = None

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
    colours : StarColours or None
        That `alignment.colour_term` names.
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
    colours: StarColours | None = None

    @property
    def run_id(self) -> str:
        """What corrected headers call the run (ALIGNRUN)."""
        return run_id_of(self.identity)

    @property
    def grids(self) -> tuple[MosaicGrid, ...]:
        """One a component."""
        return self.layout.grids

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


def make_plan(config: Config) -> Plan:
    """Read every header that `config` names and decide what to do.

    Raises
    ------
    ConfigError
        Settings that do not fit, patterns that match nothing, a reference that is not there.
    """
    algorithms = build_algorithms(config)
    build_cluster(config, None)
    catalog = reference_catalog(config)
    catalogs = catalog_digests(config)
    colours = star_colours(config)
    grid = given_grid(config)
    found = find_exposures(config.images.paths, algorithms.images)
    sound, failed = _inspected(found.candidates, algorithms)
    ended = [_failure(f) for f in (*found.failed, *failed)]
    headers = tuple(sound)
    sound, duplicates = _without_duplicates(sound)
    ended += duplicates
    sound, outside = _on_grid(sound, grid)
    ended += outside
    layout = _layout(config, [footprint(header.wcs) for header in sound], grid)
    exposures, alone = _placed(sound, layout, _given_plane(config, sound))
    ended += [_alone(header, len(sound)) for header in alone]
    reference = _reference(config, exposures)
    require_on_grids(config, catalog, layout.grids)
    named = (
        *catalogs,
        ("reference.image", reference or ""),
        ("mosaic.grid", digest_of(grid) if grid is not None else ""),
        _named_plane(config, sound),
    )
    inputs = tuple((f"input {header.ref.id}", header.ref.fingerprint) for header in headers)
    parts = (("format", digest_of(FORMAT_VERSION)), *_setting_parts(config), *named, *inputs)
    return Plan(
        config=config,
        algorithms=algorithms,
        exposures=exposures,
        headers=headers,
        ended=tuple(sorted(ended, key=lambda e: e.exposure)),
        layout=layout,
        reference=reference,
        identity=digest_of(parts),
        parts=parts,
        catalog=catalog,
        notes=(
            *catalog_notes(catalog, sound),
            *refraction_notes(config, [one.header for one in exposures]),
            *(w for h in sound for w in h.warnings),
        ),
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
    places = [_begun(header, starts.get(header.ref.id)) for header in sound]
    layout = _layout(plan.config, places, given_grid(plan.config))
    exposures, alone = _placed(sound, layout, _given_plane(plan.config, sound))
    others = [end for end in plan.ended if end.reason not in _ALONE]
    now_alone = [_alone(header, len(sound)) for header in alone]
    return replace(
        plan,
        exposures=tuple(replace(one, start=starts.get(one.id)) for one in exposures),
        ended=tuple(sorted([*others, *ended, *now_alone], key=lambda e: e.exposure)),
        layout=layout,
    )


def comparable(plan: Plan) -> tuple[ExposureHeader, ...]:
    """Return the sound exposures, in order of id, those too that overlap none by their headers."""
    alone = {end.exposure for end in plan.ended if end.reason in _ALONE}
    taking_part = {one.id for one in plan.exposures} | alone
    return tuple(header for header in plan.headers if header.ref.id in taking_part)


def plane_for(plan: Plan, header: ExposureHeader) -> TangentPlane:
    """Return the plane in which an exposure's correction acts."""
    return _given_plane(plan.config, comparable(plan)) or _plane_of(header.wcs)


def _begun(header: ExposureHeader, start: Correction | None) -> Footprint:
    """Return where an exposure lies when the loop begins."""
    chips = header.wcs if start is None else (corrected(wcs, start) for wcs in header.wcs)
    return footprint(chips)


def no_usable_exposure(plan: Plan) -> ConfigError:
    """Return the error of a plan without a sound exposure; it names the first reasons."""
    reasons = "; ".join(e.message for e in plan.ended[:3])
    more = f"; and {len(plan.ended) - 3} more" if len(plan.ended) > 3 else ""
    return ConfigError(f"no usable exposure among {len(plan.ended)}: {reasons}{more}")


def _inspected(
    candidates: Iterable[ExposureCandidate], algorithms: Algorithms
) -> tuple[list[ExposureHeader], list[FailedExposure]]:
    sound, failed = [], []
    for candidate in candidates:
        try:
            sound.append(inspect_exposure(candidate, algorithms.images))
        except DataError as error:
            failed.append(FailedExposure.from_error(candidate.id, error))
    return sound, failed


def _failure(failed: FailedExposure) -> ExposureEnded:
    return ExposureEnded(failed.id, Status.FAILED, failed.kind.value, failed.message)


def _without_duplicates(
    sound: Sequence[ExposureHeader],
) -> tuple[list[ExposureHeader], list[ExposureEnded]]:
    """Leave out exposures whose files are byte for byte those of an earlier one.

    Only files of equal headers and sizes (one fingerprint) are read to the end.
    """
    first_with: dict[str, ExposureHeader] = {}
    contents: dict[str, set[str]] = {}
    kept, ended = [], []
    for header in sound:
        earlier = first_with.setdefault(header.ref.fingerprint, header)
        if earlier is not header:
            seen = contents.setdefault(header.ref.fingerprint, {_contents(earlier)})
            own = _contents(header)
            if own in seen:
                message = f"exposure {header.ref.id}: byte for byte the same as {earlier.ref.id}"
                ended.append(_skipped(header.ref.id, SkipReason.DUPLICATE, message))
                continue
            seen.add(own)
        kept.append(header)
    return kept, ended


def _contents(header: ExposureHeader) -> str:
    files = dict.fromkeys(chip.science.uri for chip in header.ref.chips)
    return digest_of(tuple(content_digest(file) for file in files))


def _skipped(exposure: str, reason: SkipReason, message: str) -> ExposureEnded:
    return ExposureEnded(exposure, Status.SKIPPED, reason.value, message)


def _alone(header: ExposureHeader, n_sound: int) -> ExposureEnded:
    reason = SkipReason.SINGLE_EXPOSURE if n_sound == 1 else SkipReason.NO_OVERLAP
    return _skipped(header.ref.id, reason, f"exposure {header.ref.id}: {REASON_TEXT[reason]}")


def _on_grid(
    sound: Sequence[ExposureHeader], grid: MosaicGrid | None
) -> tuple[list[ExposureHeader], list[ExposureEnded]]:
    """Leave out exposures that a given grid has no pixel of."""
    if grid is None:
        return list(sound), []
    reason = SkipReason.OUTSIDE_GRID
    inside, ended = [], []
    for header in sound:
        if touches(footprint(header.wcs), grid):
            inside.append(header)
        else:
            text = f"exposure {header.ref.id}: {REASON_TEXT[reason]}"
            ended.append(_skipped(header.ref.id, reason, text))
    return inside, ended


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


def _placed(
    sound: Sequence[ExposureHeader], layout: MosaicLayout, given: TangentPlane | None
) -> tuple[tuple[PlannedExposure, ...], list[ExposureHeader]]:
    placed, alone = [], []
    for header, component in zip(sound, layout.component_of, strict=True):
        if component is None:
            alone.append(header)
        else:
            placed.append(PlannedExposure(header, component, given or _plane_of(header.wcs)))
    return tuple(placed), alone


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


def _setting_parts(config: Config) -> Iterator[tuple[str, str]]:
    """Yield a digest of each setting that changes numbers and names no file."""
    tree = config.model_dump(mode="json", exclude={"cluster", "run", "output"})
    for section, keys in sorted(tree.items()):
        for key, value in sorted(keys.items()):
            if f"{section}.{key}" not in _NAME_FILES:
                yield (f"{section}.{key}", digest_of(repr(value)))
    yield ("run.seed", digest_of(config.run.seed))
