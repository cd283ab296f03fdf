"""Arguments and options that commands share, alone or several that belong together."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from alignsvc.io.places import run_place

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the last lines only.")]
Plain = Annotated[
    bool,
    typer.Option("--plain", help="Print lines with a time, as into a file, on a terminal too."),
]
ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML configuration.")]
# What is parsed is a `Place`: a Path, or a UrlPlace; typer knows no unions.
RunDirectory = Annotated[
    Path, typer.Argument(metavar="RUN", parser=run_place, help="The run's directory, or its URL.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override a key of the configuration."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes; all cores by default.")]
Extend = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN", parser=run_place, help="A finished run that the exposures join; only read."
    ),
]
Freeze = Annotated[
    bool, typer.Option("--freeze", help="Keep the corrections of that run: they hold the frame.")
]


@dataclass(frozen=True, slots=True)
class Output:
    """What a command prints that takes a while: how it tells of what goes on.

    Parameters
    ----------
    as_json : bool
        JSON on the standard output and nothing else, errors apart; the next two say no more then.
    is_quiet : bool
        Nothing of what goes on, and of the result what matters.
    is_plain : bool
        Lines, even where the display of a terminal could be.
    """

    as_json: AsJson = False
    is_quiet: Quiet = False
    is_plain: Plain = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is to do, besides what its file says.

    Parameters
    ----------
    given : list of str, or None
        Keys of the configuration and their values, ``a.b=c``.
    extend : Place or None
    freeze : bool
    """

    given: Overrides = None
    extend: Extend = None
    freeze: Freeze = False

    @property
    def overrides(self) -> tuple[str, ...]:
        """What is given in place of the file's."""
        return tuple(self.given or ())


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a run is carried out this time; nothing here changes a number.

    Parameters
    ----------
    workers : int or None
    confirm, new : bool
    """

    workers: Workers = None
    confirm: Annotated[bool, typer.Option(help="Ask after each pass.")] = False
    new: Annotated[bool, typer.Option(help="Replace a run of another identity.")] = False


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of each dataclass that it takes, as fields of that.

    Typer reads options off a signature, one an argument; a value of several it does not know.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {
        name: one.annotation
        for name, one in signature.parameters.items()
        if isinstance(one.annotation, type) and is_dataclass(one.annotation)
    }
    options = {name: _options(group) for name, group in groups.items()}
    plain = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in signature.parameters.items()
        if name not in groups
    ]

    @functools.wraps(command)
    def called(**given: Any) -> None:
        values = {
            name: group(**{option.name: given.pop(option.name) for option in options[name]})
            for name, group in groups.items()
        }
        command(**given, **values)

    every = [*plain, *(option for name in groups for option in options[name])]
    called.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]  # typer reads it
    return called


def _options(group: type[Any]) -> tuple[inspect.Parameter, ...]:
    """Return a parameter for each field; all have defaults."""
    hints = typing.get_type_hints(group, include_extras=True)
    return tuple(
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=one.default,
            annotation=hints[one.name],
        )
        for one in fields(group)
    )
