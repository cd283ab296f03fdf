"""Files that cannot be used, each made from a good one."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from alignsvc.reasons import FailureKind

#: Name of the file, the reason of the contract, and a word that its sentence must hold.
BAD_FILES: dict[str, tuple[FailureKind, str]] = {
    "missing.fits": (FailureKind.MISSING, "does not exist"),
    "empty.fits": (FailureKind.EMPTY, "0 bytes"),
    "truncated.fits": (FailureKind.UNREADABLE, "cut short"),
    "truncated_zip.fits.gz": (FailureKind.UNREADABLE, "copy the file again"),
    "text.fits": (FailureKind.UNREADABLE, "not readable as FITS"),
    "table.fits": (FailureKind.NO_IMAGE, "none of them an image"),
    "cube.fits": (FailureKind.WRONG_DIMENSION, "two dimensions wanted"),
    "line.fits": (FailureKind.WRONG_DIMENSION, "two dimensions wanted"),
    "sky_less.fits": (FailureKind.NO_WCS, "celestial WCS"),
    "flat.fits": (FailureKind.BAD_WCS, "cannot be used"),
    "wide.fits": (FailureKind.BAD_WCS, "degrees wide"),
    "nan.fits": (FailureKind.ALL_MASKED, "NaN"),
    "masked.fits": (FailureKind.ALL_MASKED, "flagged"),
}
#: Those whose headers are in order: only their pixels show that they are of no use.
BAD_PIXELS = ("masked.fits", "nan.fits")


def write_bad(path: Path, good: Path) -> None:
    """Write the bad file whose name `path` bears; the missing one is not written."""
    if path.name in _DAMAGED:
        path.write_bytes(_DAMAGED[path.name](good.read_bytes()))
    elif path.name != "missing.fits":
        with fits.open(good) as hdus:
            pixels, header = hdus[0].data.astype(np.float32), hdus[0].header
        fits.HDUList(_MADE[path.name](pixels, header)).writeto(path)


_DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty.fits": lambda content: b"",
    "truncated.fits": lambda content: content[: len(content) // 2],
    "truncated_zip.fits.gz": lambda content: gzip.compress(content, 1)[:-500],
    "text.fits": lambda content: b"SIMPLE is what this is not\n" * 400,
}


def _without_sky(header: fits.Header) -> fits.Header:
    bare = fits.Header()
    bare["EXPTIME"] = header["EXPTIME"]
    return bare


def _flat(header: fits.Header) -> fits.Header:
    flat = header.copy()
    for keyword in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        flat[keyword] = 0.0
    return flat


def _wide(header: fits.Header) -> fits.Header:
    """Return the header with the scale of its pixels in arcsec instead of degrees."""
    wide = header.copy()
    for keyword in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        wide[keyword] *= 3600.0
    return wide


Hdus = list[fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU]
_MADE: dict[str, Callable[[np.ndarray, fits.Header], Hdus]] = {
    "table.fits": lambda pixels, header: [
        fits.PrimaryHDU(),
        fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))]),
    ],
    "cube.fits": lambda pixels, header: [fits.PrimaryHDU(np.stack([pixels, pixels]), header)],
    "line.fits": lambda pixels, header: [fits.PrimaryHDU(pixels[0], header)],
    "sky_less.fits": lambda pixels, header: [fits.PrimaryHDU(pixels, _without_sky(header))],
    "flat.fits": lambda pixels, header: [fits.PrimaryHDU(pixels, _flat(header))],
    "wide.fits": lambda pixels, header: [fits.PrimaryHDU(pixels, _wide(header))],
    "nan.fits": lambda pixels, header: [fits.PrimaryHDU(pixels * np.nan, header)],
    "masked.fits": lambda pixels, header: [
        fits.PrimaryHDU(),
        fits.ImageHDU(pixels, header, name="SCI"),
        fits.ImageHDU(np.ones(pixels.shape, np.int16), name="DQ"),
    ],
}
