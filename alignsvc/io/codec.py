"""Frozen dataclasses as JSON and back, exactly, guided by the types of their fields."""

from __future__ import annotations

import hashlib
import json
import math
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
T = TypeVar("T")

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def json_from(value: object, type_: Any) -> Json:
    """Return `value`, which is of `type_`, as JSON values.

    Dataclasses become objects, tuples arrays, enums their values; floats keep every bit, those
    that JSON has no number for become ``"nan"``, ``"inf"``, ``"-inf"``.

    Parameters
    ----------
    value : dataclass, tuple, Enum, str, bool, int, float or None
    type_ : type
        Its declared type; ``X | None`` and ``tuple[X, ...]`` included.

    Raises
    ------
    TypeError
        The value is not of that type, or the type is none of these.
    """
    type_ = _present(value, type_)
    if value is None and type_ is type(None):
        return None
    if get_origin(type_) is tuple and isinstance(value, tuple):
        return [json_from(*pair) for pair in zip(value, _items(type_, len(value)), strict=True)]
    if isinstance(type_, type):
        if type_ is float and isinstance(value, float | int) and not isinstance(value, bool):
            return _json_number(float(value))
        if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
            raise TypeError(f"codec: {value!r} is not of type {type_.__name__}")
        if issubclass(type_, Enum):
            return cast(Json, cast(Enum, value).value)
        if type_ in (str, bool, int):
            return cast(Json, value)
        if is_dataclass(type_):
            hints = _field_types(type_)
            return {f.name: json_from(getattr(value, f.name), hints[f.name]) for f in fields(type_)}
    raise TypeError(f"codec: {value!r} cannot be written as {type_}")


def value_from(data: Json, type_: type[T]) -> T:
    """Return the value of `type_` that `json_from` wrote as `data`.

    Raises
    ------
    TypeError or ValueError
        The data do not spell a value of that type; fields too many or too few included.
    """
    return cast(T, _reader(cast(Any, type_))(data))


def dumps(data: Json) -> bytes:
    """Return JSON as bytes: one sequence of bytes for one value."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sealed(data: dict[str, Json]) -> bytes:
    """Return a JSON object as bytes, with a checksum of its content in the field ``checksum``."""
    checksum = hashlib.sha256(dumps(data)).hexdigest()
    return dumps({**data, "checksum": checksum})


def unsealed(content: bytes) -> dict[str, Json]:
    """Return the JSON object that `sealed` wrote, without its checksum.

    Raises
    ------
    ValueError
        Not JSON, not an object, or not byte for byte what was written.
    """
    data = json.loads(content)
    if not isinstance(data, dict):
        raise ValueError("wanted a JSON object")
    checksum = data.pop("checksum", None)
    if not isinstance(checksum, str) or checksum != _digest_without(content, checksum):
        raise ValueError("the checksum does not fit the content")
    return data


def _digest_without(content: bytes, checksum: str) -> str:
    """Return the digest of a sealed object as it was before its checksum was put in.

    The bytes are one sequence for one value: to write what they say again would only take time.
    """
    before, _, after = content.partition(b'"checksum":"%s"' % checksum.encode())
    if after.startswith(b","):
        after = after[1:]
    else:
        before = before.removesuffix(b",")
    digest = hashlib.sha256(before)
    digest.update(after)
    return digest.hexdigest()


#: What reads a value of one type.
_Reader: TypeAlias = Callable[[Any], Any]


@cache
def _reader(type_: Any) -> _Reader:
    """Return what reads values of a type; found once, since most are read by the thousand."""
    origin = get_origin(type_)
    if origin in (Union, types.UnionType):
        present = _reader(_member(type_))
        return lambda data: None if data is None else present(data)
    if origin is tuple:
        return _tuple_reader(type_)
    if type_ is float:
        return _float_from
    if isinstance(type_, type) and issubclass(type_, Enum):
        return type_
    if isinstance(type_, type) and is_dataclass(type_):
        return _dataclass_reader(type_)
    return partial(_plain_from, type_)


def _plain_from(type_: Any, data: Json) -> Any:
    if data is None and type_ is type(None):
        return None
    if type_ in (str, bool, int) and type(data) is type_:
        return data
    raise TypeError(f"wanted {type_}, found {data!r}")


def _tuple_reader(type_: Any) -> _Reader:
    members = get_args(type_)
    is_repeated = members[1:] == (Ellipsis,)
    readers = tuple(_reader(one) for one in (members[:1] if is_repeated else members))
    are_numbers = all(read is _float_from for read in readers)

    def read(data: Json) -> Any:
        if not isinstance(data, list):
            raise TypeError(f"wanted {type_}, found {data!r}")
        if not is_repeated and len(members) != len(data):
            raise ValueError(f"wanted {len(members)} items, found {len(data)}")
        if are_numbers and set(map(type, data)) == {float}:
            return tuple(data)  # as most are: corrections by the thousand
        if is_repeated:
            return tuple(map(readers[0], data))
        return tuple(item(one) for one, item in zip(data, readers, strict=True))

    return read


def _dataclass_reader(type_: Any) -> _Reader:
    hints = _field_types(type_)
    readers = {field.name: _reader(hints[field.name]) for field in fields(type_)}

    def read(data: Json) -> Any:
        if not isinstance(data, dict):
            raise TypeError(f"wanted {type_}, found {data!r}")
        if readers.keys() != data.keys():
            raise ValueError(f"{type_.__name__}: wanted fields {[*readers]}, found {sorted(data)}")
        return type_(**{name: item(data[name]) for name, item in readers.items()})

    return read


@cache
def _field_types(type_: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields; kept, since to find them is most of the work."""
    return get_type_hints(type_)


def _present(value: object, type_: Any) -> Any:
    """Return the member of ``X | None`` that `value` belongs to; any other type as it is."""
    if get_origin(type_) not in (Union, types.UnionType):
        return type_
    return type(None) if value is None else _member(type_)


def _member(type_: Any) -> Any:
    """Return X of ``X | None``."""
    members = [member for member in get_args(type_) if member is not type(None)]
    if len(members) != 1:
        raise TypeError(f"codec: of unions only X | None can be written, not {type_}")
    return members[0]


def _items(type_: Any, length: int) -> tuple[Any, ...]:
    """Return the type of each item of a tuple type."""
    members = get_args(type_)
    if len(members) == 2 and members[1] is Ellipsis:
        return (members[0],) * length
    if len(members) != length:
        raise ValueError(f"wanted {len(members)} items, found {length}")
    return members


def _json_number(number: float) -> float | str:
    return number if math.isfinite(number) else str(number)


def _float_from(data: Json) -> float:
    if isinstance(data, str) and data in _NOT_FINITE:
        return _NOT_FINITE[data]
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise TypeError(f"wanted a number, found {data!r}")
    return float(data)
