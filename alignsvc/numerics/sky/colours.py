"""Colours of exposures: those of one colour share no tile, and may move together."""

from __future__ import annotations

from collections.abc import Sequence

from alignsvc.domain.grid import TileId


def colour_exposures(tiles_of: Sequence[frozenset[TileId]]) -> tuple[tuple[int, ...], ...]:
    """Return the exposures' indices by colour, greedily, in index order.

    Each exposure takes the first colour none of whose members shares a tile with it. An exposure
    without tiles takes the first colour.
    """
    members: list[list[int]] = []
    taken: list[set[TileId]] = []
    for index, tiles in enumerate(tiles_of):
        for colour, used in enumerate(taken):
            if used.isdisjoint(tiles):
                members[colour].append(index)
                used |= tiles
                break
        else:
            members.append([index])
            taken.append(set(tiles))
    return tuple(tuple(colour) for colour in members)
