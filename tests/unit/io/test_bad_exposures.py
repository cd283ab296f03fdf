"""What cannot be used: each gets its reason and a sentence, and no byte is touched."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from exposure_samples import PLAIN, SHAPE, image, loaded, pixels_of, sidecar_settings, write

from alignsvc.errors import DataError
from alignsvc.io.image_settings import ImageSettings
from alignsvc.reasons import FailureKind


def failure_of(path: Path, settings: ImageSettings = PLAIN) -> DataError:
    with pytest.raises(DataError) as caught:
        loaded(path, settings)
    assert "\n" not in str(caught.value) and path.name in str(caught.value)
    return caught.value


def _bad_files() -> list[tuple[str, FailureKind, str]]:
    return [
        ("empty", FailureKind.EMPTY, "0 bytes"),
        ("text", FailureKind.UNREADABLE, "not readable as FITS"),
        ("cut", FailureKind.UNREADABLE, "cut short"),
        ("cut_gz", FailureKind.UNREADABLE, "copy the file again"),
        ("table", FailureKind.NO_IMAGE, "none of them an image"),
        ("noise", FailureKind.NO_IMAGE, "error or quality planes"),
        ("cube", FailureKind.WRONG_DIMENSION, "two dimensions wanted"),
        ("line", FailureKind.WRONG_DIMENSION, "two dimensions wanted"),
        ("sky_less", FailureKind.NO_WCS, "no image has a celestial WCS"),
        ("sci_sky_less", FailureKind.NO_WCS, "no celestial WCS"),
        ("flat", FailureKind.BAD_WCS, "cannot be used"),
        ("nan", FailureKind.ALL_MASKED, "NaN"),
        ("flagged", FailureKind.ALL_MASKED, "flagged"),
        ("saturated", FailureKind.ALL_MASKED, "saturated (100 % of them are)"),
    ]


def _write_bad(path: Path, which: str) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    hdus = {
        "table": [table],
        "noise": [image(pixels_of(), "ERR")],
        "cube": [image(np.ones((3, *SHAPE), np.float32))],
        "line": [image(np.ones(9, np.float32))],
        "sky_less": [fits.ImageHDU(pixels_of())],
        "sci_sky_less": [fits.ImageHDU(pixels_of(), name="SCI")],
        "flat": [image(pixels_of(), CD1_1=0.0)],
        "nan": [image(np.full(SHAPE, np.nan, np.float32))],
        "saturated": [image(pixels_of() + np.float32(1e6), SATURATE=1000.0)],
        "flagged": [image(pixels_of(), "SCI"), image(np.ones(SHAPE, np.int16), "DQ")],
    }
    if which in hdus:
        write(path, *hdus[which])
    elif which == "empty":
        path.touch()
    elif which == "text":
        path.write_text("not a FITS file\n" * 300)
    else:
        whole = write(path.with_name("whole.fits"), image(pixels_of())).read_bytes()
        path.write_bytes(gzip.compress(whole)[:-200] if which == "cut_gz" else whole[:-2500])


@pytest.mark.parametrize(("which", "kind", "said"), _bad_files())
def test_a_bad_file_gets_its_reason_and_a_sentence_and_is_left_as_it_was(
    tmp_path: Path, which: str, kind: FailureKind, said: str
) -> None:
    path = tmp_path / "bad.fits"
    _write_bad(path, which)
    before, times = path.read_bytes(), path.stat().st_mtime_ns
    error = failure_of(path)
    assert error.kind is kind and said in str(error)
    assert ";" in str(error)  # what to do next
    assert path.read_bytes() == before and path.stat().st_mtime_ns == times


def test_a_missing_sidecar_fails_its_exposure(tmp_path: Path) -> None:
    error = failure_of(write(tmp_path / "a_i.fits", image(pixels_of())), sidecar_settings())
    assert error.kind is FailureKind.NO_SIDECAR and "a_w.fits is not beside it" in str(error)
    error = failure_of(write(tmp_path / "other.fits", image(pixels_of())), sidecar_settings())
    assert error.kind is FailureKind.NO_SIDECAR and "holds no '_i'" in str(error)


def test_a_sidecar_of_another_shape_fails_its_exposure(tmp_path: Path) -> None:
    path = write(tmp_path / "a_i.fits", image(pixels_of()))
    write(tmp_path / "a_w.fits", image(np.ones((3, 3), np.float32)))
    error = failure_of(path, sidecar_settings())
    assert error.kind is FailureKind.BAD_WEIGHT and "no image of shape (12, 16)" in str(error)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (ImageSettings(science="SKY"), FailureKind.NO_IMAGE),
        (ImageSettings(weight="SKY"), FailureKind.NO_SIDECAR),
        (ImageSettings(mask=7), FailureKind.NO_SIDECAR),
        (ImageSettings(weight="SMALL"), FailureKind.BAD_WEIGHT),
    ],
)
def test_an_extension_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, settings: ImageSettings, kind: FailureKind
) -> None:
    path = write(
        tmp_path / "a.fits", image(pixels_of(), "SCI"), image(np.ones((2, 2), np.float32), "SMALL")
    )
    error = failure_of(path, settings)
    assert error.kind is kind and "mend images." in str(error)
