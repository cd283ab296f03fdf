"""Options that commands share which take a while: how they tell of what goes on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the last lines only.")]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Print lines with a time, as into a file, on a terminal too."),
]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints.

    Parameters
    ----------
    as_json : bool
        JSON on the standard output and nothing else, errors apart; the next two say no more then.
    is_quiet : bool
        Nothing of what goes on, and of the result what matters.
    is_plain : bool
        Lines, even where the display of a terminal could be.
    """

    as_json: bool = False
    is_quiet: bool = False
    is_plain: bool = False


def with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an `Output`, which it takes as its argument ``output``.

    Typer reads options off a signature, one an argument; a value of several it does not know.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.name != "output"]

    @functools.wraps(command)
    def called(as_json: bool, quiet: bool, plain: bool, **given: object) -> None:
        command(**given, output=Output(as_json, quiet, plain))

    called.__signature__ = signature.replace(parameters=[*own, *_OPTIONS])  # type: ignore[attr-defined]
    return called


_OPTIONS = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=option)
    for name, option in (("as_json", AsJson), ("quiet", Quiet), ("plain", Plain))
)
