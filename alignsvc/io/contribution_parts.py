"""The array of a contribution, read part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array
from alignsvc.domain.geometry import PixelBox
from alignsvc.errors import DamagedProduct
from alignsvc.io.open_objects import OpenObject
from alignsvc.io.shards import Part, PartRoom
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
        with self._closing_all():
            for piece, one in zip(self.pieces.values(), self.objects, strict=True):
                corner = self._tile_of(piece)
                for part in self.tiles.shard_parts(piece, one):
                    if any(plane is not None for plane in part.planes):
                        yield _contribution(part, corner)

    def bands(
        self, box: PixelBox, place: Callable[[PixelBox], Float32Array]
    ) -> Iterator[tuple[PixelBox, Float32Array]]:
        """Yield bands of rows of a box in their order, each with its pixels, once they are read.

        A band is a row of parts from one end of the box to the other; the objects are closed then.

        Parameters
        ----------
        box : PixelBox
            The one that was fetched.
        place : callable
            Returns where numerator and weight of a band belong: float32 array, shape (2, ny, nx).
            All of it is written, 0 where the contribution has no part.
        """
        if box.is_empty:
            return
        with self._closing_all():
            height = self.tiles.shards.part[0]
            room = PartRoom(self.tiles.shards)  # one for all: what is read is copied at once
            rows = [
                _RowsOfParts(common, self._tile_of(piece), self.tiles.shard_parts(piece, one, room))
                for (common, piece), one in zip(self.pieces.items(), self.objects, strict=True)
            ]
            for y0 in range(box.y0 - box.y0 % height, box.y1, height):
                band = PixelBox(box.x0, y0, box.x1, y0 + height).intersect(box)
                planes = place(band)
                here = [one for one in rows if one.common.y0 <= band.y0 < one.common.y1]
                if sum(one.common.shape[1] for one in here) < band.shape[1]:
                    planes[...] = 0
                for one in here:
                    one.copy_next(band, planes)
                yield band, planes

    @contextmanager
    def _closing_all(self) -> Iterator[None]:
        with ExitStack() as stack, naming_tile(self.stored):
            for one in self.objects:
                if one is not None:
                    stack.enter_context(closing(one))
            yield

    def _tile_of(self, piece: Piece) -> PixelBox:
        return self.stored.tile_box(self.stored.tile_of(piece.index))


@dataclass(frozen=True, slots=True, eq=False)
class _RowsOfParts:
    """The parts of a tile that lie in a box, row after row.

    Parameters
    ----------
    common : PixelBox
        What the tile and the box have in common.
    tile : PixelBox
    parts : iterator of Part
    """

    common: PixelBox
    tile: PixelBox
    parts: Iterator[Part]

    def copy_next(self, band: PixelBox, planes: Float32Array) -> None:
        """Copy the next row of parts to where it belongs in a band, of which it is a part."""
        wanted, x = band.intersect(self.common), self.common.x0
        while x < self.common.x1:
            part = next(self.parts)
            found = _box_of(part, self.tile)
            common = found.intersect(wanted)
            there, here = common.slices_in(band), common.slices_in(found)
            for plane, pixels in zip(planes, part.planes, strict=True):
                plane[there] = 0 if pixels is None else pixels[here]
            x = common.x1


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
    box = _box_of(part, tile)
    numerator, weight = (
        np.zeros(box.shape, np.float32) if plane is None else plane for plane in part.planes
    )
    return Contribution(box, numerator, weight)


def _box_of(part: Part, tile: PixelBox) -> PixelBox:
    rows, columns = part.within
    y0, x0 = tile.y0 + rows.start, tile.x0 + columns.start
    return PixelBox(x0, y0, x0 + columns.stop - columns.start, y0 + rows.stop - rows.start)
