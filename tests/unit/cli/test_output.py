"""Who reads what is printed may go away: that ends no run, and is no failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from alignsvc.cli import output, show
from alignsvc.cli.main import exit_code
from alignsvc.cli.options import Output
from alignsvc.domain.outcome import ExitCode
from alignsvc.run.records import events


@pytest.fixture(params=["stdout", "stderr"])
def unread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A standard stream of which nobody reads the other end any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, request.param, stream)
        yield
        monkeypatch.undo()  # before the stream is closed


@pytest.mark.usefixtures("unread")
def test_a_command_ends_with_its_own_exit_code() -> None:
    for _ in range(2):
        assert exit_code(["version"]) == ExitCode.DONE
        assert exit_code(["frobnicate"]) == ExitCode.BAD_CONFIGURATION


@pytest.mark.usefixtures("unread")
def test_a_run_goes_on_that_has_nobody_to_tell() -> None:
    with show.progress(Output()) as listener:
        for number in range(1, 4):
            listener(events.Note(f"the {number}th"))
    for _ in range(2):
        output.print_json({"status": "aligned"})
        output.print_lines(["one", "two"])
