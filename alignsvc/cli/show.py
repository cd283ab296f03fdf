"""What the command line prints: progress while a run goes, tables when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from alignsvc.cli.columns import exposure_lines
from alignsvc.cli.output import Terminal, ask, print_json, print_lines
from alignsvc.domain.outcome import TaskStatus
from alignsvc.errors import NotAllWritten
from alignsvc.io.places import Place
from alignsvc.run.bootstrapping import BOOTSTRAP_STAGES
from alignsvc.run.events import Event, HeadersRead, Note, PassSolved, StageStarted, TaskEnded
from alignsvc.run.plan import Plan
from alignsvc.run.report.summary import (
    Json,
    plan_json,
    plan_lines,
    report_lines,
    result_json,
    result_lines,
)
from alignsvc.run.result import RunResult
from alignsvc.run.status import RunStatus
from alignsvc.run.submitted_driver import driver_json
from alignsvc.run.submitting import Rehearsal, Submission
from alignsvc.wording import counted

#: Lines about one reading of headers in a log file are this far apart.
_BETWEEN_LINES_S = 10.0


class Progressing(Protocol):
    """Hears of events, and asks the user whether to go on."""

    def __call__(self, event: Event) -> None:
        """Take notice of `event`."""
        ...

    def ask_to_go_on(self, solved: PassSolved) -> bool:
        """Ask after a pass whether to go on; anything but no is yes."""
        ...


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progressing]:
    """Yield a listener that shows a live bar for each stage; one that shows nothing if `quiet`."""
    if quiet:
        yield _Quiet()
        return
    columns = (
        TextColumn("{task.description:22}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[trouble]}"),
    )
    console = Terminal(stderr=True)
    is_seen = console.is_terminal  # in a log file only the sentences stay
    with Progress(*columns, console=console, transient=True, disable=not is_seen) as bars:
        yield _Bars(bars)


class _Quiet:
    """Shows nothing; a question that the user wants to be asked is asked all the same."""

    def __call__(self, event: Event) -> None:
        """Take no notice."""

    def ask_to_go_on(self, solved: PassSolved) -> bool:
        return _answer(solved)


class _Bars:
    """Turns events into bars; holds the bar of the present stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._bar: TaskID | None = None
        self._failed = 0
        self._reads = False
        self._said_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case HeadersRead():
                self._read(event)
            case StageStarted():
                self._begin(stage_name(event), event.total)
            case TaskEnded():
                self._failed += event.outcome.status is TaskStatus.FAILED
                trouble = f"{self._failed} failed" if self._failed else ""
                if self._bar is not None:
                    self._bars.update(self._bar, advance=1, trouble=trouble)
            case PassSolved():
                self._say(
                    f"pass {event.pass_number}: largest movement {event.movement_px:.4f} px, "
                    f"{counted(event.n_solved, 'exposure')} solved from "
                    f"{counted(event.n_sources, 'source')}"
                )
            case Note():
                self._say(f"note: {event.text}")

    def ask_to_go_on(self, solved: PassSolved) -> bool:
        self._bars.stop()  # a live bar would write over the question
        try:
            return _answer(solved)
        finally:
            self._bars.start()

    def _read(self, event: HeadersRead) -> None:
        """Show how far the reading of headers is; in a log file, a line now and then."""
        if not self._reads:
            self._begin("headers", event.total)
            self._reads = True
        if self._bar is not None:
            rate = f"{event.done / event.seconds:.0f}/s" if event.seconds > 0 else ""
            self._bars.update(self._bar, completed=event.done, trouble=rate)
        if self._bars.disable and event.seconds - self._said_s >= _BETWEEN_LINES_S:
            self._say(event.text)
            self._said_s = event.seconds

    def _begin(self, name: str, total: int) -> None:
        self._failed, self._reads = 0, False
        if self._bar is not None:
            self._bars.remove_task(self._bar)
        self._bar = self._bars.add_task(name, total=total, trouble="")

    def _say(self, text: str) -> None:
        self._bars.console.print(text, soft_wrap=True, highlight=False, markup=False)


def stage_name(event: StageStarted) -> str:
    """Return what the bar of a stage is called; pass 0 is what is not of a pass."""
    if event.stage in BOOTSTRAP_STAGES:
        return event.stage.replace("_", " ")
    if event.pass_number == 0:
        return f"final mosaic {event.stage}"
    return f"pass {event.pass_number} {event.stage}"


def _answer(solved: PassSolved) -> bool:
    question = f"pass {solved.pass_number}: {solved.movement_px:.4f} px. Another pass? [Y/n] "
    return not ask(question).lower().startswith("n")


def result(found: RunResult, *, as_json: bool) -> None:
    """Print how a run ended."""
    if as_json:
        print_json(result_json(found))
        return
    rows = exposure_lines(found.corrections, Terminal().width)
    print_lines((*rows, "") if rows else ())
    print_lines(result_lines(found))


def plan(found: Plan, *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        print_json(plan_json(found))
    else:
        print_lines(plan_lines(found))


def submission(found: Submission, *, as_json: bool) -> None:
    """Print what became of a run that was handed in."""
    if as_json:
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
    print_lines([found.line(), f"`alignsvc status {found.directory}` shows where it stands"])


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
