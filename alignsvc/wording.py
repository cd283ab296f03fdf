"""Words for sentences: what a setting wants, read off its type, and numbers of things."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel


def wanted_words(hint: Any, described: Iterable[Any] = ()) -> str:
    """Return what a value from YAML may be.

    Parameters
    ----------
    hint : type
        The type of the setting, as written in a class: ``int | None``.
    described : iterable
        What stands beside the type in ``Annotated``: bounds, or a `description`, which are then
        the words.

    Returns
    -------
    str
        ``a whole number of at least 1 or null``.
    """
    return listed(_alternatives(hint, tuple(described)))


def listed(words: Iterable[str]) -> str:
    """Return ``a, b or c``."""
    *first, last = dict.fromkeys(words)
    return f"{', '.join(first)} or {last}" if first else last


def counted(number: int, one: str, many: str = "") -> str:
    """Return ``1 tile``, ``3 tiles``; `many` where it is more than `one` and an s."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _alternatives(hint: Any, described: Sequence[Any] = ()) -> list[str]:
    for one in described:
        if getattr(one, "description", None):
            return [one.description]
    kind, arguments = typing.get_origin(hint), typing.get_args(hint)
    if kind is Annotated:
        return _alternatives(arguments[0], (*described, *arguments[1:]))
    if kind in (types.UnionType, typing.Union):
        return [word for one in arguments for word in _alternatives(one)]
    if kind is Literal:
        return [str(value) for value in arguments]
    if kind is tuple:
        return [_list(arguments)]
    if isinstance(hint, type):
        return _of_class(hint, _bounds(described))
    return [str(hint)]


def _of_class(kind: type, bounds: str) -> list[str]:
    if kind in _PLAIN:
        return [f"{word}{bounds}" for word in _PLAIN[kind]]
    if issubclass(kind, enum.Enum):
        return [str(one.value) for one in kind]
    if issubclass(kind, BaseModel):
        return [_section(kind.model_fields)]
    if dataclasses.is_dataclass(kind):
        return [_section(field.name for field in dataclasses.fields(kind))]
    if issubclass(kind, Mapping):
        return ["keys below it"]
    return [kind.__name__]


_PLAIN: dict[type, tuple[str, ...]] = {
    types.NoneType: ("null",),
    bool: ("true", "false"),
    int: ("a whole number",),
    float: ("a number",),
    str: ("a text",),
}
_BOUNDS = {
    "gt": "above",
    "ge": "of at least",
    "lt": "below",
    "le": "of at most",
}


def _bounds(described: Iterable[Any]) -> str:
    """Return `` above 0``, for bounds as pydantic and annotated_types keep them."""
    every = [bound for one in described for bound in (one, *getattr(one, "metadata", ()))]
    said = [
        f"{word} {getattr(bound, name):g}"
        for name, word in _BOUNDS.items()
        for bound in every
        if getattr(bound, name, None) is not None
    ]
    return f" {' and '.join(said)}" if said else ""


def _list(items: tuple[Any, ...]) -> str:
    if len(items) == 2 and items[1] is Ellipsis:
        return f"a list, each item {wanted_words(items[0])}"
    return f"a list [{', '.join(wanted_words(item) for item in items)}]"


def _section(names: Iterable[str]) -> str:
    return f"keys below it ({', '.join(names)})"
