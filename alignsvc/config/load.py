"""YAML to a validated `Config`; every mistake is one sentence that names the key."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from alignsvc.config.schema import Config
from alignsvc.errors import ConfigError
from alignsvc.redaction import has_credentials, redacted
from alignsvc.spelling import nearest
from alignsvc.wording import wanted_words

#: How pydantic begins what our own checks say.
_OWN = "Value error, "


def load_config(path: Path, overrides: tuple[str, ...] = ()) -> Config:
    """Return the configuration in the file at `path` with ``a.b=c`` overrides applied.

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or a key or value is wrong; all mistakes are named.
    """
    return _validated(read_yaml(path, "configuration"), f"configuration {path}", overrides)


def parse_config(text: str, name: str, overrides: tuple[str, ...] = ()) -> Config:
    """Return the configuration in YAML `text`; `name` is what messages call it."""
    where = f"configuration {name}"
    return _validated(_parsed(text, where), where, overrides)


def read_yaml(path: Path, kind: str) -> dict[str, Any]:
    """Return the keys of a YAML file; `kind` is what messages call it.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, holds no keys, or holds one twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{kind} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{kind} {path}: not text in UTF-8; wanted a YAML file") from error
    return _parsed(text, f"{kind} {path}")


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _NoKeyTwice)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {_one_line(error)}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{where}: holds a {type(tree).__name__}; wanted sections "
            f"such as 'images:' with keys below them"
        )
    return tree


class _NoKeyTwice(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {key.value!r} is given twice",
                        problem_mark=key.start_mark,
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _validated(tree: dict[str, Any], where: str, overrides: tuple[str, ...]) -> Config:
    for override in overrides:
        tree = _overridden(tree, override)
    for key, text in _texts(tree):
        if has_credentials(f"{key}={text}"):
            raise ConfigError(
                f"{where}: {redacted(f'{key}={text}')}: holds credentials, and would be kept with "
                "the run; give them in the environment, or in a file that a setting names"
            )
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        wrong = "; ".join(_sentence(*item) for item in _by_key(error.errors()).items())
        raise ConfigError(f"{where}: {wrong}") from error


def _texts(tree: object, key: str = "", above: tuple[int, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield every text below `tree`, with the path of its key.

    YAML can spell a list that holds itself: what is in `above`, by its identity, is not entered.
    """
    if isinstance(tree, str):
        yield key, tree
    elif id(tree) in above:
        return
    elif isinstance(tree, dict):
        for name, below in tree.items():
            yield from _texts(below, f"{key}.{name}" if key else str(name), (*above, id(tree)))
    elif isinstance(tree, list):
        for below in tree:
            yield from _texts(below, key, (*above, id(tree)))


def dump_config(config: Config) -> str:
    """Return the resolved configuration as YAML that `parse_config` reads back to the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _overridden(tree: dict[str, Any], override: str) -> dict[str, Any]:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: wanted section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML") from error
    return _with(tree, key.strip().split("."), parsed)


def _with(tree: dict[str, Any], keys: list[str], value: object) -> dict[str, Any]:
    if len(keys) == 1:
        return {**tree, keys[0]: value}
    below = tree.get(keys[0]) or {}
    if isinstance(below, str):
        below = {"name": below}
    if not isinstance(below, dict):
        raise ConfigError(f"--set {'.'.join(keys)}: {keys[0]!r} holds no keys")
    return {**tree, keys[0]: _with(below, keys[1:], value)}


def _by_key(errors: list[ErrorDetails]) -> dict[tuple[str, ...], list[ErrorDetails]]:
    """Group the errors by key: a union reports a mistake once per alternative."""
    grouped: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for error in errors:
        grouped.setdefault(_key_of(error), []).append(error)
    return grouped


def _key_of(error: ErrorDetails) -> tuple[str, ...]:
    """Return the path of the key, without the names pydantic gives a union's alternatives."""
    path: list[str] = []
    model: type[BaseModel] | None = Config
    last = len(error["loc"]) - 1
    for place, part in enumerate(error["loc"]):
        if model is None or not isinstance(part, str):
            continue
        unknown = error["type"] == "extra_forbidden" and place == last
        if part in model.model_fields or unknown:
            path.append(part)
            model = _section(model, part)
    return tuple(path)


def _section(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    field = model.model_fields.get(key)
    if field is None:
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _sentence(path: tuple[str, ...], errors: list[ErrorDetails]) -> str:
    key = ".".join(path)
    kinds = {error["type"] for error in errors}
    if kinds == {"extra_forbidden"}:
        return f"unknown key {key!r}{_nearest_key(path)}"
    if kinds == {"missing"} and path[-1] == errors[0]["loc"][-1]:
        return f"{key!r} is required"
    own = [error["msg"].removeprefix(_OWN) for error in errors if error["type"] == "value_error"]
    if own:
        return f"{key}: {'; or '.join(dict.fromkeys(own))}".removeprefix(": ")
    return f"{key}: wanted {_wanted(path)} (found {_found(errors)})"


def _wanted(path: tuple[str, ...]) -> str:
    """Return what a key wants, in words."""
    model: type[BaseModel] = Config
    for part in path[:-1]:
        model = _section(model, part) or model
    field = model.model_fields[path[-1]]
    return wanted_words(field.annotation, (field,))


def _found(errors: list[ErrorDetails]) -> str:
    """Return the value that does not fit, or the item of a list that does not."""
    error = min(errors, key=lambda one: len(one["loc"]))
    shown = textwrap.shorten(repr(error["input"]), 60, placeholder=" ...")
    return f"{shown} in it" if isinstance(error["loc"][-1], int) else shown


def _nearest_key(path: tuple[str, ...]) -> str:
    model: type[BaseModel] | None = Config
    for part in path[:-1]:
        model = _section(model, part) if model is not None else None
    return nearest(path[-1], list(model.model_fields) if model is not None else [])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).replace('in "<unicode string>", ', "at ")
