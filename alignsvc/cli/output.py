"""Where the command line prints. Its reader may go: a run goes on, and so does its exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import IO

from rich.console import Console


class Terminal(Console):
    """A console whose reader may go away (``alignsvc run ... | head``)."""

    def on_broken_pipe(self) -> None:
        """Say nothing more; rich would end the program, as if exposures had failed."""
        self.quiet = True
        _let_go(self.file)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are, without marks, colours or wrapping."""
    terminal = Terminal()
    for line in lines:
        terminal.print(line, soft_wrap=True, highlight=False, markup=False)


def printable(text: str) -> str:
    """Return a text in one line, without what a terminal would take for an order.

    Names of files and what is in them may hold anything.
    """
    return "".join(one if one.isprintable() else " " for one in text)


def print_json(value: object) -> None:
    """Print a JSON value on one line, at once."""
    _print(json.dumps(value, allow_nan=False), sys.stdout)


def print_error(sentence: str) -> None:
    """Print a sentence on the standard error."""
    _print(sentence, sys.stderr)


def ask(question: str) -> str:
    """Return what the user answers to a question on the standard error; empty if nobody does."""
    _print(question, sys.stderr, end="")
    return sys.stdin.readline().strip()


def _print(text: str, stream: IO[str], end: str = "\n") -> None:
    try:
        print(text, end=end, file=stream, flush=True)
    except BrokenPipeError:
        _let_go(stream)


def _let_go(stream: IO[str]) -> None:
    """Let go nowhere what is still printed to a stream, the interpreter's last flush included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
