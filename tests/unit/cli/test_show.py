"""What a run prints while it goes on, where it is not a terminal, and when nothing is shown."""

from __future__ import annotations

import io

import pytest
from going_runs import ENDED, SOLVED, driven_to_the_end, task

from alignsvc.cli import show
from alignsvc.cli.options import Output
from alignsvc.domain.outcome import TaskStatus
from alignsvc.run.records.events import HeadersRead, Note

TOLD = [
    "note: mind [the] gap",
    "driven by process 1 on here",
    "pass 1 (full) begins",
    "pass 1 measure: 2 done, 1 failed",
    "failed: exposure b: no such file",
    "pass 1: largest movement 0.0123 px (eps_shift 0.003), 2 exposures, 77 sources",
    "loop ended: converged",
    "ended, exit 1",
]


@pytest.mark.parametrize("output", [Output(), Output(is_plain=True)])
def test_a_log_file_holds_sentences_with_their_times_and_nothing_else(
    capsys: pytest.CaptureFixture[str], output: Output
) -> None:
    with show.progress(output) as listener:
        listener(Note("mind [the] gap"))
        driven_to_the_end(listener)
    said = capsys.readouterr()
    stamps, texts = zip(*(line.split(" ", 1) for line in said.err.splitlines()), strict=True)
    assert list(texts) == TOLD
    assert all(len(stamp) == 20 and stamp.endswith("Z") for stamp in stamps)
    assert said.out == "" and "\x1b" not in said.err


def test_names_cannot_give_orders_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress(Output()) as listener:
        listener(Note("exposure \x1b[2J\nsecond\r line"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("note: exposure  [2J second  line")


def test_colours_that_somebody_forces_into_a_file_bring_no_display_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show.progress(Output()) as listener:
        driven_to_the_end(listener)
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("output", [Output(is_quiet=True), Output(as_json=True)])
def test_quiet_is_silent(capsys: pytest.CaptureFixture[str], output: Output) -> None:
    with show.progress(output) as listener:
        listener(Note("x"))
        listener(HeadersRead(1, 2, 1.0))
        listener(task(TaskStatus.FAILED))
        driven_to_the_end(listener)
    assert capsys.readouterr() == ("", "")
    assert ENDED  # what is said otherwise


@pytest.mark.parametrize(("answer", "goes_on"), [("", True), ("y", True), ("No", False)])
@pytest.mark.parametrize("is_quiet", [True, False])
def test_only_a_no_ends_the_loop(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    goes_on: bool,
    is_quiet: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    with show.progress(Output(is_quiet=is_quiet)) as listener:
        assert listener.ask_to_go_on(SOLVED) is goes_on
    assert "Another pass?" in capsys.readouterr().err
