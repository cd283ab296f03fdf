"""Packages and programs that only some kinds of cluster need, looked for when one is used."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
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
        raise ConfigError(_no_package(module, extra, backend, f" ({error})")) from error


def missing_package(module: str, extra: str, backend: str) -> tuple[str, ...]:
    """Return a sentence on a package that is not installed, or nothing; it is not imported."""
    if importlib.util.find_spec(module) is not None:
        return ()
    return (_no_package(module, extra, backend, ", which is not installed"),)


def missing_programs(names: tuple[str, ...], backend: str) -> tuple[str, ...]:
    """Return a sentence on those programs that are not on PATH, or nothing."""
    missing = [name for name in names if shutil.which(name) is None]
    if not missing:
        return ()
    return (
        f"cluster.backend: {backend}: there is no {', '.join(missing)} here; wanted a machine "
        f"where jobs can be submitted, with {'it' if len(missing) == 1 else 'them'} on PATH",
    )


def _no_package(module: str, extra: str, backend: str, why: str) -> str:
    return (
        f"cluster.backend: {backend} needs the package {module.partition('.')[0]}{why}; "
        f"pip install 'alignsvc[{extra}]'"
    )
