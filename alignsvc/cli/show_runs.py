"""What the commands print that look at runs or end them: plain lines, or JSON and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.status import Status as Spinner

from alignsvc.cli.output import Terminal, print_json, print_lines
from alignsvc.run.explaining import Explanation
from alignsvc.run.listing import ListedRun
from alignsvc.run.status import RunStatus
from alignsvc.run.watching import Seen


class Told(Protocol):
    """Something that was done, as a sentence and as JSON values."""

    def line(self) -> str:
        """Return it in a sentence."""
        ...

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values."""
        ...


def watched(looks: Iterable[Seen], *, as_json: bool) -> RunStatus:
    """Print what is new about a run with each look; return how it stands at the last one.

    On a terminal what is being done stands below, with how far it is; elsewhere there are lines
    only. With JSON there is one object a line for each look that tells something new.
    """
    console = Terminal()
    last: RunStatus | None = None
    with _spinner(console, is_wanted=not as_json) as spinner:
        for seen in looks:
            if as_json:
                if last is None or seen.news or seen.status.standing is not last.standing:
                    print_json(seen.status.as_json())
            else:
                for line in seen.lines():
                    console.print(line, soft_wrap=True, highlight=False, markup=False)
                if spinner is not None:
                    spinner.update(seen.status.doing or seen.status.standing.value)
            last = seen.status
    assert last is not None  # there is at least one look
    return last


def _spinner(console: Console, *, is_wanted: bool) -> AbstractContextManager[Spinner | None]:
    return console.status("") if is_wanted and console.is_terminal else nullcontext()


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
        _printed([one.line() for one in found] or ["no run"])


def _printed(found: dict[str, object] | list[str]) -> None:
    if isinstance(found, dict):
        print_json(found)
    else:
        print_lines(found)
