"""What a run is going to do: its exposures, its grids, and its identity. No pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from alignsvc.config.build import Algorithms
from alignsvc.config.schema import Config
from alignsvc.domain.celestial import CelestialWcs
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import ExitCode, Status
from alignsvc.domain.reference_catalog import ReferenceCatalog
from alignsvc.errors import ConfigError
from alignsvc.io.exposure_headers import ExposureHeader
from alignsvc.io.journal import ExposureEnded, Planned
from alignsvc.numerics.sky.corrected import corrected
from alignsvc.numerics.sky.footprints import MosaicLayout
from alignsvc.reasons import SkipReason
from alignsvc.run.planning.earlier_run import EarlierRun, KnownExposure
from alignsvc.run.planning.kept_tiles import KeptTile, Role
from alignsvc.run.planning.star_colours import StarColours
from alignsvc.run.records.state import run_id_of

#: Why an exposure that could be compared is not in a component.
ALONE = frozenset({SkipReason.NO_OVERLAP.value, SkipReason.SINGLE_EXPOSURE.value})


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
    copies : tuple of (str, str)
        Ids of exposures whose pixels are those of another one, each with that one's.
    planned : Planned
        How many headers were read for it, how many the run keeps, and what that took.
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
    copies: tuple[tuple[str, str], ...] = ()
    planned: Planned = field(default_factory=lambda: Planned(0, 0, 0.0, 0.0))

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
    def leaves_mosaic(self) -> bool:
        """Whether a mosaic with the final corrections is of use: kept, written or pictured."""
        return self.config.output.mosaic != "none" or self.config.run.keep_mosaics != "none"

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


def comparable(plan: Plan) -> tuple[ExposureHeader, ...]:
    """Return the sound exposures, in order of id, those too that overlap none by their headers."""
    alone = {end.exposure for end in plan.ended if end.reason in ALONE}
    taking_part = {one.id for one in (*plan.exposures, *plan.idle)} | alone
    return tuple(header for header in plan.headers if header.ref.id in taking_part)


def no_usable_exposure(plan: Plan) -> ConfigError:
    """Return the error of a plan without a sound exposure; it names the first reasons."""
    reasons = "; ".join(e.message for e in plan.ended[:3])
    more = f"; and {len(plan.ended) - 3} more" if len(plan.ended) > 3 else ""
    return ConfigError(f"no usable exposure among {len(plan.ended)}: {reasons}{more}")
