"""How a command ends: its exit code, and the sentence on the standard error that says why."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from alignsvc.cli.output import print_error
from alignsvc.domain.outcome import ExitCode
from alignsvc.errors import (
    AlignError,
    ConfigError,
    DataError,
    HeaderError,
    RunCancelled,
    RunInterrupted,
)
from alignsvc.io.whole_files import DISK_REFUSES
from alignsvc.redaction import redacted
from alignsvc.version import VERSION

#: Typer brings a click of its own or uses the installed one: the base of this one's errors.
UsageError: type[Exception] = typer.BadParameter.__mro__[2]


class Stopped(AlignError):
    """Something came to its end before its time; not an error."""


@contextmanager
def run_named() -> Iterator[None]:
    """Name the run where Ctrl-C, or a signal, ended a driver."""
    try:
        yield
    except RunInterrupted as error:
        raise Stopped(f"interrupted; `alignsvc resume {error}` goes on") from error


def ended_by(error: Exception) -> ExitCode:
    """Say what ended a command before its time; return its exit code."""
    if isinstance(error, AlignError):
        return _ended(str(error), exit_code_of(error))
    if isinstance(error, UsageError):
        return _ended(_usage(error), ExitCode.BAD_CONFIGURATION)
    if isinstance(error, OSError) and error.errno in DISK_REFUSES:
        return _ended(f"{error}; mend that and `alignsvc resume RUN`", ExitCode.RUN_STORE)
    return _ended(_internal(error), ExitCode.INTERNAL)


def ended_by_interrupt() -> ExitCode:
    """Say that a command that drives no run was interrupted; return its exit code."""
    return _ended("interrupted; the same command again goes on", ExitCode.INTERRUPTED)


def exit_code_of(error: AlignError) -> ExitCode:
    """Return the contract's exit code for an error that ended a command."""
    if isinstance(error, ConfigError):
        return ExitCode.BAD_CONFIGURATION
    if isinstance(error, RunCancelled | Stopped):
        return ExitCode.INTERRUPTED
    if isinstance(error, HeaderError | DataError):
        return ExitCode.SOME_FAILED
    return ExitCode.RUN_STORE


def _ended(sentence: str, code: ExitCode) -> ExitCode:
    print_error(f"alignsvc: {redacted(sentence)}")
    return code


def _usage(error: Exception) -> str:
    message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
    text = " ".join(message.split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    asked = context.command_path if context is not None else "alignsvc"
    return f"{text}; `{asked} --help` shows what can be given"


def _internal(error: Exception) -> str:
    """Return a sentence on an error that nobody foresaw; the traceback goes to a file."""
    trace = "".join(traceback.format_exception(error))
    text = " ".join(str(error).split())
    handle, name = tempfile.mkstemp(prefix="alignsvc-traceback-", suffix=".txt")
    with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - an open descriptor
        file.write(redacted(trace))
    return (
        f"internal error: {type(error).__name__}: {text}; this is a bug of alignsvc "
        f"{VERSION}, please report it with the traceback in {name}"
    )
