"""Where workers come from: one file for each kind of cluster."""

from __future__ import annotations

from collections.abc import Mapping

from alignsvc.engine.base import ClusterBackend
from alignsvc.engine.security import read_security
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
