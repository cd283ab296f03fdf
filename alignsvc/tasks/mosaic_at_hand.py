"""The mosaic for tasks that read what others of their process have read: tiles are kept."""

from __future__ import annotations

from dataclasses import replace

from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.tasks.merge import mosaic_store
from alignsvc.tasks.tiles_at_hand import tiles_at_hand


def mosaic_at_hand(run: Place) -> MosaicStore:
    """Return the mosaic store of a run: each tile is read by every exposure that lies on it."""
    return replace(mosaic_store(run), kept=tiles_at_hand())
