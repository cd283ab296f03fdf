"""Whose pixels are whose, made again where a map of it was damaged after its detection.

In passes that detect nothing the maps are those of an earlier mosaic, which is gone. It is made
again (`remaking`) around the damaged tile, and gives the map once more.
"""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.domain.grid import TileId
from alignsvc.io.locations import RunLocations
from alignsvc.run.mending.remaking import Past
from alignsvc.run.records import events
from alignsvc.run.records.published import Publication, last_detection
from alignsvc.run.stages.cataloguing import NeedsBox, background_tasks, detect_tasks, tile_views
from alignsvc.run.stages.mosaicking import Mosaic, load_mosaic
from alignsvc.run.stages.running import Tools
from alignsvc.tasks.base import receipt_of
from alignsvc.tasks.detect import TileView
from alignsvc.tasks.merge import mosaic_store


def mend_segments(tools: Tools, mosaic: Mosaic) -> bool:
    """Make the maps of a mosaic again that are damaged or missing; they are read for that.

    For a mosaic that an earlier attempt published: what it found damaged, or what has been damaged
    since, is whole afterwards. The mosaic on which sources were detected may be in the store then,
    though nobody needs it any more.

    Returns
    -------
    bool
        Whether any was.

    Raises
    ------
    RunStoreError
        What it was made of is not what it was.
    """
    store = mosaic_store(tools.run)
    damaged = [t for t in mosaic.parts if not store.segmentation_is_whole(mosaic.generation, t)]
    if not damaged:
        return False
    past = Past.of(tools)
    detection = last_detection(past.published, mosaic.generation)
    if detection is None:
        return False
    names = ", ".join(str(tile) for tile in damaged)
    tools.listener(
        events.Note(
            f"segmentation of mosaic generation {mosaic.generation}, tile {names}: made again "
            f"from the exposures, as in pass {detection.pass_number}"
        )
    )
    _detected_again(past, detection, damaged)
    if detection.generation != mosaic.generation:
        for tile in damaged:
            store.link_segmentation(detection.generation, mosaic.generation, tile)
    return True


def _detected_again(past: Past, detection: Publication, tiles: Sequence[TileId]) -> None:
    """Detect sources of tiles once more, on the mosaic on which they were detected."""
    tools = past.tools
    then = load_mosaic(tools, detection.generation)
    detector, mesh = tools.plan.algorithms.detector, tools.plan.algorithms.mesh
    views = [view for view in tile_views(tools, then, detector) if view.tile in tiles]
    near = {tile for view in views for tile in _around(view, detector)}
    objects = RunLocations(tools.run).objects
    for task in background_tasks(tools, then):
        if receipt_of(task, objects).receipt is None:  # it is to be measured again, too
            near |= set(_around(task.view, mesh))
    past.required_mosaic(detection.generation, near)
    again = [
        task for task in detect_tasks(tools, detection.pass_number, then) if task.view.tile in tiles
    ]
    past.remade("detect", detection.pass_number, again)


def _around(view: TileView, needs: NeedsBox) -> tuple[TileId, ...]:
    return tuple(view.grid.tiles_touching(needs.box_for(view.core, view.grid)))
