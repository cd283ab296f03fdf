"""Where workers come from: one file for each kind of cluster."""

from __future__ import annotations

from collections.abc import Mapping

from alignsvc.engine.base import ClusterBackend, NeedsMore
from alignsvc.engine.security import read_security
from alignsvc.errors import ConfigError
from alignsvc.registry import Registry

CLUSTERS: Registry[ClusterBackend] = Registry("cluster backend", "alignsvc.engine.clusters")


def cluster_backend(name: str, settings: Mapping[str, object]) -> ClusterBackend:
    """Return the backend `name` with its settings.

    Raises
    ------
    ConfigError
        There is no such backend, or no such setting.
    """
    if "security" in settings:
        settings = {**settings, "security": read_security(settings["security"])}
    return CLUSTERS.build(name, settings)


def missing_here(backend: ClusterBackend) -> tuple[str, ...]:
    """Return a sentence on each package and program that `backend` needs and this machine lacks.

    A run could not be driven from here then, nor be submitted.
    """
    return backend.missing_here() if isinstance(backend, NeedsMore) else ()


def require_here(backend: ClusterBackend) -> None:
    """Raise ConfigError if this machine lacks what `backend` needs."""
    if missing := missing_here(backend):
        raise ConfigError("; ".join(missing))
