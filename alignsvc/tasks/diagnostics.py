"""What a measurement leaves for people to look at: numbers of all sources, pixels of the worst.

Beside the exposure's name, under ``history/pass-NNNN/``: its `Displacements`, where they lie in the
plane in which its correction acts (`SourcePlaces`), and `SourcePixels` within the room that the
exposure was given. No task and no driver reads them back, and what goes wrong with them costs no
exposure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from alignsvc.domain.arrays import Float32Array, FloatArray, IntArray, read_only
from alignsvc.domain.measurement import Displacements
from alignsvc.errors import ResourceError, RunStoreError, TransientError
from alignsvc.io.objects import ObjectStore
from alignsvc.io.tables import bytes_from_table, table_is_whole, write_table
from alignsvc.numerics.displacement.pictured import Pictured
from alignsvc.numerics.displacement.source_pixels import SourcePixels, within_room
from alignsvc.numerics.displacement.worst_sources import WorstSources
from alignsvc.numerics.solve.factors import FactorBuilder, GridPlaces, plane_jacobian

#: How the names of files that are kept for people end.
PIXELS, DISPLACEMENTS, PLACES = "-pixels.npz", "-displacements.npz", "-places.npz"


@dataclass(frozen=True, slots=True, eq=False)
class SourcePlaces:
    """Where displacements lie in the plane in which their exposure's correction acts.

    So that anybody can tell, without the exposure's header, what a correction does to a source in
    pixels of its chip. Rows are those of the exposure's `Displacements`.

    Parameters
    ----------
    plane_ra, plane_dec : float
        Tangent point of the plane, ICRS degrees.
    x, y : float64, shape (n,)
        arcsec (east, north), by the WCS that it was measured with.
    pixel_from_plane : float32, shape (n, 2, 2)
        Pixels of the chip per arcsec of the plane.
    snr : float32, shape (n,)
        Of the source in the mosaic.
    chip_shape : int64, shape (m, 2)
        (ny, nx) of each chip of the exposure.
    """

    plane_ra: float
    plane_dec: float
    x: FloatArray
    y: FloatArray
    pixel_from_plane: Float32Array
    snr: Float32Array
    chip_shape: IntArray

    @classmethod
    def of(
        cls, build: FactorBuilder, places: GridPlaces, snr: FloatArray, chip_shape: IntArray
    ) -> SourcePlaces:
        """Return the places of sources that lie at places of the grid.

        Parameters
        ----------
        build : FactorBuilder
            With grid and plane.
        places : GridPlaces
        snr : float64, shape (n,)
        chip_shape : int64, shape (m, 2)
        """
        grid, plane = build.grid, build.plane
        common = grid.plane_from_pixel(places.position)
        here = plane.from_sky(grid.plane.to_sky(common))
        to_plane = plane_jacobian(common, grid.plane, plane) @ grid.plane_jacobian
        to_plane = to_plane @ places.jacobian
        finite = np.where(np.isfinite(to_plane), to_plane, 0.0)
        known = np.isfinite(to_plane).all(axis=(1, 2)) & (np.linalg.det(finite) != 0)
        back = np.full(to_plane.shape, np.nan)
        back[known] = np.linalg.inv(to_plane[known])
        return cls(
            plane.ra_deg,
            plane.dec_deg,
            read_only(np.asarray(here.x, float)),
            read_only(np.asarray(here.y, float)),
            read_only(back.astype(np.float32)),
            read_only(snr.astype(np.float32)),
            read_only(chip_shape),
        )


@contextmanager
def told_as_missing() -> Iterator[list[str]]:
    """Turn whatever goes wrong in the block into a sentence, which is added to what it yields.

    Raises
    ------
    ResourceError, TransientError, RunStoreError
        As they come: what else is to be written would meet the same.
    """
    sentences: list[str] = []
    try:
        yield sentences
    except (ResourceError, TransientError, RunStoreError):
        raise
    except Exception as error:  # noqa: BLE001 - nothing that is merely shown may cost an exposure
        sentences.append(f"{type(error).__name__}: {error}")


def write_diagnostics(
    objects: ObjectStore, stem: str, numbers: tuple[Displacements, SourcePlaces]
) -> None:
    """Write the numbers of an exposure; names begin with `stem`."""
    displacements, places = numbers
    write_table(objects, stem + PLACES, places)
    write_table(objects, stem + DISPLACEMENTS, displacements)


def write_pixels(objects: ObjectStore, stem: str, seen: Pictured, room_bytes: int) -> None:
    """Write the pixels of the worst sources, as many as there is room for.

    The file is never larger than `room_bytes`; if none fits there is a file without sources, or,
    where not even that fits, no file.
    """
    order = WorstSources()(seen.badness)
    content = _fitting(seen.pixels, order, room_bytes)
    if content:
        objects.put(stem + PIXELS, content)


def diagnostics_are_whole(objects: ObjectStore, stem: str, room_bytes: int) -> bool:
    """Return whether all that was asked to be kept for people is in the store."""
    kept: list[tuple[str, type]] = [(DISPLACEMENTS, Displacements), (PLACES, SourcePlaces)]
    if room_bytes >= LEAST_BYTES:
        kept.append((PIXELS, SourcePixels))
    return all(table_is_whole(objects, stem + name, type_) for name, type_ in kept)


def _fitting(pixels: SourcePixels, order: IntArray, room_bytes: int) -> bytes:
    """Return the table of the worst sources that fits; empty if not even an empty one does."""
    room = room_bytes - LEAST_BYTES
    content = bytes_from_table(within_room(pixels, order, room))
    return content if len(content) <= room_bytes else b""


#: What a table of pixels takes beside them: the archive's names, and a header for each column.
LEAST_BYTES = 256 + len(bytes_from_table(SourcePixels.concatenate([])))
