"""What people see at a terminal while a run goes on: drawn, asked, interrupted, left as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from terminals import Terminal
from workplaces import Workplace

PROGRAM = [sys.executable, str(Path(__file__).with_name("shown_run.py"))]


def test_a_display_is_drawn_in_place_gives_way_to_a_question_and_leaves_nothing() -> None:
    """Half a stage in 60 columns, a question, a line that wraps, more of it in 100, Ctrl-C."""
    with Terminal([*PROGRAM, "stage", "pause", "ask", "long", "more", "wait"], 60) as terminal:
        terminal.wait_for(lambda screen: "5/10 exposures" in "\n".join(screen.shown()))
        assert not terminal.screen.cursor_is_shown
        shown = [line for line in terminal.screen.shown() if line]
        assert shown[0].startswith("pass 1 measure (full pass)  ██") and len(shown) == 3
        assert all(len(line) < 60 for line in shown)
        terminal.wait_for(lambda screen: "[Y/n] " in "\n".join(screen.lines))
        assert terminal.screen.cursor_is_shown
        (question,) = [line for line in terminal.screen.shown() if line]
        assert question == "pass 1: 0.0123 px. Another pass? [Y/n]"
        n_frames = len(terminal.frames)
        terminal.resize(100)
        terminal.type("n\n")
        terminal.wait_for(lambda screen: "8/10 exposures" in "\n".join(screen.shown()))
        seen = terminal.frames[n_frames:]
        assert max(len(line) for frame in seen for line in frame) in range(61, 101)
        terminal.interrupt()
        assert terminal.end() == 130
        assert terminal.echoes and terminal.screen.cursor_is_shown
    left = [line for line in terminal.screen.shown() if line]
    assert left[:2] == [f"{question} n", "note: answer False"]
    assert left[2].startswith("note: word word") and left[-1] == "interrupted"
    assert not any("measure" in line or "exposures" in line for line in left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environment"),
    [(["plain"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": "dumb", "FORCE_COLOR": "1"})],
)
def test_lines_are_what_a_simple_terminal_gets_or_who_asks_for_them(
    words: list[str], environment: dict[str, str]
) -> None:
    with Terminal([*PROGRAM, *words, "stage", "note"], 80, environment) as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.raw
    begins, note, end = terminal.screen.shown()[:3]
    assert begins.endswith("Z pass 1 (full) begins") and note.endswith("Z note: something")
    assert end == "the end"


@pytest.mark.slow
def test_without_colours_there_are_none() -> None:
    with Terminal([*PROGRAM, "stage", "note"], 80, {"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
    assert "5/10 exposures" in terminal.raw and "m" not in _orders(terminal.raw)


def _orders(raw: str) -> set[str]:
    """Return the kinds of orders in what was written: colours are of kind m."""
    import re

    return set(re.findall(r"\x1b\[[?0-9;]*([A-Za-z])", raw))


@pytest.mark.slow
def test_a_run_that_is_interrupted_at_a_terminal_goes_on_at_the_next(work: Workplace) -> None:
    command = [sys.executable, "-m", "alignsvc.cli.main"]
    with Terminal([*command, "run", work.config()]) as terminal:
        terminal.wait_for(lambda screen: "/3 exposures" in "\n".join(screen.shown()))
        terminal.interrupt()
        assert terminal.end() == 130
        assert terminal.screen.cursor_is_shown and terminal.echoes
    said = "\n".join(terminal.screen.shown())
    assert f"interrupted; `alignsvc resume {work.run}` goes on" in said.replace("\n", "")
    with Terminal([*command, "resume", str(work.run)], 120) as terminal:
        assert terminal.end() == 0
    left = terminal.screen.shown()
    assert any(line.startswith("pass 1: largest movement") for line in left)
    assert any("3 aligned, 0 skipped, 0 failed" in line for line in left)
    assert not any("█" in line or "░" in line for line in left)
