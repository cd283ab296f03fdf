"""From corrections to a published generation of the mosaic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.errors import RunStoreError
from alignsvc.io import journal
from alignsvc.io.codec import json_from, sealed, unsealed, value_from
from alignsvc.io.journal import ExposureEnded
from alignsvc.io.locations import TABLES, RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.run.planning.plan import PlannedExposure
from alignsvc.run.stages.running import Tools, run_required, run_stage, sorted_out
from alignsvc.run.stages.standing import Standing
from alignsvc.tasks.measure import REACH_PX, MosaicPart
from alignsvc.tasks.merge import MergeTask, Part, TileWithOtherRays, mosaic_store
from alignsvc.tasks.placed import NO_RAYS_TABLE, ExposureView
from alignsvc.tasks.resample import ResampleTask, contribution_store

#: The mosaic of a run that is extended stands beside the generations that are made, which count
#: from 1, as this one.
EARLIER_GENERATION = 0


@dataclass(frozen=True, slots=True, eq=False)
class Mosaic:
    """A published generation, and what went into it.

    Parameters
    ----------
    generation : int
    contributions : mapping of exposure id to StoredContribution
    parts : mapping of TileId to tuple of Part
        In order of exposure id.
    checksums : mapping of TileId to str
    """

    generation: int
    contributions: Mapping[str, StoredContribution]
    parts: Mapping[TileId, tuple[Part, ...]]
    checksums: Mapping[TileId, str]

    def tiles_of(self, exposure: str) -> frozenset[TileId]:
        """Return the tiles in which an exposure has weight."""
        return frozenset(self.contributions[exposure].tiles)

    def checksums_by_component(self) -> Mapping[int, tuple[str, ...]]:
        """Return the checksums of all tiles of each component, row by row."""
        found: dict[int, list[str]] = {}
        for tile, checksum in sorted(self.checksums.items()):
            found.setdefault(tile.component, []).append(checksum)
        return {component: tuple(some) for component, some in found.items()}


class PartsNear:
    """The contributions near any place of a mosaic.

    Found by tile, each exposure looked at once: a question costs what lies there, however many
    exposures there are.
    """

    def __init__(self, mosaic: Mosaic) -> None:
        self._contributions = mosaic.contributions
        self._exposures: dict[TileId, list[str]] = {}
        for exposure, stored in mosaic.contributions.items():
            for tile in stored.tiles:
                self._exposures.setdefault(tile, []).append(exposure)

    def within(self, grid: MosaicGrid, box: PixelBox) -> tuple[Part, ...]:
        """Return the contributions to any tile that `box` touches, in order of exposure id."""
        near = grid.tiles_touching(box)
        exposures = {one for tile in near for one in self._exposures.get(tile, ())}
        found = [self._contributions[one] for one in sorted(exposures)]
        return tuple(Part(one.name, one.checksum) for one in found)


@dataclass(frozen=True, slots=True, eq=False)
class MosaicMade:
    """A mosaic, the exposures in it, and those that failed on the way.

    `is_known`: an earlier attempt had published it; its map of whose pixels are whose is as that
    left it.
    """

    mosaic: Mosaic
    exposures: tuple[PlannedExposure, ...]
    ended: tuple[ExposureEnded, ...]
    is_known: bool


def view_of(tools: Tools, exposure: PlannedExposure, standing: Standing) -> ExposureView:
    """Return how an exposure looks on its grid, corrected, less its cosmic rays.

    One in which no ray was found looks as if nobody had looked for any.
    """
    algorithms, rays = tools.plan.algorithms, standing.rays
    return ExposureView(
        exposure.header.ref,
        standing.correction,
        exposure.header.flux_scale,
        tools.plan.grids[exposure.component],
        algorithms.images,
        algorithms.sky,
        None if rays is None or rays.name == NO_RAYS_TABLE else rays,
        standing.chip_shifts,
        standing.level,
    )


@dataclass(frozen=True, slots=True)
class Turn:
    """Which mosaic is made.

    Parameters
    ----------
    pass_number : int
        0 = the final one.
    generation : int
    is_detected : bool
        Whether sources are detected on it anew; if not, the map of whose pixels are whose goes
        along from the generation before.
    """

    pass_number: int
    generation: int
    is_detected: bool


def make_mosaic(
    tools: Tools,
    turn: Turn,
    exposures: Sequence[PlannedExposure],
    views: Mapping[str, ExposureView],
    before: Mosaic | None,
) -> MosaicMade:
    """Resample what moved, merge the tiles that it touches, publish, and tidy up.

    Parameters
    ----------
    tools : Tools
    turn : Turn
    exposures : sequence of PlannedExposure
        All that belong in the mosaic, in order of id.
    views : mapping of exposure id to ExposureView
        How each of them looks on its grid.
    before : Mosaic or None
        The generation before: tiles with the same parts are linked to it, and where parts have
        other rays these are changed in it.
    """
    tasks = [resample_task(tools, turn.pass_number, views[one.id]) for one in exposures]
    resampled = run_stage(tools, "resample", turn.pass_number, tasks)
    sorted_ = sorted_out(exposures, resampled)
    store = contribution_store(tools.run)
    name_of = {e.id: task.key.digest for e, task in zip(exposures, tasks, strict=True)}
    contributions = {one.id: store.stored(name_of[one.id]) for one in sorted_.going}
    parts = _parts_by_tile(tools, contributions)
    mosaic = Mosaic(turn.generation, contributions, parts, {})
    mosaic = replace(mosaic, checksums=_merge(tools, turn.pass_number, mosaic, before))
    mosaics = mosaic_store(tools.run)
    # Once it was published the one before went, and so it says even if the pointer is damaged.
    gone = before is not None and not mosaics.exists(before.generation)
    is_known = gone or mosaics.current() == turn.generation
    if before is not None and not turn.is_detected and not is_known:
        _link_segmentation(tools, before, mosaic)
    _publish(tools, mosaic)
    remove_superseded(tools, mosaic)
    return MosaicMade(mosaic, sorted_.going, sorted_.ended, is_known=is_known)


def resample_task(tools: Tools, pass_number: int, view: ExposureView) -> ResampleTask:
    """Return what drizzles an exposure for the mosaic of a pass; 0 = the final one."""
    resampler, is_template = tools.plan.algorithms.resampler, pass_number > 0
    if is_template:
        resampler = resampler.for_templates()
    fills_rays = is_template and view.rays is not None
    return ResampleTask(tools.run, view, resampler, fills_rays=fills_rays)


def merge_tasks_again(
    tools: Tools, mosaic: Mosaic, parts: Mapping[TileId, tuple[Part, ...]]
) -> list[MergeTask]:
    """Return what makes some tiles again of a mosaic that was published and may be gone.

    There is room for them in the store then, and tiles of an earlier run are whole.
    """
    mosaic_store(tools.run).create(mosaic.generation, tools.plan.grids)
    _link_kept(tools, mosaic.generation)
    return [
        MergeTask(tools.run, tools.plan.grids[tile.component], tile, some, mosaic.generation)
        for tile, some in parts.items()
    ]


def mosaic_part(tools: Tools, mosaic: Mosaic, exposure: PlannedExposure) -> MosaicPart:
    """Return the mosaic as one exposure sees it."""
    own = mosaic.contributions[exposure.id]
    grid = tools.plan.grids[exposure.component]
    near = grid.tiles_touching(own.block.expand(REACH_PX))
    checksums = tuple(mosaic.checksums[tile] for tile in near)
    return MosaicPart(mosaic.generation, checksums, Part(own.name, own.checksum))


def _parts_by_tile(
    tools: Tools, contributions: Mapping[str, StoredContribution]
) -> dict[TileId, tuple[Part, ...]]:
    """Return the contributions to each tile that is made, in order of exposure id."""
    plan = tools.plan
    parts: dict[TileId, list[Part]] = {
        tile: [] for grid in plan.grids for tile in plan.tiles_made(grid)
    }
    for exposure in sorted(contributions):
        stored = contributions[exposure]
        for tile in stored.tiles:
            if tile not in plan.kept:  # where what a frozen exposure gave is in it already
                parts[tile].append(Part(stored.name, stored.checksum))
    return {tile: tuple(some) for tile, some in parts.items()}


def _merge(
    tools: Tools, pass_number: int, mosaic: Mosaic, before: Mosaic | None
) -> dict[TileId, str]:
    """Make the tiles of a mosaic; return their checksums."""
    mosaic_store(tools.run).create(mosaic.generation, tools.plan.grids)
    kept = _link_kept(tools, mosaic.generation)
    tasks = [
        MergeTask(tools.run, tools.plan.grids[tile.component], tile, some, mosaic.generation)
        for tile, some in mosaic.parts.items()
    ]
    if before is not None and before.generation != mosaic.generation:
        tasks = _with_earlier(tasks, mosaic, before)
    outcomes = run_required(tools, "merge", pass_number, tasks)
    made = {task.tile: outcome.checksum for task, outcome in zip(tasks, outcomes, strict=True)}
    return {**kept, **made}


def _with_earlier(tasks: Sequence[MergeTask], mosaic: Mosaic, before: Mosaic) -> list[MergeTask]:
    """Return tasks that know the tiles of an earlier mosaic that theirs can be made of."""
    known = {one.name: one for some in (before, mosaic) for one in some.contributions.values()}
    found = []
    for task in tasks:
        earlier = before.parts[task.tile]
        wholes, others = (
            [known[part.name].whole for part in parts] for parts in (task.parts, earlier)
        )
        if _are_same(earlier, task.parts):
            task = replace(task, same_as=before.generation)
        elif wholes == others:
            is_patched = any(known[part.name].base for part in earlier)
            tile = before.generation, before.checksums[task.tile], is_patched
            task = replace(task, other_rays=TileWithOtherRays(*tile))
        found.append(task)
    return found


def _are_same(some: Sequence[Part], others: Sequence[Part]) -> bool:
    """Return whether parts of a tile have the same pixels in the same order, whatever their names.

    An exposure that is in another state may look as it did.
    """
    return [one.checksum for one in some] == [one.checksum for one in others]


def _link_kept(tools: Tools, generation: int) -> dict[TileId, str]:
    """Make tiles of the earlier run's mosaic, that nothing touches, tiles of this one.

    Those that an earlier attempt linked are read: they may be damaged by now.
    """
    store = mosaic_store(tools.run)
    for tile, kept in tools.plan.kept.items():
        is_linked = store.segmentation_is_whole(generation, tile)  # written last
        if not is_linked or not store.is_tile(generation, tile, kept.checksum):
            store.link_earlier(EARLIER_GENERATION, kept.there, generation, tile)
    return {tile: kept.checksum for tile, kept in tools.plan.kept.items()}


def _link_segmentation(tools: Tools, before: Mosaic, mosaic: Mosaic) -> None:
    """Carry over whose pixels are whose: it stays true while no source is detected anew."""
    store = mosaic_store(tools.run)
    for tile in mosaic.parts:
        if store.has_segmentation(before.generation, tile):
            store.link_segmentation(before.generation, mosaic.generation, tile)


def _publish(tools: Tools, mosaic: Mosaic) -> None:
    """Write down what is in the mosaic, move the pointer, and say so."""
    tools.journal.require_ours()
    _save_mosaic(tools, mosaic)
    mosaic_store(tools.run).publish(mosaic.generation)
    tools.journal.append(journal.Published(mosaic.generation))


def remove_superseded(tools: Tools, mosaic: Mosaic) -> None:
    """Remove generations and contributions that nobody needs once a mosaic is published.

    Measurements need the published mosaic and what is in it; the next mosaic links tiles of this
    one and merges contributions that are in it or new.
    """
    tools.journal.require_ours()
    store = mosaic_store(tools.run)
    if tools.plan.config.run.keep_mosaics != "all":
        for generation in store.generations():
            if generation not in (mosaic.generation, EARLIER_GENERATION):
                store.remove(generation)
        store.remove_partial()  # a driver may have died while it removed one
    used = mosaic.contributions.values()
    in_use = {name for stored in used for name in (stored.name, stored.whole)}
    kept = contribution_store(tools.run)
    for name in kept.names():
        if name not in in_use:
            kept.remove(name)


@dataclass(frozen=True, slots=True)
class MosaicRecord:
    """A `Mosaic` as it is written down; its parts follow from the contributions."""

    generation: int
    contributions: tuple[tuple[str, StoredContribution], ...]
    checksums: tuple[tuple[TileId, str], ...]


def _record_name(generation: int) -> str:
    return f"{TABLES}mosaic/generation-{generation:04d}.json"


def _save_mosaic(tools: Tools, mosaic: Mosaic) -> None:
    record = MosaicRecord(
        mosaic.generation,
        tuple(sorted(mosaic.contributions.items())),
        tuple(sorted(mosaic.checksums.items())),
    )
    data = json_from(record, MosaicRecord)
    assert isinstance(data, dict)
    RunLocations(tools.run).objects.put(_record_name(mosaic.generation), sealed(data))


def load_mosaic(tools: Tools, generation: int) -> Mosaic:
    """Return a mosaic that was published, as its driver knew it.

    Raises
    ------
    RunStoreError
        What was written down of it is missing or damaged.
    """
    record = mosaic_record(RunLocations(tools.run).objects, generation)
    contributions = dict(record.contributions)
    parts = _parts_by_tile(tools, contributions)
    return Mosaic(record.generation, contributions, parts, dict(record.checksums))


def mosaic_record(objects: ObjectStore, generation: int) -> MosaicRecord:
    """Return what was written down of a mosaic that was published; errors as of `load_mosaic`."""
    name = _record_name(generation)
    content = objects.get(name)
    try:
        return value_from(unsealed(content), MosaicRecord)
    except (TypeError, ValueError) as error:
        raise RunStoreError(f"{name} is damaged ({error}); start a new run") from error
