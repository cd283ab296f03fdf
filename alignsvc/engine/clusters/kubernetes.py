"""Workers as pods of Kubernetes, made by the operator of dask-kubernetes."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import hashlib
import re
import secrets as randomness
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml
from distributed import Client
from distributed.security import Security

from alignsvc.engine.base import RunContext
from alignsvc.engine.bounded import connected
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.dask_workers import TASK_TIMEOUT_S, DaskSettings
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.extras import missing_package
from alignsvc.engine.kubernetes_api import KubernetesApi
from alignsvc.engine.own_folder import log_folder
from alignsvc.engine.pods import (
    CA_FILE,
    CERT_FILE,
    KEY_FILE,
    SCHEDULER_PORT,
    Manifest,
    Need,
    Pods,
    Volume,
    autoscaler,
    dask_cluster,
    owned_secret,
)
from alignsvc.engine.scaling import Scaling, read_scaling
from alignsvc.engine.security import BY_DEFAULT, ClusterSecurity, temporary_certificates
from alignsvc.engine.worker_environment import require_no_secrets
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io.objects import ObjectStore

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|[KMGT]i?)?\Z")
#: Suffixes of quantities; a thousandth of a byte is allowed there, and never meant.
_BYTES = {"m": 1e-3, "": 1.0} | {
    f"{letter}{binary}": float((1024 if binary else 1000) ** power)
    for power, letter in enumerate("kMGT", 1)
    for binary in ("", "i")
}
_LOOK_S = 1.0


@CLUSTERS.register("kubernetes")
@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesBackend:
    """A dask cluster of pods that lives as long as the run.

    The driver makes a `DaskCluster`, which the operator turns into pods, and deletes it at the
    end. It has to be a pod of the same Kubernetes (`alignsvc submit` makes it one), as schedulers
    are not reached from elsewhere.

    Parameters
    ----------
    image : str
        With this package in it (``deploy/container``): for scheduler, workers and driver.
    workers : int, or mapping of minimum and maximum
        Worker pods: so many always, or as many as there are tasks for.
    namespace : str or None
        None = that of the driver's pod, or of the user's context.
    cpu, memory : str
        Of each worker, as Kubernetes writes quantities: ``"1"``, ``"4Gi"``.
    scheduler_memory, driver_memory : str
    volumes : list of mappings
        ``{claim: NAME, path: /data, read_only: true}``: in all pods under the same path.
    environment : mapping
        Variables of all pods; never secrets.
    secrets : list of str
        Names of secrets whose keys become variables of all pods.
    tls_secret : str or None
        Name of a secret with ``ca.crt``, ``tls.crt`` and ``tls.key`` that all pods use; needs no
        `security`. None = certificates are made for the run, in a secret that goes with it.
    node_selector : mapping
        Labels of the nodes that pods may be on.
    pull_secrets : list of str
        Names of secrets for the registry of the image.
    service_account : str
        Of the driver's pod: may make clusters (``deploy/kubernetes/rbac.yaml``).
    start_timeout_s : float
        How long the scheduler may take until it answers.
    queue_timeout_s : float
        How long the run waits while there is no worker at all, as where nodes have to be added.
    task_timeout_s : float
        Longest time that one task may run.
    security : ClusterSecurity
        Only ``trusted_network: true`` has a meaning here: no encryption, a network policy instead.
    """

    image: str
    workers: int | Mapping[str, int]
    namespace: str | None = None
    cpu: str = "1"
    memory: str = "4Gi"
    scheduler_memory: str = "2Gi"
    driver_memory: str = "4Gi"
    volumes: list[Mapping[str, object]] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    tls_secret: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: list[str] = field(default_factory=list)
    service_account: str = "alignsvc-driver"
    start_timeout_s: float = 300.0
    queue_timeout_s: float = 3600.0
    task_timeout_s: float = TASK_TIMEOUT_S
    security: ClusterSecurity = BY_DEFAULT

    def __post_init__(self) -> None:
        _ = self.scaling
        for key in ("cpu", "memory", "scheduler_memory", "driver_memory"):
            if not _QUANTITY.match(getattr(self, key)):
                raise ConfigError(
                    f"cluster.{key}: found {getattr(self, key)!r}, wanted a quantity of Kubernetes "
                    "in quotes, such as '1', '500m' or '4Gi'"
                )
        if self.worker_memory_bytes < 1:
            raise ConfigError(
                f"cluster.memory: found {self.memory!r}, which is less than a byte; wanted a "
                "quantity such as '4Gi'"
            )
        for key in ("namespace", "tls_secret", "service_account"):
            _require_name(getattr(self, key), f"cluster.{key}")
        for key in ("secrets", "pull_secrets"):
            for name in _listed(getattr(self, key), f"cluster.{key}"):
                _require_name(name, f"cluster.{key}")
        for key in ("environment", "node_selector"):
            _require_texts(getattr(self, key), f"cluster.{key}")
        require_no_secrets(self.environment)
        _ = self._volumes
        if self.security.has_files or self.security.temporary:
            raise ConfigError(
                "cluster.security: pods have no files of this machine; name a secret in "
                "cluster.tls_secret, or leave both out: certificates are then made for the run"
            )
        if self.security.trusted_network and self.tls_secret is not None:
            raise ConfigError("cluster: tls_secret and security.trusted_network exclude each other")

    @property
    def scaling(self) -> Scaling:
        """How many workers there may be."""
        return read_scaling(self.workers)

    @property
    def worker_memory_bytes(self) -> int:
        """What each worker may occupy: the limit of its pod."""
        number = self.memory.rstrip("kMGTim")
        return int(float(number) * _BYTES[self.memory[len(number) :]])

    @property
    def more_memory(self) -> str:
        """What gives each worker more."""
        return "cluster.memory higher"

    def pods(self, tls_secret: str | None) -> Pods:
        """Return what all pods have in common."""
        return Pods(
            image=self.image,
            environment=dict(self.environment),
            secrets=tuple(self.secrets),
            volumes=self._volumes,
            node_selector=dict(self.node_selector),
            pull_secrets=tuple(self.pull_secrets),
            tls_secret=tls_secret,
        )

    def manifest(self, cluster: str, preload: tuple[str, ...] = ()) -> Manifest:
        """Return the cluster as the operator is asked for it, whose scheduler loads modules."""
        made = None if self.security.trusted_network else f"{cluster}-tls"
        return dask_cluster(
            cluster,
            replace(self.pods(self.tls_secret or made), preload=preload),
            self.scaling.minimum,
            Need(self.cpu, self.memory),
            Need("500m", self.scheduler_memory),
        )

    def missing_here(self) -> tuple[str, ...]:
        """Return sentences on the packages that this machine lacks."""
        return missing_package("kr8s", "kubernetes", "kubernetes")

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know of these settings."""
        if not self.security.trusted_network:
            return ()
        return (
            "cluster.security.trusted_network: every pod that reaches the scheduler may run code; "
            "see that a network policy stands before it (deploy/kubernetes/network-policy.yaml)",
        )

    def logs_of(self, objects: ObjectStore, run_id: str) -> Path:
        """Return the directory for the output of jobs; that of pods is with Kubernetes."""
        return log_folder(objects, run_id)

    def worker_script(self, run_id: str, logs: Path) -> str:
        """Return the manifest of the cluster; names end in what is drawn anew each time."""
        return yaml.safe_dump(self.manifest(f"{cluster_name(run_id)}-000000"), sort_keys=False)

    def __call__(self, context: RunContext) -> DaskExecutor:
        """Make the cluster and return the executor that uses it.

        Raises
        ------
        ConfigError
            Kubernetes is not reached from here, has no operator, or forbids it.
        TransientError
            The scheduler did not start in time.
        """
        api = KubernetesApi(self.namespace)
        # A driver before this one may have left its cluster: that ends by itself.
        name = f"{cluster_name(context.run_id)}-{randomness.token_hex(3)}"
        closing = ExitStack()
        try:
            made = api.create(self.manifest(name, context.preload))
            closing.callback(api.delete, made)
            security = self._trust(api, made)
            if self.scaling.is_adaptive:
                scaler = api.create(autoscaler(name, self.scaling.minimum, self.scaling.maximum))
                closing.callback(api.delete, scaler)
            self._wait_for_operator(api, made)
            client = self._connected(f"{name}-scheduler.{api.namespace}", security)
            settings = DaskSettings(
                task_timeout_s=self.task_timeout_s, no_worker_timeout_s=self.queue_timeout_s
            )
            return DaskExecutor(client, context, settings, closing.close)
        except BaseException:
            closing.close()
            raise

    def _trust(self, api: KubernetesApi, cluster: Manifest) -> Security:
        """Return what this process shows the scheduler; make the pods' certificates if need be."""
        if self.security.trusted_network:
            return Security()
        if self.tls_secret is not None:
            # `submit` mounts it in the driver's pod where the others have it.
            return ClusterSecurity(CA_FILE, CERT_FILE, KEY_FILE).of_own("kubernetes")
        here = temporary_certificates()
        mine = here.get_tls_config_for_role("worker")
        content = {"ca.crt": mine["ca_file"], "tls.crt": mine["cert"], "tls.key": mine["key"]}
        # It goes when the cluster goes, also where this driver does not live to see that.
        api.create(owned_secret(f"{cluster['metadata']['name']}-tls", cluster, content))
        return here

    def _wait_for_operator(self, api: KubernetesApi, cluster: Manifest) -> None:
        last_s = time.monotonic() + self.start_timeout_s
        while (phase := api.refreshed(cluster).get("status", {}).get("phase")) != "Running":
            if time.monotonic() > last_s:
                found = f"its phase is {phase!r}" if phase else "nobody has taken it up"
                raise TransientError(
                    f"kubernetes: DaskCluster {cluster['metadata']['name']} does not run after "
                    f"{self.start_timeout_s:g} s, {found}; see `kubectl describe daskcluster` and "
                    "its pods, and that the operator of dask-kubernetes runs; then resume"
                )
            time.sleep(_LOOK_S)

    def _connected(self, host: str, security: Security) -> Client:
        protocol = "tls" if security.require_encryption else "tcp"
        address = f"{protocol}://{host}:{SCHEDULER_PORT}"
        try:
            return connected(address, self.start_timeout_s, security)
        except (OSError, TimeoutError) as error:
            raise TransientError(
                f"kubernetes: no answer from {address} ({error}); the driver has to be a pod of "
                "the same Kubernetes: hand the run in with `alignsvc submit`"
            ) from error

    @property
    def _volumes(self) -> tuple[Volume, ...]:
        known = {one.name for one in fields(Volume)}
        found = []
        for volume in _listed(self.volumes, "cluster.volumes"):
            if (
                not isinstance(volume, Mapping)
                or not {"claim", "path"} <= set(volume) <= known
                or not str(volume["path"]).startswith("/")
                or not isinstance(volume.get("read_only", False), bool)
            ):
                raise ConfigError(
                    f"cluster.volumes: found {volume!r}, wanted {{claim: NAME, path: /data}}, and "
                    "read_only: true if nothing is written there"
                )
            _require_name(volume["claim"], "cluster.volumes")
            read_only = bool(volume.get("read_only", False))
            found.append(Volume(str(volume["claim"]), str(volume["path"]), read_only))
        return tuple(found)


def cluster_name(run_id: str) -> str:
    """Return how names of what belongs to a run begin; Kubernetes takes few characters."""
    return f"alignsvc-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def _listed(found: object, key: str) -> list[Any]:
    if not isinstance(found, list):
        raise ConfigError(f"{key}: found {found!r}, wanted a list")
    return found


def _require_name(found: object, key: str) -> None:
    if found is not None and not (isinstance(found, str) and _NAME.match(found)):
        raise ConfigError(
            f"{key}: found {found!r}, wanted a name of Kubernetes: lower-case letters, digits, "
            "hyphens and dots"
        )


def _require_texts(found: object, key: str) -> None:
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in found.items()
    ):
        raise ConfigError(f"{key}: found {found!r}, wanted texts by name, numbers in quotes")
