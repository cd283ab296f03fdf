"""The array of a contribution, read part by part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.geometry import PixelBox
from alignsvc.errors import DamagedProduct
from alignsvc.io.open_objects import OpenObject
from alignsvc.io.shards import Part
from alignsvc.io.stored_contribution import StoredContribution
from alignsvc.io.tiled_arrays import DamagedChunk, OpenTiles, Piece
from alignsvc.numerics.resampling.coadd import Contribution


@dataclass(frozen=True, slots=True, eq=False)
class FetchedContribution:
    """A contribution whose chunks are open for reading.

    Parameters
    ----------
    stored : StoredContribution
    tiles : OpenTiles
    pieces : dict of PixelBox to Piece
        As of `pieces_in`.
    objects : list of OpenObject or None
        Of each piece's chunk; None = missing.
    """

    stored: StoredContribution
    tiles: OpenTiles
    pieces: dict[PixelBox, Piece]
    objects: list[OpenObject | None]

    @classmethod
    def of(cls, stored: StoredContribution, tiles: OpenTiles, box: PixelBox) -> FetchedContribution:
        """Open what of the chunks lies within a box."""
        pieces = pieces_in(stored, box)
        return cls(stored, tiles, pieces, tiles.fetched(pieces.values()))

    def parts(self) -> Iterator[Contribution]:
        """Yield the parts that hold anything; the objects are closed then."""
        with ExitStack() as stack, naming_tile(self.stored):
            for one in self.objects:
                if one is not None:
                    stack.enter_context(closing(one))
            for piece, one in zip(self.pieces.values(), self.objects, strict=True):
                corner = self.stored.tile_box(self.stored.tile_of(piece.index))
                for part in self.tiles.shard_parts(piece, one):
                    if any(plane is not None for plane in part.planes):
                        yield _contribution(part, corner)


def pieces_in(stored: StoredContribution, box: PixelBox) -> dict[PixelBox, Piece]:
    """Return what of the chunks lies within a box, by where it lies."""
    pieces = {}
    for tile in stored.tiles:
        tile_box = stored.tile_box(tile)
        common = tile_box.intersect(box)
        if not common.is_empty:
            pieces[common] = Piece(stored.chunk_of(tile), common.slices_in(tile_box))
    return pieces


@contextmanager
def naming_tile(stored: StoredContribution) -> Iterator[None]:
    """Say of which tile of which contribution a damaged chunk is."""
    try:
        yield
    except DamagedChunk as error:
        raise DamagedProduct(
            f"contribution {stored.name}, tile {stored.tile_of(error.index)}: {error}; resume, "
            "which makes it again"
        ) from error


def _contribution(part: Part, tile: PixelBox) -> Contribution:
    """Return a part of a tile in its place."""
    rows, columns = part.within
    y0, x0 = tile.y0 + rows.start, tile.x0 + columns.start
    box = PixelBox(x0, y0, x0 + columns.stop - columns.start, y0 + rows.stop - rows.start)
    numerator, weight = (
        np.zeros(box.shape, np.float32) if plane is None else plane for plane in part.planes
    )
    return Contribution(box, numerator, weight)
