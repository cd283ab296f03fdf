"""A program that shows a run which nobody drives, as `alignsvc run` would: for terminals in tests.

What it does stands in its argument: words of ``stage`` (half a stage),
``more`` (of it), ``ask`` (the question after
a pass), ``long`` (a line that no terminal is wide enough for), ``pause`` (two
frames), ``wait`` (until it is interrupted).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "cli"))
from going_runs import CREATED, SOLVED, entries, task

from alignsvc.cli import show
from alignsvc.cli.options import Output
from alignsvc.io import journal
from alignsvc.run.records import events


def main(words: list[str]) -> int:
    try:
        with show.progress(Output(is_plain="plain" in words)) as listener:
            listener(events.Begun(tuple(entries([CREATED])), 0.003))
            for word in words:
                tell(listener, word)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print("the end")
    return 0


def tell(listener: show.Progressing, word: str) -> None:
    if word == "stage":
        begun = (journal.PassStarted(1, True), journal.StageStarted("measure", 1, 10))
        for entry in entries(begun, 2, time.time()):
            listener(events.Recorded(entry))
        listener(events.StageStarted("measure", 1, 10))
        for _ in range(5):
            time.sleep(0.1)
            listener(task())
    elif word == "more":
        for _ in range(3):
            listener(task())
    elif word == "ask":
        listener(events.Note(f"answer {listener.ask_to_go_on(SOLVED)}"))
    elif word == "long":
        listener(events.Note("word " * 60))
    elif word == "note":
        listener(events.Note("something"))
    elif word == "pause":
        time.sleep(0.6)
    elif word == "wait":
        time.sleep(60.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
