"""Pictures of the mosaic before and after, made while a run has the pixels.

Workers make rows of tiles small; the driver adds the rows up, looks at a few places pixel by pixel,
and encodes. Nothing of a run depends on it, and what goes wrong here is a note: a run that could
not be shown is aligned all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid, TileId
from alignsvc.domain.outcome import TaskOutcome
from alignsvc.errors import RunStoreError
from alignsvc.io.locations import PREVIEW_PNG, PREVIEWS, TABLES, RunLocations
from alignsvc.io.objects import ObjectStore
from alignsvc.io.places import Place
from alignsvc.io.tables import read_table
from alignsvc.numerics.showing.binning import added, binned_shape, factor_for, shown
from alignsvc.numerics.showing.star_fields import StarField, StarFieldSearch
from alignsvc.numerics.sources.sharpness import Sharpening
from alignsvc.run.pictures.mosaic_pictures import (
    Fwhm,
    MosaicPictures,
    Thumbnail,
    find_thumbnail,
    keep_thumbnail,
    write_pictures,
)
from alignsvc.run.pictures.picture_drawing import Drawing, drawn, preview_png
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records import events
from alignsvc.run.stages.mosaicking import Mosaic
from alignsvc.run.stages.running import Tools, run_stage
from alignsvc.tasks.merge import mosaic_store
from alignsvc.tasks.preview import BinnedRow, PreviewTask

#: Squares along the longer side of what is kept, at the most.
_LONGEST = 1600
#: Bytes of a number in a table, and numbers of a square: two planes before, two after, two kept
#: between, and about one for its pictures.
_SQUARE_BYTES, _PLANES = 4, 7
#: Grids that are shown, the largest first.
_GRIDS = 4
#: Places that are kept pixel by pixel, and their sides: one of them is shown in the end.
_FIELDS, _FIELD_PX = 6, 256


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """Thumbnails by component; of those without, why."""

    thumbnails: Mapping[int, Thumbnail]
    missing: str = ""


def shown_grids(plan: Plan) -> tuple[MosaicGrid, ...]:
    """Return the grids of which there are pictures, the largest first."""
    if plan.config.output.mosaic == "none":
        return ()
    by_size = sorted(plan.grids, key=lambda grid: (-grid.shape[0] * grid.shape[1], grid.component))
    return tuple(by_size[:_GRIDS])


def n_preview_tasks(plan: Plan) -> int:
    """Return how many tasks make the pictures of one mosaic: one a row of tiles."""
    return sum(grid.n_tiles[0] for grid in shown_grids(plan))


def keep_before(tools: Tools, pass_number: int, mosaic: Mosaic) -> None:
    """Keep pictures of the first pass's mosaic, which the next one takes the place of."""
    grids = shown_grids(tools.plan)
    if pass_number != 1 or not grids:
        return
    outcomes = _binned(tools, pass_number, mosaic, grids)
    tools.journal.require_ours()
    with _told(tools, "the mosaic of the first pass"):
        made = _thumbnails(tools, mosaic, grids, outcomes, {})
        objects = RunLocations(tools.run).objects
        for one in made.thumbnails.values():
            keep_thumbnail(objects, one)
        _write(tools, grids, Drawing(made.thumbnails, {}), _captioned(tools, made.missing))


def keep_after(tools: Tools, mosaic: Mosaic | None, sharper: Sharpening | None) -> tuple[str, ...]:
    """Make the pictures that a run leaves; return what the user should know of them."""
    grids, objects = shown_grids(tools.plan), RunLocations(tools.run).objects
    if mosaic is None or not grids:
        why = "no exposure is in a mosaic" if grids else "output.mosaic is none"
        tools.journal.require_ours()
        with _told(tools, "that there are none"):
            write_pictures(objects, MosaicPictures(missing=f"no pictures are made: {why}"))
        return ()
    outcomes = _binned(tools, 0, mosaic, grids)
    tools.journal.require_ours()
    with _told(tools, "the final mosaic") as notes:
        found = ((grid.component, find_thumbnail(objects, grid.component)) for grid in grids)
        before = {component: one for component, one in found if one is not None}
        made = _thumbnails(tools, mosaic, grids, outcomes, before)
        missing = made.missing
        if len(before) < len(grids):
            missing = _joined(
                missing,
                "there is no picture of the mosaic before: the first pass kept none (with "
                "output.mosaic: none, by an earlier version, or a note of the run says why)",
            )
        about = _captioned(tools, missing)
        if sharper is not None and sharper.is_known:
            fwhm = Fwhm(sharper.n_sources, sharper.before_fwhm_px, sharper.after_fwhm_px)
            about = replace(about, fwhm=fwhm)
        _write(tools, grids, Drawing(before, made.thumbnails), about)
        largest = made.thumbnails.get(grids[0].component)
        if largest is not None:
            objects.put(PREVIEW_PNG, preview_png(largest))
    return tuple(notes)


def find_preview(run: Place) -> Place | None:
    """Return the picture of the final mosaic; None if there is none."""
    locations = RunLocations(run)
    return locations.path(PREVIEW_PNG) if locations.objects.exists(PREVIEW_PNG) else None


def remove_thumbnails(objects: ObjectStore) -> None:
    """Remove what pictures were made of, once a run has ended: no page needs it."""
    for name in objects.list(PREVIEWS):
        if name.endswith(".npz"):
            objects.delete(name)
    objects.delete_below(f"{TABLES}preview/")


