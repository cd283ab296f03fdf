"""The final mosaic as one FITS file, written by rows of tiles."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from astropy.io import fits

from alignsvc.domain.geometry import PixelBox
from alignsvc.domain.grid import MosaicGrid
from alignsvc.io.mosaic_store import MosaicStore
from alignsvc.io.objects import explained
from alignsvc.io.places import Place
from alignsvc.io.whole_files import replaced

_FITS_BLOCK = 2880
_BYTES_PER_PIXEL = 4


def export_mosaic(store: MosaicStore, generation: int, component: int, path: Place) -> None:
    """Write one component's mosaic: the mean in the primary HDU, its weight in ``WEIGHT``.

    Both float32, in a TAN projection. Where nothing contributed the mean is NaN and the weight 0.
    One row of tiles is in memory at a time; the file appears whole.

    Raises
    ------
    RunStoreError
        A tile is missing or damaged, or the file cannot be written.
    """
    grid = store.grid(generation, component)
    with explained(str(path)), replaced(path) as file:
        _write(file, store, generation, grid)


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
    return header


def _write(file: BinaryIO, store: MosaicStore, generation: int, grid: MosaicGrid) -> None:
    ny, nx = grid.shape
    size = ny * nx * _BYTES_PER_PIXEL
    primary, weight = (_header_bytes(grid, is_primary=first) for first in (True, False))
    image_at = len(primary)
    extension_at = image_at + _padded(size)
    weight_at = extension_at + len(weight)
    file.write(primary)
    file.seek(extension_at)
    file.write(weight)
    file.truncate(weight_at + _padded(size))  # what is not written reads as zeros
    for y0 in range(0, ny, grid.tile_shape[0]):
        band = PixelBox(0, y0, nx, min(y0 + grid.tile_shape[0], ny))
        sums = store.read(generation, grid.component, band)
        value, hole = sums.mean()
        value[hole] = np.nan
        for start, plane in ((image_at, value), (weight_at, sums.weight)):
            file.seek(start + y0 * nx * _BYTES_PER_PIXEL)
            file.write(plane.astype(">f4").tobytes())


def _header_bytes(grid: MosaicGrid, *, is_primary: bool) -> bytes:
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
        header["EXTNAME"] = "WEIGHT"
    header.extend(grid_header(grid))
    text: str = header.tostring()
    return text.encode("ascii")


def _padded(size: int) -> int:
    return -(-size // _FITS_BLOCK) * _FITS_BLOCK
