"""Where workers come from: one file for each kind of cluster."""

from __future__ import annotations

from collections.abc import Mapping

from alignsvc.engine.base import ClusterBackend
from alignsvc.engine.security import read_security
from alignsvc.errors import NotYet
from alignsvc.registry import Registry

CLUSTERS: Registry[ClusterBackend] = Registry("cluster backend", "alignsvc.engine.clusters")

#: All backends that the public contract names.
CONTRACT = (
    *("serial", "local", "scheduler"),
    *("slurm", "pbs", "sge", "lsf", "ssh", "kubernetes", "gateway"),
)


def cluster_backend(name: str, settings: Mapping[str, object]) -> ClusterBackend:
    """Return the backend `name` with its settings.

    Raises
    ------
    NotYet
        The backend is in the public contract, but not in this version.
    ConfigError
        There is no such backend, or no such setting.
    """
    known = CLUSTERS.names()
    if name in CONTRACT and name not in known:
        raise NotYet(
            f"cluster.backend: {name} is not in this version of alignsvc, which has "
            f"{', '.join(known)}; start a scheduler there by hand and use backend: scheduler"
        )
    if "security" in settings:
        settings = {**settings, "security": read_security(settings["security"])}
    return CLUSTERS.build(name, settings)
