"""Headers of many exposures, several files at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.errors import RunStoreError
from alignsvc.io.exposure_files import ExposureCandidate
from alignsvc.io.exposure_headers import ExposureHeader, inspect_exposure
from alignsvc.io.image_settings import ImageSettings
from alignsvc.reasons import FailureKind
from alignsvc.run.finishing.headers import Destination, HeaderSettings
from alignsvc.run.finishing.writing_headers import each_written
from alignsvc.run.stages.running import Tools

IDS = [f"e{k:02d}" for k in range(12)]


class Book:
    """A journal that is somebody else's after so many questions."""

    def __init__(self, n_ours: int) -> None:
        self.left = n_ours

    def require_ours(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise RunStoreError("another driver has taken the run over")


def tools(n_ours: int = 1000) -> Tools:
    return cast(Tools, SimpleNamespace(journal=Book(n_ours), run="RUN", plan=None))


def result(name: str) -> ExposureResult:
    """Return an exposure's end: a fifth of an arcsecond to the east."""
    total = Correction.identity(TangentPlane(150.0, 2.0), Geometry.SHIFT)
    return ExposureResult(
        name, Status.ALIGNED, "", "", Verdict.IMPROVED, Geometry.SHIFT, 0, False,
        replace(total, shift=(0.2, 0.0)), FitQuality(10, 8, 0.01, 0.008), 0.001, 2,
    )  # fmt: skip


@pytest.fixture
def headers(tmp_path: Path) -> dict[str, ExposureHeader]:
    cards = fits.Header()
    cards["CTYPE1"], cards["CTYPE2"] = "RA---TAN", "DEC--TAN"
    cards["CRVAL1"], cards["CRVAL2"] = 150.0, 2.0
    cards["CRPIX1"], cards["CRPIX2"] = 10.5, 8.5
    cards["CD1_1"], cards["CD2_2"] = -5e-5, 5e-5
    found = {}
    for name in IDS:
        path = tmp_path / f"{name}.fits"
        fits.writeto(path, np.ones((16, 20), np.float32), cards)
        found[name] = inspect_exposure(ExposureCandidate(name, (str(path),)), ImageSettings())
    return found


def settings(folder: Path, destination: Destination) -> HeaderSettings:
    return HeaderSettings(destination, folder / "wcs", "ALIGNSVC", "run")


@pytest.mark.parametrize("destination", [Destination.COPY, Destination.HEAD])
def test_files_and_rows_stay_in_the_order_of_the_exposures(
    tmp_path: Path, headers: dict[str, ExposureHeader], destination: Destination
) -> None:
    rows = [result(name) for name in IDS]
    written = each_written(tools(), rows, headers, settings(tmp_path, destination))
    assert [row.id for row in written.results] == IDS
    assert [Path(str(file)).stem for file in written.files] == IDS
    assert all(Path(str(file)).stat().st_size for file in written.files)


def test_a_source_that_is_cut_short_fails_its_exposure_alone(
    tmp_path: Path, headers: dict[str, ExposureHeader]
) -> None:
    short = tmp_path / "e05.fits"
    short.write_bytes(short.read_bytes()[:-1000])
    rows = [result(name) for name in IDS]
    written = each_written(tools(), rows, headers, settings(tmp_path, Destination.COPY))
    failed = {row.id: row.reason for row in written.results if row.status is Status.FAILED}
    assert failed == {"e05": FailureKind.UNWRITABLE_WCS.value}
    assert len(written.files) == len(IDS) - 1
    assert sorted(file.name for file in (tmp_path / "wcs").iterdir()) == [
        f"{name}.fits" for name in IDS if name != "e05"
    ]


def test_exposures_without_a_header_to_write_keep_their_rows(
    tmp_path: Path, headers: dict[str, ExposureHeader]
) -> None:
    rows = [result(name) for name in IDS]
    rows[3] = replace(rows[3], status=Status.SKIPPED, reason="worse")
    del headers["e04"]
    written = each_written(tools(), rows, headers, settings(tmp_path, Destination.HEAD))
    assert written.results == tuple(rows)
    assert len(written.files) == len(IDS) - 2


def test_a_driver_that_lost_the_run_writes_no_more_and_leaves_whole_files(
    tmp_path: Path, headers: dict[str, ExposureHeader]
) -> None:
    rows = [result(name) for name in IDS]
    with pytest.raises(RunStoreError, match="another driver"):
        each_written(tools(7), rows, headers, settings(tmp_path, Destination.COPY))
    copies = sorted((tmp_path / "wcs").iterdir())
    assert 0 < len(copies) <= 7
    for copy in copies:
        with fits.open(copy) as hdus:
            assert hdus[0].data.shape == (16, 20)
