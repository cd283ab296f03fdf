"""Which HDUs of a file get an exposure's correction."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.exposure import ExposureLevel
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import inspect_exposure
from alignsvc.io.exposure_planes import PlaneKind
from alignsvc.io.image_settings import ImageSettings
from alignsvc.run.finishing.headers import Destination, HeaderSettings, write_headers

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


def head_lines(path: Path, level: float, seconds: float, *, knows: bool = True) -> list[str]:
    """Return the lines of the .head file of an exposure of so many seconds, at that level."""
    fits.setval(path, "EXPTIME", value=seconds)
    header = inspect_exposure(ExposureCandidate("a", (str(path),)), ImageSettings())
    result = replace(moved_east(), level=ExposureLevel(flux_scale=level))
    settings = HeaderSettings(
        Destination.HEAD, path.parent / "wcs", "ALIGNSVC", "run", knows_flux_scale=knows
    )
    (head,) = write_headers(header, result, settings).files
    assert isinstance(head, Path)
    return head.read_text("ascii").splitlines()


def test_a_head_file_says_what_pixels_are_multiplied_by_and_else_what_it_said(path: Path) -> None:
    """By 1 / exposure time, to counts a second, and by what makes stars agree with the others'."""
    as_they_are = head_lines(path, 1.0, 1.0)
    assert not any("FLXSCALE" in line for line in as_they_are)
    assert head_lines(path, 1.25, 10.0, knows=False) == as_they_are
    scaled = head_lines(path, 1.25, 10.0)
    (card,) = [line for line in scaled if line.startswith("FLXSCALE")]
    assert fits.Card.fromstring(card).value == 0.125
    scaled.remove(card)
    assert scaled == as_they_are
    assert head_lines(path, 1.25, 1.25) == as_they_are


@pytest.mark.slow
def test_swarp_multiplies_pixels_by_what_a_head_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two exposures of one sky, of 10 s and 40 s, are averaged in counts a second."""
    program = next((found for name in ("SWarp", "swarp") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("swarp is not installed: nobody but us read FLXSCALE")
    monkeypatch.chdir(tmp_path)
    wcs = fits.Header()
    wcs["CTYPE1"], wcs["CTYPE2"] = "RA---TAN", "DEC--TAN"
    wcs["CRVAL1"], wcs["CRVAL2"], wcs["CRPIX1"], wcs["CRPIX2"] = 150.0, 2.0, 32.5, 32.5
    wcs["CD1_1"], wcs["CD2_2"] = -5e-5, 5e-5
    for name, seconds in (("a", 10.0), ("b", 40.0)):
        wcs["EXPTIME"] = seconds
        fits.writeto(f"{name}.fits", np.full((64, 64), 3 * seconds, np.float32), wcs)
        header = inspect_exposure(ExposureCandidate(name, (f"{name}.fits",)), ImageSettings())
        settings = HeaderSettings(Destination.HEAD, tmp_path, "ALIGNSVC", "run")
        write_headers(header, moved_east(), settings)
    options = "-SUBTRACT_BACK N -COMBINE_TYPE AVERAGE -VERBOSE_TYPE QUIET -WRITE_XML N -NTHREADS 1"
    subprocess.run([program, "a.fits", "b.fits", *options.split()], check=True)
    middle = fits.getdata("coadd.fits")[24:40, 24:40]
    assert middle == pytest.approx(3.0, rel=1e-5)
