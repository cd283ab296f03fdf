"""The table of corrections keeps every digit."""

from pathlib import Path

import numpy as np
import pytest

from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ExposureResult, FitQuality
from alignsvc.errors import RunStoreError
from alignsvc.io.corrections_table import corrections_to_ecsv, read_corrections


def result(name: str, correction: Correction | None, status: Status) -> ExposureResult:
    reason = "" if status is Status.ALIGNED else "no_wcs"
    return ExposureResult(
        name, status, reason, "", Verdict.UNTESTED, Geometry.GENERAL, 0, False, correction,
        FitQuality(10, 8, 0.01, 0.008), 1 / 3, 2,
    )  # fmt: skip


def test_what_is_written_reads_back_to_the_last_digit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    half = rng.normal(size=(6, 6))
    correction = Correction(
        TangentPlane(1 / 3, -2 / 7),
        np.eye(2) + 1e-4 * rng.normal(size=(2, 2)),
        rng.normal(size=2),
        Geometry.GENERAL,
        half @ half.T,
    )
    path = tmp_path / "corrections.ecsv"
    aligned = result("a/b c", correction, Status.ALIGNED)
    path.write_bytes(corrections_to_ecsv((aligned, result("d", None, Status.FAILED))))
    first, second = read_corrections(path)
    assert first.id == "a/b c"
    assert first.correction is not None
    assert (first.correction.parameters == correction.parameters).all()
    assert (first.correction.covariance == correction.covariance).all()
    assert first.last_move_px == 1 / 3
    assert second.correction is None
    assert second.reason == "no_wcs"


def test_another_file_is_not_taken_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "corrections.ecsv"
    path.write_text("hello")
    with pytest.raises(RunStoreError, match="not a table of corrections"):
        read_corrections(path)
