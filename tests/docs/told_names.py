"""What documents say of the package, found in them: keys, configurations, commands, names."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator

import yaml
from pydantic import BaseModel
from typer.main import get_command

import alignsvc
from alignsvc.cli.main import app
from alignsvc.config.build import build_algorithms
from alignsvc.config.load import parse_config
from alignsvc.config.schema import ClusterSection, Config, Named

#: ``alignment.method`` and the like; a setting of a plug-in may follow.
_KEY = re.compile(
    r"`((?:run|images|reference|mosaic|detection|alignment|output|cluster)\.[a-z_.]+)(?::[^`]*)?`"
)
_PLUG_IN_SETTINGS = {
    "alignment.method": {"name", "correlation", "refine", "source"},
    "mosaic.resampler": {"name", "kernel", "pixfrac"},
    "images.sky": {"name", "box", "clip_sigma", "filter_size"},
}


def keys_in(text: str) -> set[str]:
    """Return the configuration's keys that a text names in full."""
    named = {found.rstrip(".") for found in _KEY.findall(text)}
    return {key for key in named if not key.endswith((".fits", ".zarr", ".json"))}


def is_key(key: str) -> bool:
    """Return whether the configuration has such a key."""
    model: type[BaseModel] = Config
    names = key.split(".")
    for depth, name in enumerate(names):
        if model is ClusterSection:
            return True  # a backend's own
        if name not in model.model_fields:
            return False
        held = model.model_fields[name].annotation
        above = ".".join(names[: depth + 1])
        if above in _PLUG_IN_SETTINGS:
            return set(names[depth + 1 :]) <= _PLUG_IN_SETTINGS[above]
        if isinstance(held, type) and issubclass(held, BaseModel) and held is not Named:
            model = held
        elif depth + 1 < len(names):
            return False
    return True


def fenced(text: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    for part in re.split(r"^```", text, flags=re.MULTILINE)[1::2]:
        language, _, body = part.partition("\n")
        yield language.strip(), body


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return [body for found, body in fenced(text) if found == language]


def require_configuration(text: str) -> None:
    """Raise unless a text, a fragment perhaps, is a configuration that a run would take."""
    tree = yaml.safe_load(text)
    tree.setdefault("images", {}).setdefault("paths", ["data/*.fits"])
    build_algorithms(parse_config(yaml.safe_dump(tree), "a document"))


def commands_in(text: str) -> Iterator[list[str]]:
    """Yield the words of each command line of ours in the fenced blocks of a text."""
    for language, body in fenced(text):
        if language not in ("", "sh", "bash"):
            continue
        for line in body.replace("\\\n", " ").splitlines():
            if line.startswith("alignsvc "):
                yield shlex.split(line, comments=True)[1:]


def require_command(words: list[str]) -> None:
    """Raise unless there is such a command with such options; nothing is run."""
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    with command.make_context(words[0], list(words[1:])):
        pass


def names_in(code: str) -> set[str]:
    """Return the names below ``alignsvc`` that a piece of Python uses or imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and re.fullmatch(r"alignsvc[\w.]+", ast.unparse(node)):
            found.add(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alignsvc"):
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def is_name(dotted: str) -> bool:
    """Return whether a dotted name below the package can be had."""
    at: object = alignsvc
    path = "alignsvc"
    for name in dotted.split(".")[1:]:
        path = f"{path}.{name}"
        if not hasattr(at, name):
            try:
                at = importlib.import_module(path)
            except ImportError:
                return False
        else:
            at = getattr(at, name)
    return True
