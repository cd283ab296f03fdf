"""Tiles of the mosaic that a process keeps, and letting go of them; so little, for every task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alignsvc.io.kept_in_memory import KeptInMemory
from alignsvc.tasks.memory import allowed_bytes

if TYPE_CHECKING:  # what lists sources of an exposure needs no store of arrays
    from alignsvc.io.tiled_arrays import KeptTiles

#: Of tiles that a process keeps: eight of 1024 x 1024 pixels, sums and whose pixels are whose.
MOST_BYTES = 192e6
#: Of what a process may allocate, at most.
_SHARE_OF_A_LIMIT = 0.125


def _most_bytes() -> float:
    allowed = allowed_bytes()
    return MOST_BYTES if allowed is None else min(MOST_BYTES, _SHARE_OF_A_LIMIT * allowed)


_TILES: KeptTiles = KeptInMemory(_most_bytes)


def tiles_at_hand() -> KeptTiles:
    """Return the tiles that this process keeps."""
    return _TILES


def let_go() -> bool:
    """Make room: forget all tiles; return whether there were any."""
    return _TILES.forget()
