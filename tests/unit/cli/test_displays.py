"""A log gets no more lines than it can bear, whatever happens, and each tells its own time."""

from __future__ import annotations

import io
from collections.abc import Iterable

import pytest
from going_runs import going
from rich.console import Console

from alignsvc.cli.displays import LinesDisplay
from alignsvc.io.control import Progress
from alignsvc.run.records.events import HeadersRead
from alignsvc.run.status.progress import RunProgress


class Log:
    """What is printed, at times that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._file = io.StringIO()
        self.display = LinesDisplay(Console(file=self._file), lambda: self.now_s)

    def show(self, progress: RunProgress, parts: Iterable[tuple[float, int]]) -> None:
        """Show how many tasks of a stage have ended at each of these times."""
        for self.now_s, n in parts:
            done = Progress(1, "measure", 3, 48, n, n_places=1)
            progress = progress.counted(done, self.now_s)
            self.display.show(progress, self.now_s)

    @property
    def lines(self) -> list[str]:
        return self._file.getvalue().splitlines()


def test_a_short_stage_has_no_line() -> None:
    log = Log()
    log.show(going(0), [(0.1 * n, n) for n in range(48)])
    assert log.lines == []


def test_a_quick_stage_has_a_line_each_half_minute() -> None:
    """48 tasks in four minutes, a look each second."""
    log = Log()
    log.show(going(0), [(1.0 * k, k * 48 // 240) for k in range(240)])
    assert [line.split()[0][14:19] for line in log.lines] == [
        *("00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:30")
    ]
    assert "pass 3 measure: 24 of 48 exposures, 12 exposures/min, " in log.lines[3]


def test_a_slow_stage_has_a_line_each_minute_and_one_that_stands_still_too() -> None:
    log = Log()
    log.show(going(0), [(1.0 * k, 1 if k > 90 else 0) for k in range(601)])
    assert len(log.lines) == 10
    assert all("of 48 exposures" in line for line in log.lines)


def test_another_stage_begins_anew() -> None:
    log = Log()
    log.show(going(0), [(0.0, 0), (29.0, 10)])
    log.now_s = 31.0
    log.display.show(going(0, (0.5,)), log.now_s)  # pass 2
    assert log.lines == []


def test_a_long_reading_of_headers_is_a_line_now_and_then() -> None:
    log = Log()
    for done in range(0, 10_000, 50):
        log.now_s = done / 50.0
        log.display.read(HeadersRead(done, 10_000, log.now_s))
    assert [line.split(" ", 1)[1] for line in log.lines] == [
        f"headers: {done} of 10000 read, 50 a second" for done in range(1500, 10_000, 1500)
    ]


@pytest.mark.parametrize(("time_s", "stamp"), [(None, "00:00:50Z"), (7.0, "00:00:07Z")])
def test_what_was_so_before_keeps_its_time(time_s: float | None, stamp: str) -> None:
    log = Log()
    log.now_s = 50.0
    log.display.say("something", time_s)
    assert log.lines == [f"1970-01-01T{stamp} something"]
