"""Runs that are killed, again and again, at given moments: a program for the tests of `resume`.

It reads a JSON list of stories from its input, each ``{"config": PATH, "kills": [N, ...]}``. A
story is told in lives: each is a process of its own that runs the configuration, and all but the
last end (as by kill -9: nothing is closed, nothing is flushed) right before the n-th time that
they would change a name on the disk or flush a file. It prints, for each story, the exit code of
every life, how many tasks were really worked on, and, of the last life, how many such moments it
had and at which of them each event of the journal was written.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alignsvc import api
from alignsvc.io.journal import Event
from alignsvc.io.journal_store import Entry, Journal
from alignsvc.tasks import base

KILLED = 9


class Clockwork:
    """Counts moments, and ends the process at one of them."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.moments = 0
        self.events: list[tuple[str, int]] = []

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that counts a moment, then does what it should."""

        def counted(*args: Any, **settings: Any) -> Any:
            if self.last is not None and self.moments == self.last:
                os._exit(KILLED)
            self.moments += 1
            return function(*args, **settings)

        return counted

    def wind_up(self, worked: Path) -> None:
        """Put itself before everything that changes names, and note tasks and events."""
        for owner, name in (
            *((os, name) for name in ("fsync", "link", "replace", "rename")),
            *((Path, name) for name in ("rename", "replace", "unlink")),
            (shutil, "rmtree"),
        ):
            setattr(owner, name, self.before(getattr(owner, name)))
        append, work = Journal.append, base._outcome_of

        def noted(journal: Journal, event: Event) -> Entry:
            entry = append(journal, event)
            self.events.append((event.kind.value, self.moments))
            return entry

        def counted(task: Any) -> Any:
            outcome = work(task)
            with worked.open("a") as file:
                file.write(f"{task.key}\n")
            return outcome

        Journal.append, base._outcome_of = noted, counted  # type: ignore[method-assign]


def life(config: Path, last: int | None, worked: Path, told: Path) -> int:
    """Run in a process of its own; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    clockwork = Clockwork(last)
    clockwork.wind_up(worked)
    code = 70
    try:
        code = int(api.align(config).exit_code)
        told.write_text(json.dumps({"moments": clockwork.moments, "events": clockwork.events}))
    finally:
        os._exit(code)


def story(config: Path, kills: list[int]) -> dict[str, Any]:
    """Tell one story."""
    worked, told = config.with_suffix(".worked"), config.with_suffix(".told")
    codes = [life(config, last, worked, told) for last in (*kills, None)]
    tasks = worked.read_text().splitlines() if worked.exists() else []
    return {"codes": codes, "tasks": tasks, **json.loads(told.read_text())}


if __name__ == "__main__":
    stories = json.loads(sys.stdin.read())
    print(json.dumps([story(Path(one["config"]), one["kills"]) for one in stories]))
