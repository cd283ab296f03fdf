"""Patches of contributions on the disk: an object ``patch/ROW/COLUMN`` for each tile with any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import TileId
from alignsvc.errors import DamagedProduct
from alignsvc.io.closing_checksums import closing
from alignsvc.io.objects import ObjectStore
from alignsvc.io.pixel_records import bytes_from, columns_from
from alignsvc.numerics.resampling.patches import Patch, PixelSums

#: Index in the tile, numerator and weight of the base, and the contribution's own.
_TYPES = ("<i4", "<f4", "<f4", "<f4", "<f4")
#: Objects that are sent at once, where each takes its time.
_AT_ONCE = 4


def write_patches(objects: ObjectStore, key: str, patches: Mapping[TileId, Patch]) -> list[int]:
    """Write the patches of a contribution, each over its tile; return their checksums."""

    def write(tile: TileId) -> int:
        content = _bytes_from(patches[tile])
        objects.put(_name(key, tile), content)
        return closing(content)

    return [*objects.each(write, patches, _AT_ONCE)]


def read_patch(objects: ObjectStore, key: str, tile: TileId, box: PixelBox) -> Patch:
    """Return a contribution's patch of a tile, which is `box`.

    Raises
    ------
    DamagedProduct
        It is missing or damaged.
    """
    content = objects.find(_name(key, tile))
    try:
        if content is None:
            raise ValueError("it is missing")
        at, *sums = columns_from(content, _TYPES)
    except ValueError as error:
        raise DamagedProduct(
            f"contribution {key}, tile {tile}: {_name(key, tile)} is damaged ({error}); resume, "
            "which makes it again"
        ) from error
    return Patch(box, at.astype(np.int64), PixelSums(*sums[:2]), PixelSums(*sums[2:]))


def patch_checksum(patch: Patch) -> int:
    """Return the checksum that a patch is written with."""
    return closing(_bytes_from(patch))


def checksum_over(base: str, tiles: tuple[TileId, ...], patches: Iterable[int]) -> str:
    """Return the checksum of a contribution, by those of its base and of its patches."""
    digest = hashlib.sha256(repr((base, tiles)).encode())
    digest.update(np.fromiter(patches, "<u4").data)
    return digest.hexdigest()


def _bytes_from(patch: Patch) -> bytes:
    return bytes_from((patch.at, *patch.before, *patch.after), _TYPES)


def _name(key: str, tile: TileId) -> str:
    return f"{key}/patch/{tile.row}/{tile.column}"
