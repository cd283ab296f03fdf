"""What goes on is told in lines that fit: bars, rates, time left, movements, workers."""

from __future__ import annotations

import pytest
from going_runs import entries, going

from alignsvc.cli.progress_text import (
    HASHES,
    headers_line,
    movement_line,
    progress_line,
    progress_lines,
)
from alignsvc.io import journal
from alignsvc.io.worker_samples import WorkerSample, WorkersThen
from alignsvc.run.records.events import HeadersRead
from alignsvc.run.status.progress import RunProgress

NOW_S = 5.0 * 31
SAMPLE = WorkerSample(
    1, NOW_S, NOW_S, 300_000_000, 4, WorkersThen(4, 3, 3, 10**9, 10**9, 12 * 10**8, 2 * 10**9)
)


def test_a_terminal_shows_stage_speed_exposures_movements_and_workers() -> None:
    assert progress_lines(going().sampled(SAMPLE), NOW_S, 100) == [
        f"pass 3 measure  {'█' * 25}{'░' * 15}  31/48 exposures",
        "12 exposures/min, 85 s left",
        "exposures 1 going, 0 skipped, 1 failed, of this stage 1 failed",
        "movement 0.8000 -> 0.0120 px: falls, eps_shift 0.003",
        "workers 3 of 4 busy, memory 1.00 GB to 1.20 GB of 2.00 GB each, driver 0.30 GB",
    ]


def test_a_log_has_the_same_in_one_line() -> None:
    assert progress_line(going().sampled(SAMPLE), NOW_S) == (
        "pass 3 measure: 31 of 48 exposures, 1 failed, 12 exposures/min, 85 s left, "
        "workers 3 of 4 busy, memory 1.00 GB to 1.20 GB of 2.00 GB each, driver 0.30 GB"
    )
    assert progress_line(RunProgress(), 0.0) == ""


@pytest.mark.parametrize("width", [1, 20, 40, 59, 79, 119, 500])
def test_lines_fit_into_any_width_and_lose_no_number_where_there_is_room(width: int) -> None:
    moved = tuple(0.9 / k for k in range(1, 40))
    lines = progress_lines(going(31, moved).sampled(SAMPLE), NOW_S, width)
    assert all(0 < len(line) <= width for line in lines)
    if width >= 40:
        whole = " ".join(lines)
        assert "31/48" in whole and "85 s left" in whole and "0.0231 px" in whole
        assert "3 of 4 busy" in whole and "0.30 GB" in whole


def test_a_terminal_that_knows_ascii_alone_gets_nothing_else() -> None:
    lines = progress_lines(going().sampled(SAMPLE), NOW_S, 80, HASHES)
    assert "".join(lines).isascii() and "###..." in lines[0]
    assert headers_line(HeadersRead(5, 10, 2.0), 80, HASHES) == (
        f"headers  {'#' * 20}{'.' * 20}   5/10 read, 2 a second"
    )


@pytest.mark.parametrize(
    ("moved", "said"),
    [
        ((0.8,), "movement 0.8000 px: eps_shift 0.003"),
        ((0.8, 0.01), "movement 0.8000 -> 0.0100 px: falls, eps_shift 0.003"),
        ((0.01, 0.02), "movement 0.0100 -> 0.0200 px: rises, eps_shift 0.003"),
        ((0.8, 0.002), "movement 0.8000 -> 0.0020 px: below eps_shift 0.003"),
    ],
)
def test_movements_are_told_against_where_the_loop_ends(
    moved: tuple[float, ...], said: str
) -> None:
    assert movement_line(going(0, moved), 80) == said


def test_of_many_movements_the_last_ones_stay() -> None:
    line = movement_line(going(0, tuple(1.0 / k for k in range(1, 30))), 60)
    assert line.startswith("movement ... 0.0") and "0.0345 px: falls" in line
    assert len(line) <= 60


def test_between_stages_it_says_what_is_awaited() -> None:
    def first(*news: journal.Event) -> str:
        known = going().read_on(entries(news, 9, NOW_S))
        return progress_lines(known, NOW_S, 80)[0]

    ended = journal.StageFinished("measure", 3, 48, 0, 0, 0)
    solved = journal.Solved(3, "t", "d", 0.1, 1)
    assert first(ended) == "pass 3 solve"
    assert first(ended, solved) == "pass 3 solved"
    assert progress_lines(RunProgress(), 0.0, 80) == []


def test_what_nobody_has_counted_yet_is_not_said_to_be_none() -> None:
    """Who watches hears of a stage before the driver has said how far it is."""
    begun = going(0)
    assert progress_lines(begun, 0.0, 80)[0] == "pass 3 measure  48 exposures"
    assert progress_line(begun, 0.0) == "pass 3 measure: 48 exposures"
