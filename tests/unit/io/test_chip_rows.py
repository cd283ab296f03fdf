"""A chip read a few rows at a time holds what it holds when it is read whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from exposure_samples import WCS_CARDS, inspected, write

from alignsvc.domain.exposure import ChipInRows, ChipRows
from alignsvc.io.exposure_pixels import opened_exposure, read_exposure
from alignsvc.io.image_settings import ImageSettings

SHAPE = (70, 9)
SATURATION = 900.0


def numbers() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 1000, SHAPE)


def stored(folder: Path, form: str) -> Path:
    """A file of numbers; the first few of every second row are bad in the way of its kind."""
    values = numbers().astype({"int16": "i2", "compressed": "i2", "scaled": "i4"}.get(form, form))
    hdu = fits.ImageHDU(values)
    hdu.header.update(WCS_CARDS | {"SATURATE": SATURATION})
    if values.dtype.kind == "f":
        hdu.data[::2, 0], hdu.data[::2, 1], hdu.data[::2, 2] = np.nan, np.inf, -np.inf
    else:
        hdu.data[::2, :3] = -99
        hdu.header["BLANK"] = -99
    if form == "scaled":
        hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 10.0
        hdu.data[:] = np.where(hdu.data == -99, -99, 2 * (hdu.data - 10))
    flags = fits.ImageHDU((np.arange(70 * 9).reshape(SHAPE) % 50 == 0).astype("u1"), name="DQ")
    science = fits.CompImageHDU(hdu.data, hdu.header) if form == "compressed" else hdu
    science.header["EXTNAME"] = "SCI"
    return write(folder / "a.fits", science, flags)


def in_rows(chip: ChipInRows, n: int) -> ChipRows:
    planes = ChipRows.empty(chip.shape)
    for y0 in range(0, chip.shape[0], n):
        chip.rows_into(y0, planes.part(slice(y0, y0 + n)))
    return planes


@pytest.mark.parametrize("form", ["f4", "f8", "int16", "scaled", "compressed"])
def test_rows_are_those_of_the_whole_in_every_form_of_fits(tmp_path: Path, form: str) -> None:
    settings = ImageSettings()
    ref = inspected(stored(tmp_path, form), settings).ref
    (whole,) = read_exposure(ref, settings).chips
    value = numbers().astype(float)
    infinite = np.zeros(SHAPE, bool)
    infinite[::2, 1] = form in ("f4", "f8")
    unknown = np.zeros(SHAPE, bool)
    unknown[::2, :3] = True
    saturated = infinite | (~unknown & (value >= SATURATION))
    mask = saturated | unknown | (np.arange(70 * 9).reshape(SHAPE) % 50 == 0)
    np.testing.assert_array_equal(whole.mask, mask)
    np.testing.assert_array_equal(whole.saturated, saturated)
    np.testing.assert_array_equal(whole.pixels, np.where(mask, 0, value))
    with opened_exposure(ref, settings) as opened:
        for chip in (opened.chip(0), whole):
            for n in (1, 13, 70):
                for part, plane in zip(
                    in_rows(chip, n), (whole.pixels, whole.mask, whole.saturated), strict=True
                ):
                    assert part.tobytes() == plane.tobytes()
