"""What the commands print that look at runs or end them: plain lines, or JSON and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from alignsvc.cli.displays import display
from alignsvc.cli.driven import say_entry
from alignsvc.cli.options import Output
from alignsvc.cli.output import Terminal, print_json, print_lines
from alignsvc.io.journal import Cancelled, Cleaned, Finished, LoopEnded, Retried, Solved
from alignsvc.io.journal_store import Entry
from alignsvc.run.status.explaining import Explanation
from alignsvc.run.status.listing import ListedRun, run_lines
from alignsvc.run.status.run_status import RunStanding, RunStatus
from alignsvc.run.status.standing_now import driver_time_s
from alignsvc.run.status.watching import Seen


class Told(Protocol):
    """Something that was done, as a sentence and as JSON values."""

    def line(self) -> str:
        """Return it in a sentence."""
        ...

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        ...


def watched(looks: Iterable[Seen], output: Output) -> RunStatus:
    """Print what is new about a run with each look; return how it stands at the last one.

    On a terminal what is being done stands below, with how far it is. With JSON there is one object
    a line for each look that tells something new. Quietly, the last look is told alone. Of a run
    that goes on no more when it is first looked at, passes and its end are told.
    """
    last: RunStatus | None = None
    with display(Terminal(), output) as shown:
        for seen in looks:
            if output.as_json and (last is None or _is_news(seen, last)):
                print_json(seen.status.as_json())
            waits, is_over = _waits(seen.status), not seen.status.standing.is_going
            if waits and waits != (last and _waits(last)):
                shown.say(waits)
            for entry in _what_is_left(seen.news) if last is None and is_over else seen.news:
                say_entry(shown, entry, seen.progress)
            shown.show(seen.progress, driver_time_s(seen.status))
            last = seen.status
    assert last is not None  # there is at least one look
    if output.is_quiet and not output.as_json and last.state.is_finished:
        print_lines(last.lines()[:1])
    return last


def _what_is_left(entries: Sequence[Entry]) -> list[Entry]:
    """Return what a journal says of the last loop's passes, and of how the run ended."""
    anew = [k for k, entry in enumerate(entries) if isinstance(entry.event, Retried | Cleaned)]
    last = entries[anew[-1] :] if anew else entries
    return [one for one in last if isinstance(one.event, Solved | LoopEnded | Finished | Cancelled)]


def _waits(status: RunStatus) -> str:
    """Return what a run waits for that nobody drives; empty if it does not."""
    is_waiting = status.standing in (RunStanding.NEVER_BEGUN, RunStanding.QUEUED)
    return status.lines()[0] if is_waiting else ""


def _is_news(seen: Seen, last: RunStatus) -> bool:
    """Return whether a look tells what the last one did not: where it stands, or how far it is."""
    status = seen.status
    return bool(seen.news) or (status.standing, status.progress) != (last.standing, last.progress)


def told(found: Told, *, as_json: bool) -> None:
    """Print what was done."""
    _printed(found.as_json() if as_json else [found.line()])


def explained(found: Explanation, *, as_json: bool) -> None:
    """Print all that happened to an exposure."""
    _printed(found.as_json() if as_json else found.lines())


def listed(found: Sequence[ListedRun], *, as_json: bool) -> None:
    """Print the runs that were found."""
    if as_json:
        _printed({"runs": [one.as_json() for one in found]})
    else:
        _printed(run_lines(found) or ["no run"])


def _printed(found: dict[str, object] | list[str]) -> None:
    if isinstance(found, dict):
        print_json(found)
    else:
        print_lines(found)
