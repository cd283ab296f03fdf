"""What is told of a run that is driven elsewhere: what is new, what it waits for, how it ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from going_runs import CREATED, ENDED, FAILED, entries, going

from alignsvc.cli import show_runs
from alignsvc.cli.options import Output
from alignsvc.domain.outcome import ExitCode
from alignsvc.engine.driver_places import DriverStanding, DriverState
from alignsvc.io import journal
from alignsvc.io.driver_record import DriverRecord
from alignsvc.io.lease import LeaseOwner
from alignsvc.run.status.progress import RunProgress
from alignsvc.run.status.run_status import RunStatus
from alignsvc.run.status.submitted_driver import SubmittedDriver
from alignsvc.run.status.watching import Seen

OWNER = LeaseOwner("elsewhere", 1, "1")


def seen(
    progress: RunProgress, *news: journal.Event, driver: SubmittedDriver | None = None
) -> Seen:
    """Return a look at a run of which that is new."""
    progress = progress.read_on(entries(news, progress.view.n_entries + 1, 100.0))
    owner = OWNER if driver is None else None
    status = RunStatus(
        Path("/runs/a"),
        progress.view.state,
        owner,
        stage=progress.view.stage,
        progress=progress.done,
        submitted=driver,
    )
    return Seen(status, tuple(entries(news, 1, 100.0)), progress)


def waits(words: str) -> SubmittedDriver:
    """Return a driver that waits for its turn."""
    record = DriverRecord("slurm", "17", "logs", 1.0)
    return SubmittedDriver(record, False, DriverState(DriverStanding.WAITS, words))


LOOKS = (
    seen(RunProgress(), driver=waits("PENDING (Resources)")),
    seen(RunProgress(), driver=waits("PENDING (Resources)")),
    seen(RunProgress(), driver=waits("PENDING (Priority)")),
    seen(RunProgress(), CREATED, journal.DriverStarted(1, "process 1 on elsewhere")),
    seen(going(3)),
    seen(going(3)),
    seen(going(4)),
    seen(going(48), journal.Finished(0)),
)


def test_a_log_has_each_thing_once_with_the_time_when_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = show_runs.watched(LOOKS, Output())
    assert last.state.exit_code == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1].removeprefix("/runs/a: ") for line in lines] == [
        "queued as slurm job 17: PENDING (Resources)",
        "queued as slurm job 17: PENDING (Priority)",
        "driven by process 1 on elsewhere",
        "ended, exit 0",
    ]
    assert lines[-1].startswith("1970-01-01T00:01:40Z ")


def test_of_a_run_that_is_over_passes_and_the_end_are_told_and_not_each_event(
    capsys: pytest.CaptureFixture[str],
) -> None:
    solved = (journal.PassStarted(1, True), journal.Solved(1, "t", "d", 0.9, 2), FAILED)
    first = (CREATED, journal.DriverStarted(1, "process 1 on elsewhere"), *solved)
    again = journal.Retried(("b",), "ab" * 20, CREATED.parts)
    news = (*first, again, *solved, *ENDED)
    show_runs.watched([seen(RunProgress(eps_shift_px=0.003), *news)], Output())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "pass 1: largest movement 0.9000 px (eps_shift 0.003), 2 exposures",
        "loop ended: converged",
        "ended, exit 1",
    ]


def test_json_has_an_object_a_line_for_each_look_with_news(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_runs.watched(LOOKS, Output(as_json=True))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["standing"] for one in told] == [
        *("queued", "running", "running", "running", "finished")
    ]
    assert [one["stage"] and one["stage"]["ended"] for one in told] == [None, None, 3, 4, None]


def test_quietly_it_is_told_how_it_ended_and_nothing_of_a_run_that_did_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_runs.watched(LOOKS, Output(is_quiet=True))
    assert capsys.readouterr().out == "/runs/a: ended, exit 0\n"
    show_runs.watched(LOOKS[:-1], Output(is_quiet=True))
    assert capsys.readouterr() == ("", "")  # the command itself says why it stops
