"""What lies under patches in a mosaic's tiles: the sums there without them.

An object beside the tile's chunks, which goes with its generation. It saves work and is nothing
else: whoever finds none, or another tile's, sums all contributions, and gets the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alignsvc.domain.grid import TileId
from alignsvc.io.mosaic_arrays import component_name
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.pixel_records import bytes_from, columns_from
from alignsvc.numerics.resampling.patches import Under

_TYPES = ("<i4", "<f8", "<f8")


@dataclass(frozen=True, slots=True)
class SumsUnder:
    """Sums without patches, of the tiles of a mosaic.

    Parameters
    ----------
    mosaics : MosaicStore
    """

    mosaics: MosaicStore

    def write(self, generation: int, tile: TileId, checksum: str, under: Under) -> None:
        """Keep what lies under the patches of a tile that has this checksum."""
        columns = (under.at, under.numerator, under.weight)
        content = checksum.encode() + bytes_from(columns, _TYPES)
        self.mosaics.objects.put(_name(generation, tile), content)

    def find(self, generation: int, tile: TileId, checksum: str) -> Under | None:
        """Return what was kept of a tile of this checksum; None if nothing whole was."""
        content = self.mosaics.objects.find(_name(generation, tile)) or b""
        if not content.startswith(checksum.encode()):
            return None
        try:
            at, numerator, weight = columns_from(content[len(checksum) :], _TYPES)
        except ValueError:
            return None
        return Under(at.astype(np.int64), numerator, weight)


def _name(generation: int, tile: TileId) -> str:
    """Return a name below that of the array of weights, whose own names begin otherwise."""
    where = component_name(generation, tile.component)
    return f"{where}/weight/under/{tile.row}/{tile.column}"
