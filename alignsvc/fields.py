"""The names of a frozen value's fields, where values of several types are gone through alike."""

from __future__ import annotations

from dataclasses import fields, is_dataclass


def field_names(of: object) -> tuple[str, ...]:
    """Return the names of the fields of a dataclass, or of one of its values, in their order.

    Raises
    ------
    TypeError
        It is none.
    """
    if not is_dataclass(of):
        raise TypeError(f"found {of!r}, wanted a dataclass or a value of one")
    return tuple(field.name for field in fields(of))
