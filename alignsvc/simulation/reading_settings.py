"""Settings of a simulation from what a YAML file holds."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from alignsvc.errors import ConfigError
from alignsvc.fields import field_names
from alignsvc.registry import Registry
from alignsvc.simulation.distortions import DISTORTIONS
from alignsvc.simulation.layouts import LAYOUTS
from alignsvc.simulation.settings import SkySettings
from alignsvc.spelling import nearest
from alignsvc.wording import wanted_words

T = TypeVar("T")

_PLUG_INS: dict[str, Registry[Any]] = {"layout": LAYOUTS, "distortion": DISTORTIONS}


def sky_settings(mapping: Mapping[str, Any]) -> SkySettings:
    """Return settings from what a YAML file holds.

    Raises
    ------
    ConfigError
        A key that does not exist (the nearest one is named), or a value that does not fit.
    """
    return _built(SkySettings, mapping, "")


def _built(cls: type[T], mapping: object, path: str) -> T:
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"simulation: {path or 'the file'} must be a mapping, got {mapping!r}")
    hints = typing.get_type_hints(cls)
    known = field_names(cls)
    values = {}
    for key, value in mapping.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in known:
            raise ConfigError(f"simulation: unknown key {where!r}{nearest(str(key), known)}")
        values[key] = _value(hints[key], str(key), value, where)
    return cls(**values)


def _value(hint: Any, key: str, value: object, where: str) -> Any:
    if key in _PLUG_INS:
        if not isinstance(value, Mapping) or "name" not in value:
            raise ConfigError(f"simulation: {where} must be a mapping with a name, got {value!r}")
        settings = {str(k): v for k, v in value.items() if k != "name"}
        try:
            plug_in = _PLUG_INS[key].build(str(value["name"]), settings)
        except TypeError as error:  # a value that its own checks could not even compare
            raise ConfigError(f"simulation: {where} is {settings}; {error}") from error
        # The registry checks the names; the values are then checked against the fields' types.
        return _checked(plug_in, where)
    if dataclasses.is_dataclass(hint):
        return _built(typing.cast("type[Any]", hint), value, where)
    return _leaf(hint, value, where)


def _checked(plug_in: Any, where: str) -> Any:
    hints = typing.get_type_hints(type(plug_in))
    for name in field_names(plug_in):
        _leaf(hints[name], getattr(plug_in, name), f"{where}.{name}")
    return plug_in


def _leaf(hint: Any, value: object, where: str) -> Any:
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise ConfigError(
            f"simulation: {where} is {value!r}; wanted {wanted_words(hint)}"
        ) from error
