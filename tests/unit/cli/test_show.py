"""What a bar is called, and when nothing is shown."""

from __future__ import annotations

import io

import pytest

from alignsvc.cli import show
from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.run.events import Event, HeadersRead, Note, PassSolved, StageStarted, TaskEnded

SOLVED = PassSolved(2, 0.01234, 5, 77, True)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "pass 1 merge"), (12, "pass 12 merge"), (0, "final mosaic merge")]
)
def test_a_bar_says_what_is_done(number: int, name: str) -> None:
    assert show.stage_name(StageStarted("merge", number, 3)) == name


def test_a_log_file_holds_sentences_and_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = TaskOutcome(TaskKey("merge", "t", "0"), TaskStatus.FAILED)
    events: list[Event] = [StageStarted("merge", 2, 1), TaskEnded("merge", outcome), SOLVED]
    with show.progress(quiet=False) as listener:
        for event in (*events, Note("mind [the] gap")):
            listener(event)
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "pass 2: largest movement 0.0123 px, 5 exposures solved from 77 sources",
        "note: mind [the] gap",
    ]
    assert said.out == ""


def test_a_long_reading_of_headers_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with show.progress(quiet=False) as listener:
        for done, seconds in ((50, 0.5), (2000, 10.0), (2050, 10.2), (4100, 20.5)):
            listener(HeadersRead(done, 10_000, seconds))
    assert capsys.readouterr().err.splitlines() == [
        "headers: 2000 of 10000 read, 200 a second",
        "headers: 4100 of 10000 read, 200 a second",
    ]


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress(quiet=True) as listener:
        listener(Note("x"))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("answer", "goes_on"), [("", True), ("y", True), ("No", False)])
@pytest.mark.parametrize("quiet", [True, False])
def test_only_a_no_ends_the_loop(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    goes_on: bool,
    quiet: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    with show.progress(quiet=quiet) as listener:
        assert listener.ask_to_go_on(SOLVED) is goes_on
    assert "Another pass?" in capsys.readouterr().err
