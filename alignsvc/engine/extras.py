"""Packages that only some kinds of cluster need, imported when one of these is used."""

from __future__ import annotations

import importlib
from types import ModuleType

from alignsvc.errors import ConfigError


def extra_package(module: str, extra: str, backend: str) -> ModuleType:
    """Return a module of a package that an extra of ours installs.

    Raises
    ------
    ConfigError
        It is not installed; the sentence names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"cluster.backend: {backend} needs the package {module.partition('.')[0]} "
            f"({error}); pip install 'alignsvc[{extra}]'"
        ) from error
