"""The table of corrections keeps every digit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignsvc.domain.chip_shifts import ChipShifts
from alignsvc.domain.colour_term import ColourTerm
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ChipApart, ChipResult, ExposureResult, FitQuality
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


def test_colour_terms_have_columns_where_any_was_fitted(tmp_path: Path) -> None:
    total = Correction.identity(TangentPlane(10.0, -20.0), Geometry.SHIFT)
    without = result("b", total, Status.ALIGNED)
    assert b"colour_shift_x" not in corrections_to_ecsv((without,))
    term = ColourTerm((1 / 3, -2 / 7), (0.1, float("inf")))
    path = tmp_path / "corrections.ecsv"
    path.write_bytes(corrections_to_ecsv((replace(without, id="a", colour_term=term), without)))
    first, second = read_corrections(path)
    assert first.colour_term == term
    assert second.colour_term is None


def test_chips_that_stand_apart_are_kept(tmp_path: Path) -> None:
    total = Correction.identity(TangentPlane(10.0, -20.0), Geometry.SHIFT)
    apart = (ChipApart("SCI,2", (1 / 3, -0.25), 0.01), ChipApart('a "b"', (0.5, 0.5), 0.02))
    path = tmp_path / "corrections.ecsv"
    rows = (
        replace(result("a", total, Status.ALIGNED), chips_apart=apart),
        result("b", total, Status.ALIGNED),
    )
    path.write_bytes(corrections_to_ecsv(rows))
    assert [row.chips_apart for row in read_corrections(path)] == [apart, ()]


def test_chips_with_offsets_have_a_row_each(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    total = Correction.identity(TangentPlane(10.0, -20.0), Geometry.RSHIFT)
    total = replace(
        total, shift=np.array([0.3, -0.2]), matrix=np.array([[1.0, 1e-3], [-1e-3, 1.0]])
    )
    half = rng.normal(size=(2, 6, 6))
    shifts = ChipShifts(rng.normal(size=(2, 2)), half @ np.swapaxes(half, 1, 2))
    chips = tuple(
        ChipResult(name, shift, own)
        for name, shift, own in zip(
            ("SCI,1", "SCI,2"), shifts.plain, shifts.totals(total), strict=True
        )
    )
    with_chips = replace(result("a", total, Status.ALIGNED), chips=chips)
    path = tmp_path / "corrections.ecsv"
    path.write_bytes(
        corrections_to_ecsv(
            (with_chips, result("b", None, Status.FAILED), result("c", total, Status.ALIGNED))
        )
    )
    first, second, third = read_corrections(path)
    assert [chip.name for chip in first.chips] == ["SCI,1", "SCI,2"]
    for found, wanted in zip(first.totals(2), shifts.totals(total), strict=True):
        assert (found.parameters == wanted.parameters).all()
        assert np.allclose(found.covariance, wanted.covariance, rtol=1e-15)
    assert first.correction is not None
    assert np.allclose(first.correction.parameters, total.parameters, rtol=0, atol=1e-15)
    assert second.correction is None
    assert second.chips == third.chips == ()
    with pytest.raises(ValueError, match="wanted corrections of 3 chips, found 2"):
        first.totals(3)


def test_another_file_is_not_taken_for_a_table(tmp_path: Path) -> None:
    path = tmp_path / "corrections.ecsv"
    path.write_text("hello")
    with pytest.raises(RunStoreError, match="not a table of corrections"):
        read_corrections(path)