def preview_bytes(plan: Plan) -> int:
    """Return what pictures, and what they are made of, take of a disk at the most."""
    squares = 0
    for grid in shown_grids(plan):
        ny, nx = binned_shape(grid.shape, factor_for(grid.shape, _LONGEST))
        places = min(_FIELDS, grid.n_tiles[0] * grid.n_tiles[1])
        squares += _PLANES * ny * nx + places * min(_FIELD_PX**2, grid.shape[0] * grid.shape[1])
    return _SQUARE_BYTES * squares


@contextmanager
def _told(tools: Tools, what: str) -> Iterator[list[str]]:
    """Turn whatever goes wrong in the block into a note, which is also added to what it yields."""
    notes: list[str] = []
    try:
        yield notes
    except Exception as error:  # noqa: BLE001 - nothing that is merely shown may fail a run
        notes.append(f"pictures of {what} are missing: {type(error).__name__}: {error}")
        tools.listener(events.Note(notes[-1]))


def _binned(
    tools: Tools, pass_number: int, mosaic: Mosaic, grids: Sequence[MosaicGrid]
) -> Mapping[int, tuple[TaskOutcome, ...]]:
    """Run the tasks; return their outcomes by component, row by row."""
    search = StarFieldSearch(_FIELD_PX)
    tasks = [
        PreviewTask(
            tools.run,
            grid,
            row,
            mosaic.generation,
            tuple(
                mosaic.checksums[TileId(grid.component, row, column)]
                for column in range(grid.n_tiles[1])
            ),
            factor_for(grid.shape, _LONGEST),
            search,
        )
        for grid in grids
        for row in range(grid.n_tiles[0])
    ]
    outcomes = iter(run_stage(tools, "preview", pass_number, tasks))
    return {grid.component: tuple(next(outcomes) for _ in range(grid.n_tiles[0])) for grid in grids}


def _thumbnails(
    tools: Tools,
    mosaic: Mosaic,
    grids: Sequence[MosaicGrid],
    outcomes: Mapping[int, tuple[TaskOutcome, ...]],
    like: Mapping[int, Thumbnail],
) -> _Made:
    """Return each grid's thumbnail, with the places of those in `like` where there is one."""
    made, missing = {}, []
    for grid in grids:
        bad = [one for one in outcomes[grid.component] if not one.is_ok]
        if bad:
            missing.append(f"no picture of component {grid.component}: {bad[0].message}")
            continue
        before = like.get(grid.component)
        made[grid.component] = _thumbnail(tools, mosaic, grid, outcomes[grid.component], before)
    return _Made(made, "; ".join(missing))


def _thumbnail(
    tools: Tools,
    mosaic: Mosaic,
    grid: MosaicGrid,
    outcomes: Sequence[TaskOutcome],
    like: Thumbnail | None,
) -> Thumbnail:
    objects = RunLocations(tools.run).objects
    rows = [read_table(objects, one.product, BinnedRow, one.checksum) for one in outcomes]
    factor = factor_for(grid.shape, _LONGEST)
    sums = added((row.sums for row in rows), binned_shape(grid.shape, factor)).narrowed()
    if like is not None:
        ny, nx = like.crop.shape[1:]
        places = [PixelBox(x0, y0, x0 + nx, y0 + ny) for x0, y0 in like.field.tolist()]
    else:
        places = _places([field for row in rows for field in row.fields], grid)
    store = mosaic_store(tools.run)
    crops = [shown(store.read(mosaic.generation, grid.component, box)) for box in places]
    return Thumbnail(
        grid.component,
        factor,
        sums.numerator,
        sums.weight,
        np.array([(box.x0, box.y0) for box in places], np.int64),
        np.array(crops, np.float32),
    )


def _places(fields: Sequence[StarField], grid: MosaicGrid) -> list[PixelBox]:
    """Return the best fields, all of one size within the grid; ties go to the first."""
    best = sorted(fields, key=lambda one: -one.worth)[:_FIELDS]
    boxes = dict.fromkeys(_of_size(one.box, grid) for one in best)
    return list(boxes)


def _of_size(box: PixelBox, grid: MosaicGrid) -> PixelBox:
    ny, nx = (min(_FIELD_PX, side) for side in grid.shape)
    x0 = min(max((box.x0 + box.x1 - nx) // 2, 0), grid.shape[1] - nx)
    y0 = min(max((box.y0 + box.y1 - ny) // 2, 0), grid.shape[0] - ny)
    return PixelBox(x0, y0, x0 + nx, y0 + ny)


def _write(
    tools: Tools, grids: Sequence[MosaicGrid], drawing: Drawing, about: MosaicPictures
) -> None:
    objects = RunLocations(tools.run).objects
    there = [grid for grid in grids if drawing.has(grid.component)]
    if not there and not about.missing:
        raise RunStoreError("pictures of the mosaic: no grid has any")
    pictures = tuple(
        drawn(objects, grid, drawing, is_largest=k == 0) for k, grid in enumerate(there)
    )
    write_pictures(objects, replace(about, grids=pictures))


def _captioned(tools: Tools, missing: str) -> MosaicPictures:
    """Return what the pictures are, without them."""
    plan = tools.plan
    if plan.earlier is not None:
        start = (
            f"exposures of {plan.earlier.directory} as that run left them, new ones as their "
            "headers or the comparison with the others have them"
        )
    elif any(one.start is not None for one in plan.exposures):
        start = "exposures where comparing them with each other had put them (bootstrap)"
    else:
        start = "exposures by their input headers"
    resampled = tools.plan.algorithms.resampler
    other = resampled.for_templates() != resampled
    how = ", drizzled as sources are measured (cosmic rays on stars filled)" if other else ""
    return MosaicPictures(
        left_out=max(len(plan.grids) - _GRIDS, 0),
        before_is=f"mosaic of the first pass: {start}{how}",
        after_is="final mosaic, as in mosaic.fits",
        missing=missing,
    )


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
