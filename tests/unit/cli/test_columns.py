"""The table of exposures fits any terminal: numbers go before names are cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignsvc.cli.columns import ROWS_SHOWN, exposure_lines
from alignsvc.domain.correction import Correction, Geometry
from alignsvc.domain.geometry import TangentPlane
from alignsvc.domain.outcome import Status, Verdict
from alignsvc.domain.result import ChipApart, ExposureResult, FitQuality

TITLES = ("status", "verdict", 'east ["]', 'north ["]', "rot [deg]", "used", "rmse [px]")


def row(name: str, status: Status = Status.ALIGNED, reason: str = "") -> ExposureResult:
    correction = Correction(
        TangentPlane(10.0, 2.0),
        np.eye(2),
        np.array([0.12346, -11.5]),
        Geometry.GENERAL,
        np.zeros((6, 6)),
    )
    is_aligned = status is Status.ALIGNED
    return ExposureResult(
        id=name,
        status=status,
        reason=reason,
        message="",
        verdict=Verdict.IMPROVED if is_aligned else Verdict.UNTESTED,
        geometry=Geometry.GENERAL,
        component=0,
        is_reference=False,
        correction=correction if is_aligned else None,
        quality=FitQuality(120, 98, 0.0123, 0.01) if is_aligned else FitQuality(),
        last_move_px=0.0004 if is_aligned else float("nan"),
        passes=3,
    )


def test_a_wide_terminal_shows_every_column() -> None:
    head, first = exposure_lines([row("a")], 200)
    assert all(title in head for title in (*TITLES, "moved [px]"))
    assert first.split() == [
        *("a", "aligned", "improved", "+0.1235", "-11.5000", "+0.00000", "98/120", "0.0123"),
        "0.0004",
    ]


def test_eighty_columns_show_what_matters_most() -> None:
    head, _ = exposure_lines([row("j8bt06nyq_flc")], 80)
    assert all(title in head for title in TITLES if title not in ("rot [deg]",))
    assert "moved" not in head


def test_an_exposure_whose_chips_stand_apart_is_not_in_order() -> None:
    apart = replace(row("b"), chips_apart=(ChipApart("SCI,2", (0.5, 0.0), 0.01),))
    _, first, second = exposure_lines([row("a"), apart], 200)
    assert first.startswith("b         aligned: chips apart")
    assert second.startswith("a         aligned ")


def test_reasons_stand_with_the_status_and_trouble_comes_first() -> None:
    rows = [row("a"), row("b", Status.FAILED, "no_wcs"), row("c", Status.SKIPPED, "worse")]
    lines = exposure_lines(rows, 80)
    assert [line.split()[0] for line in lines] == ["exposure", "b", "c", "a"]
    assert lines[1].split() == ["b", "failed:", "no_wcs", "untested"]


def test_a_long_table_says_how_much_more_there_is() -> None:
    lines = exposure_lines([row(f"{i:03d}") for i in range(ROWS_SHOWN + 5)], 80)
    assert len(lines) == ROWS_SHOWN + 2
    assert lines[-1].startswith("... and 5 more")


def test_a_long_name_loses_its_middle() -> None:
    name = "night1/" + "x" * 90 + "/exposure_0042"
    line = exposure_lines([row(name)], 60)[1]
    shown = line.split()[0]
    assert "…" in shown
    assert name.startswith(shown.split("…")[0]) and name.endswith(shown.split("…")[1])


def test_no_exposures_make_no_table() -> None:
    assert exposure_lines([], 80) == []


@given(
    width=st.integers(60, 200),
    ids=st.lists(st.text("abc_/é", min_size=1, max_size=80), min_size=1, max_size=5, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_no_line_is_wider_than_the_terminal(width: int, ids: list[str]) -> None:
    lines = exposure_lines([row(name) for name in ids], width)
    assert len(lines) == len(ids) + 1
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [1, 20])
def test_a_terminal_too_narrow_for_anything_still_gets_the_status(width: int) -> None:
    head, first = exposure_lines([row("a")], width)
    assert "status" in head and "aligned" in first
