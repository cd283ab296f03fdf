"""Which HDUs of a file get an exposure's correction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_planes import PlaneKind
from alignsvc.io.image_settings import ImageSettings
from alignsvc.run.headers import Destination, HeaderSettings, write_headers

NAMES = ("SCI", "ERR", "WHT", "DQ", "CTX")


def moved_east() -> ExposureResult:
    """Return an exposure's end: a fifth of an arcsecond to the east."""
    total = Correction.identity(TangentPlane(150.0, 2.0), Geometry.SHIFT)
    total = replace(total, shift=(0.2, 0.0))
    return ExposureResult(
        "a", Status.ALIGNED, "", "", Verdict.IMPROVED, Geometry.SHIFT, 0, False, total,
        FitQuality(10, 8, 0.01, 0.008), 0.001, 2,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in which every plane carries the WCS of the science pixels."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CRPIX1"], header["CRPIX2"] = 10.5, 8.5
    header["CD1_1"], header["CD2_2"] = -5e-5, 5e-5
    planes = [fits.ImageHDU(np.ones((16, 20), np.float32), header, name=name) for name in NAMES]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "a.fits")
    return tmp_path / "a.fits"


@pytest.mark.parametrize(
    ("also", "corrected"),
    [
        (tuple(PlaneKind), NAMES),
        ((), ("SCI", "CTX")),
        ((PlaneKind.MASK,), ("SCI", "DQ", "CTX")),
        ((PlaneKind.VARIANCE,), ("SCI", "ERR", "CTX")),
        ((PlaneKind.WEIGHT,), ("SCI", "WHT", "CTX")),
    ],
)
def test_planes_are_corrected_with_the_pixels_whose_wcs_they_carry_if_so_told(
    path: Path, tmp_path: Path, also: tuple[PlaneKind, ...], corrected: tuple[str, ...]
) -> None:
    """What is no weight, variance or mask, and carries that WCS, always is."""
    header = inspect_exposure(ExposureCandidate("a", (str(path),)), ImageSettings())
    settings = HeaderSettings(Destination.COPY, tmp_path / "wcs", "ALIGNSVC", "run", also)
    (copy,) = write_headers(header, moved_east(), settings).files
    with fits.open(copy) as hdus:
        found = tuple(name for name in NAMES if "ALIGNRUN" in hdus[name].header)
        assert found == corrected
        assert {hdus[name].header["CRVAL1"] for name in corrected} != {150.0}
