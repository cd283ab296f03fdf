"""The final mosaic as one FITS file, written some tiles at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from astropy.io import fits

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.file_errors import explained
from alignsvc.io.fits_blocks import ones_complement_sum, with_checksums
from alignsvc.io.header_cards import BLOCK, HeaderCards
from alignsvc.io.mosaic_header import MosaicFacts, fact_cards, inputs_hdu, weight_cards
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.places import Place
from alignsvc.io.whole_files import replaced

_BYTES_PER_PIXEL = 4
#: Pixels in memory at a time, as sums, mean and bytes: 40 bytes each. More only if a tile has more.
_MOST_PIXELS = 4 << 20


@dataclass(frozen=True, slots=True)
class MosaicSource:
    """Which mosaic of a store: its generation, and the component."""

    store: MosaicStore
    generation: int
    component: int

    @property
    def grid(self) -> MosaicGrid:
        """The grid of the component."""
        return self.store.grid(self.generation, self.component)


def export_mosaic(source: MosaicSource, facts: MosaicFacts, path: Place) -> None:
    """Write one component's mosaic: the mean in the primary HDU, ``SCI``, its weight in ``WEIGHT``.

    Both float32, in a TAN projection. Where nothing contributed the mean is NaN and the weight 0,
    which is the inverse variance. A binary table, ``INPUTS``, lists the exposures. All have
    checksums. A few tiles are in memory at a time, however wide the mosaic; the file appears whole.

    Raises
    ------
    RunStoreError
        A tile is missing or damaged, or the file cannot be written.
    """
    with explained(str(path)), replaced(path) as file:
        _write(file, source, facts)


def grid_header(grid: MosaicGrid) -> fits.Header:
    """Return the WCS of a grid as header cards; FITS pixels count from 1."""
    header = fits.Header()
    cd = grid.plane_jacobian / 3600.0
    header["WCSAXES"] = 2
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
    header["CRPIX1"], header["CRPIX2"] = grid.origin_x + 1.0, grid.origin_y + 1.0
    header["CRVAL1"], header["CRVAL2"] = grid.plane.ra_deg, grid.plane.dec_deg
    for i, j in ((1, 1), (1, 2), (2, 1), (2, 2)):
        header[f"CD{i}_{j}"] = float(cd[i - 1, j - 1])
    # Written although it is the default: at the north pole the default is 0.
    header["LONPOLE"] = 180.0
    header["RADESYS"] = "ICRS"
    # ICRS has no equinox; programs older than it ask for one.
    header["EQUINOX"] = 2000.0
    return header


def _write(file: BinaryIO, source: MosaicSource, facts: MosaicFacts) -> None:
    grid = source.grid
    ny, nx = grid.shape
    size = _padded(ny * nx * _BYTES_PER_PIXEL)
    headers = [_cards(grid, facts, is_primary=first) for first in (True, False)]
    starts, offset = list[int](), 0
    for header in headers:
        starts.append(offset)
        offset += len(header.to_bytes()) + size
    file.truncate(offset)  # what is not written reads as zeros
    sums = [0, 0]
    for box in _pieces(grid):
        found = source.store.read(source.generation, grid.component, box)
        value, hole = found.mean()
        value[hole] = np.nan
        for k, plane in enumerate((value, found.weight)):
            content = plane.astype(">f4")
            # Summed while it is at hand: to read a file of 80 GB once more takes minutes.
            sums[k] = ones_complement_sum(content.data, sums[k])
            first = starts[k] + len(headers[k].to_bytes())
            for y, row in enumerate(content, start=box.y0):
                file.seek(first + (y * nx + box.x0) * _BYTES_PER_PIXEL)
                file.write(row.data)
    for k in (0, 1):
        file.seek(starts[k])
        file.write(with_checksums(headers[k], sums[k]).to_bytes())
    file.seek(offset)
    file.write(inputs_hdu(facts.inputs))


def _pieces(grid: MosaicGrid) -> Iterator[PixelBox]:
    """Yield boxes of whole tiles, side by side in a row of tiles, that make up the grid."""
    (ny, nx), (tile_ny, tile_nx) = grid.shape, grid.tile_shape
    width = max(_MOST_PIXELS // (tile_ny * tile_nx), 1) * tile_nx
    for y0 in range(0, ny, tile_ny):
        for x0 in range(0, nx, width):
            yield PixelBox(x0, y0, x0 + width, y0 + tile_ny).intersect(grid.box)


def _cards(grid: MosaicGrid, facts: MosaicFacts, *, is_primary: bool) -> HeaderCards:
    """Return a header whose checksums are still to be filled in."""
    header = fits.Header()
    if is_primary:
        header["SIMPLE"] = (True, "conforms to FITS standard")
    else:
        header["XTENSION"] = ("IMAGE", "image extension")
    header["BITPIX"] = -32
    header["NAXIS"] = 2
    header["NAXIS1"], header["NAXIS2"] = grid.shape[1], grid.shape[0]
    if is_primary:
        header["EXTEND"] = True
    else:
        header["PCOUNT"], header["GCOUNT"] = 0, 1
    header["EXTNAME"] = "SCI" if is_primary else "WEIGHT"
    header.extend(fact_cards(facts) if is_primary else weight_cards(facts))
    header.extend(grid_header(grid))
    header["DATASUM"] = ("0", "data unit checksum")
    header["CHECKSUM"] = ("0" * 16, "HDU checksum")
    text: str = header.tostring()
    return HeaderCards.from_bytes(text.encode("ascii"))


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
