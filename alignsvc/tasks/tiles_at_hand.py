"""Tiles of the mosaic that a process keeps, and letting go of them; so little, for every task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.tasks.memory import bounded_share

if TYPE_CHECKING:  # what lists sources of an exposure needs no store of arrays
    from alignsvc.io.tiled_arrays import KeptTiles

#: Of tiles that a process keeps: eight of 1024 x 1024 pixels, sums and whose pixels are whose.
MOST_BYTES = 192e6

_TILES: KeptTiles = KeptInMemory(lambda: bounded_share(MOST_BYTES))


def tiles_at_hand() -> KeptTiles:
    """Return the tiles that this process keeps."""
    return _TILES


def let_go() -> bool:
    """Make room: forget all tiles; return whether there were any."""
    return _TILES.forget()
