"""What the command line prints: progress while a run goes, tables when it has ended."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from alignsvc.domain.outcome import Status, TaskStatus
from alignsvc.domain.result import ExposureResult
from alignsvc.run.events import Event, Listener, Note, PassSolved, StageStarted, TaskEnded, silent
from alignsvc.run.plan import Plan
from alignsvc.run.report.summary import plan_json, plan_lines, result_json, result_lines
from alignsvc.run.result import RunResult
from alignsvc.run.status import RunStatus

#: Rows of the table of exposures that a terminal shows; the file holds all.
_ROWS_SHOWN = 40


@contextmanager
def progress(*, quiet: bool) -> Iterator[Listener]:
    """Yield a listener that shows a live bar for each stage; one that is silent if `quiet`."""
    if quiet:
        yield silent
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[trouble]}"),
    )
    with Progress(*columns, console=console) as bars:
        yield _Bars(bars)


class _Bars:
    """Turns events into bars; holds the bar of the present stage."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._bar = bars.add_task("starting", total=None, trouble="")
        self._failed = 0

    def __call__(self, event: Event) -> None:
        match event:
            case StageStarted():
                self._failed = 0
                name = (
                    f"pass {event.pass_number}  {event.stage}" if event.pass_number else event.stage
                )
                self._bars.remove_task(self._bar)
                self._bar = self._bars.add_task(name, total=event.total, trouble="")
            case TaskEnded():
                self._failed += event.outcome.status is TaskStatus.FAILED
                trouble = f"{self._failed} failed" if self._failed else ""
                self._bars.update(self._bar, advance=1, trouble=trouble)
            case PassSolved():
                self._bars.console.print(
                    f"pass {event.pass_number}: largest movement {event.movement_px:.4f} px, "
                    f"{event.n_solved} exposures solved from {event.n_sources} sources"
                )
            case Note():
                self._bars.console.print(f"note: {event.text}", soft_wrap=True)


def ask_to_go_on(solved: PassSolved) -> bool:
    """Ask after a pass whether to go on; anything but no is yes."""
    question = f"pass {solved.pass_number}: {solved.movement_px:.4f} px. Another pass? [Y/n] "
    print(question, end="", file=sys.stderr, flush=True)  # noqa: T201 - a dialogue
    return not sys.stdin.readline().strip().lower().startswith("n")


def result(found: RunResult, *, as_json: bool) -> None:
    """Print how a run ended."""
    if as_json:
        _json(result_json(found))
        return
    Console().print(_exposures(found.corrections))
    _lines(result_lines(found))


def plan(found: Plan, *, as_json: bool) -> None:
    """Print what a run would do."""
    if as_json:
        _json(plan_json(found))
    else:
        _lines(plan_lines(found))


def status(found: RunStatus, *, as_json: bool) -> None:
    """Print where a run stands."""
    if as_json:
        _json(found.as_json())
    else:
        _lines(found.lines())


def report(found: Any, *, as_json: bool) -> None:
    """Print the report of a finished run."""
    if as_json:
        _json(found)
        return
    _lines(
        [
            f"{found['verdict']} after {len(found['passes'])} passes",
            *(f"{n} {status}" for status, n in found["counts"].items() if n),
            *(f"  {row['message']}" for row in found["exposures"] if row["message"]),
            f"page: {found['directory']}/report.html",
        ]
    )


def _lines(lines: Sequence[str]) -> None:
    console = Console()
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def written(paths: Sequence[Path]) -> None:
    """Print which files were written."""
    for path in paths:
        Console().print(str(path), soft_wrap=True, highlight=False, markup=False)


def _json(summary: object) -> None:
    print(json.dumps(summary))  # noqa: T201


def _exposures(results: Sequence[ExposureResult]) -> Table:
    table = Table(title=None, box=None, header_style="bold")
    for name in ("exposure", "status", "reason", "verdict"):
        table.add_column(name, overflow="fold")
    for name in ("shift E [arcsec]", "shift N", "rot [deg]", "sources", "rmse [px]", "move [px]"):
        table.add_column(name, justify="right")
    trouble_first = sorted(results, key=lambda r: (r.status is Status.ALIGNED, r.id))
    for row in trouble_first[:_ROWS_SHOWN]:
        table.add_row(*_row(row))
    if len(results) > _ROWS_SHOWN:
        table.add_row(f"... and {len(results) - _ROWS_SHOWN} more in corrections.ecsv")
    return table


def _row(row: ExposureResult) -> list[str]:
    head = [row.id, row.status.value, row.reason, row.verdict.value]
    if row.correction is None:
        return [*head, *[""] * 6]
    return [
        *head,
        f"{row.correction.shift[0]:+.4f}",
        f"{row.correction.shift[1]:+.4f}",
        f"{row.correction.rotation_deg:+.5f}",
        f"{row.quality.n_used}/{row.quality.n_sources}",
        f"{row.quality.rmse_px:.4f}",
        f"{row.last_move_px:.4f}",
    ]
