"""What the command line prints: progress while a run goes, tables when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from alignsvc.cli.columns import exposure_lines
from alignsvc.cli.displays import display
from alignsvc.cli.driven import Driven
from alignsvc.cli.options import Output
from alignsvc.cli.output import Terminal, print_json, print_lines
from alignsvc.errors import NotAllWritten
from alignsvc.io.places import Place
from alignsvc.run.planning.plan import Plan
from alignsvc.run.records.events import Event, PassSolved
from alignsvc.run.records.result import RunResult
from alignsvc.run.report.summary import (
    Json,
    ended_lines,
    plan_json,
    plan_lines,
    report_lines,
    result_json,
)
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.submitted_driver import driver_json
from alignsvc.run.verbs.submitting import Rehearsal, Submission


class Progressing(Protocol):
    """Hears of events, and asks the user whether to go on."""

    def __call__(self, event: Event) -> None:
        """Take notice of `event`."""
        ...

    def ask_to_go_on(self, solved: PassSolved) -> bool:
        """Ask after a pass whether to go on; anything but no is yes."""
        ...


@contextmanager
def progress(output: Output) -> Iterator[Progressing]:
    """Yield a listener that shows what goes on, on the standard error."""
    with display(Terminal(stderr=True), output) as shown:
        yield Driven(shown)


def result(found: RunResult, output: Output) -> None:
    """Print how a run ended."""
    if output.as_json:
        print_json(result_json(found))
        return
    rows = [] if output.is_quiet else exposure_lines(found.corrections, Terminal().width)
    print_lines((*rows, "") if rows else ())
    print_lines(ended_lines(found))


def plan(found: Plan, *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        print_json(plan_json(found))
    else:
        print_lines(plan_lines(found))


def submission(found: Submission, output: Output) -> None:
    """Print what became of a run that was handed in."""
    if output.as_json:
        print_json(
            {
                "run_id": found.run_id,
                "directory": str(found.directory),
                "driver": None if found.driver is None else driver_json(found.driver),
                "attached": not found.is_new,
                "finished": found.is_finished,
            }
        )
        return
    hint = f"`alignsvc status {found.directory}` shows where it stands"
    print_lines([found.line()] if output.is_quiet else [found.line(), hint])


def rehearsal(found: Rehearsal, *, as_json: bool) -> None:
    """Print what handing a run in would do."""
    if as_json:
        print_json(
            {
                "plan": plan_json(found.plan),
                "driver_script": found.driver_script,
                "worker_script": found.worker_script,
            }
        )
        return
    plan(found.plan, as_json=False)
    print_lines(("", "The driver would be handed in as", "", *found.driver_script.splitlines()))
    if found.worker_script:
        print_lines(("", "and each job of its workers as", "", *found.worker_script.splitlines()))


def status(found: RunStatus, *, as_json: bool) -> None:
    """Print where a run stands."""
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(found.lines())


def report(found: Json, *, as_json: bool) -> None:
    """Print the report of a finished run."""
    if as_json:
        print_json(found)
    else:
        print_lines(report_lines(found))


def written(paths: Sequence[Place]) -> None:
    """Print which files were written."""
    if not paths:
        print_lines(["nothing was written: the files hold this correction already"])
    print_lines([str(path) for path in paths])


@contextmanager
def what_was_written() -> Iterator[None]:
    """Print which files were written where others could not be."""
    try:
        yield
    except NotAllWritten as error:
        print_lines(error.written)
        raise
