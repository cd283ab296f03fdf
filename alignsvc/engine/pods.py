"""Kubernetes manifests of a dask cluster and of a driver: pure functions of settings.

Secrets are named, never held: what a pod needs of them it gets from Kubernetes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from alignsvc.engine.worker_environment import spawned_environment, worker_environment

Manifest: TypeAlias = dict[str, Any]

#: Where the certificates of a secret of type ``kubernetes.io/tls`` lie in every pod.
TLS_FOLDER = "/etc/alignsvc/tls"
CA_FILE, CERT_FILE, KEY_FILE = (f"{TLS_FOLDER}/{name}" for name in ("ca.crt", "tls.crt", "tls.key"))

SCHEDULER_PORT = 8786
_PAGES_PORT = 8787
#: A cluster whose driver died ends by itself.
_IDLE_S = 1800
#: What the operator asks a scheduler, to take away workers that have nothing to do: plain HTTP.
_ROUTES = (
    *("distributed.http.scheduler.info", "distributed.http.scheduler.json"),
    *("distributed.http.scheduler.api", "distributed.http.health"),
    "distributed.http.scheduler.prometheus",
)
#: Exit codes of a driver after which another try makes no sense: the run has ended or was
#: cancelled, or the configuration is wrong. 3 (store or workers not to be had) and kills are tried
#: again.
_FINAL = (1, 2, 4, 5, 130)


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim that is mounted in every pod, so that all see the same files under the same path."""

    claim: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Pods:
    """What all pods of a run have in common.

    Parameters
    ----------
    image : str
    environment : mapping
    secrets : tuple of str
        Secrets whose keys become variables of the environment.
    volumes : tuple of Volume
    node_selector : mapping
    pull_secrets : tuple of str
        Secrets for the registry of the image.
    tls_secret : str or None
        Holds ``ca.crt``, ``tls.crt`` and ``tls.key``; None = no encryption.
    preload : tuple of str
        Modules that the scheduler loads: what shows the run.
    """

    image: str
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    volumes: tuple[Volume, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: tuple[str, ...] = ()
    tls_secret: str | None = None
    preload: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Need:
    """What a container gets: not less, not more."""

    cpu: str
    memory: str


def dask_cluster(name: str, pods: Pods, workers: int, need: Need, scheduler: Need) -> Manifest:
    """Return a `DaskCluster` for the operator of dask-kubernetes.

    Parameters
    ----------
    name : str
        At most 53 lower-case letters, digits and hyphens.
    pods : Pods
    workers : int
        To begin with.
    need, scheduler : Need
        Of each worker, and of the scheduler.
    """
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name, "labels": _labels()},
        "spec": {
            "idleTimeout": _IDLE_S,
            "worker": {
                "replicas": workers,
                "spec": _pod(pods, _worker(name, pods, need)),
            },
            "scheduler": {
                "spec": _pod(pods, _scheduler(pods, scheduler)),
                "service": _service(name),
            },
        },
    }


def autoscaler(cluster: str, minimum: int, maximum: int) -> Manifest:
    """Return a `DaskAutoscaler`: as many workers as there are tasks for."""
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskAutoscaler",
        "metadata": {"name": cluster, "labels": _labels()},
        "spec": {"cluster": cluster, "minimum": minimum, "maximum": maximum},
    }


def driver_job(name: str, pods: Pods, command: list[str], need: Need, account: str) -> Manifest:
    """Return a `Job` whose pod is a driver; Kubernetes starts it anew where its node dies.

    Parameters
    ----------
    name : str
    pods : Pods
    command : list of str
        What it runs: ``alignsvc resume WHERE``, which goes on where the journal ends.
    need : Need
    account : str
        Service account that may make clusters (``deploy/kubernetes/rbac.yaml``).
    """
    container = {
        **_container("driver", pods, command, need),
        "env": _environment(pods.environment),
    }
    template = {
        "metadata": {"labels": {**_labels(), "app.kubernetes.io/component": "driver"}},
        "spec": {
            **_pod(pods, container),
            "restartPolicy": "Never",
            "serviceAccountName": account,
            "automountServiceAccountToken": True,
            # The lease is given back, workers are let go.
            "terminationGracePeriodSeconds": 60,
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": _labels()},
        "spec": {
            "backoffLimit": 6,
            "podFailurePolicy": {
                # The first that fits: a node that is drained is nobody's fault.
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "driver",
                            "operator": "In",
                            "values": list(_FINAL),
                        },
                    },
                ]
            },
            "ttlSecondsAfterFinished": 7 * 86400,
            "template": template,
        },
    }


def owned_secret(name: str, owner: Manifest, content: Mapping[str, str]) -> Manifest:
    """Return a secret that goes with the object whose it is; `owner` as Kubernetes returned it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": _labels(),
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": owner["metadata"]["name"],
                    "uid": owner["metadata"]["uid"],
                }
            ],
        },
        "type": "Opaque",
        "stringData": dict(content),
    }


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": "alignsvc"}


def _environment(variables: Mapping[str, str]) -> list[dict[str, str]]:
    # Nobody has a home there, and only /tmp can be written to.
    every = {"HOME": "/tmp", **variables}
    return [{"name": name, "value": value} for name, value in sorted(every.items())]


def _tls_options(pods: Pods) -> list[str]:
    if pods.tls_secret is None:
        return []
    files = {"--tls-ca-file": CA_FILE, "--tls-cert": CERT_FILE, "--tls-key": KEY_FILE}
    return [word for pair in files.items() for word in pair]


def _protocol(pods: Pods) -> str:
    return "tcp" if pods.tls_secret is None else "tls"


def _scheduler(pods: Pods, need: Need) -> Manifest:
    command = [
        *("dask", "scheduler", "--protocol", _protocol(pods)),
        *("--port", str(SCHEDULER_PORT), "--dashboard-address", f":{_PAGES_PORT}"),
        *(word for module in pods.preload for word in ("--preload", module)),
        *_tls_options(pods),
    ]
    health = {"httpGet": {"path": "/health", "port": "http-dashboard"}}
    variables = {
        **worker_environment(),
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": str(list(_ROUTES)),
    }
    return {
        **_container("scheduler", pods, command, need),
        "env": _environment({**variables, **pods.environment}),
        "ports": [
            {"name": "tcp-comm", "containerPort": SCHEDULER_PORT, "protocol": "TCP"},
            {"name": "http-dashboard", "containerPort": _PAGES_PORT, "protocol": "TCP"},
        ],
        "readinessProbe": {**health, "periodSeconds": 2, "timeoutSeconds": 10},
        "livenessProbe": {**health, "initialDelaySeconds": 30, "periodSeconds": 30},
    }


def _worker(cluster: str, pods: Pods, need: Need) -> Manifest:
    command = [
        *("dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--protocol", _protocol(pods)),
        *("--nthreads", "1", "--memory-limit", need.memory, "--local-directory", "/tmp"),
        *("--no-dashboard", "--death-timeout", "600"),
        *_tls_options(pods),
    ]
    # The operator would say tcp://.
    address = f"{_protocol(pods)}://{cluster}-scheduler:{SCHEDULER_PORT}"
    variables = {**worker_environment(), "DASK_SCHEDULER_ADDRESS": address, **pods.environment}
    return {
        **_container("worker", pods, command, need),
        # For the nanny to give to the worker's process, before numpy is there.
        "env": _environment(
            {**variables, "DASK_DISTRIBUTED__NANNY__PRE_SPAWN_ENVIRON": str(spawned_environment())}
        ),
    }


def _container(name: str, pods: Pods, command: list[str], need: Need) -> Manifest:
    size = {"cpu": need.cpu, "memory": need.memory}
    mounts: list[Manifest] = [{"name": "scratch", "mountPath": "/tmp"}]
    if pods.tls_secret is not None:
        mounts.append({"name": "tls", "mountPath": TLS_FOLDER, "readOnly": True})
    for volume in pods.volumes:
        mount: Manifest = {"name": volume.claim, "mountPath": volume.path}
        mounts.append({**mount, "readOnly": True} if volume.read_only else mount)
    return {
        "name": name,
        "image": pods.image,
        "command": command,
        "envFrom": [{"secretRef": {"name": secret}} for secret in pods.secrets],
        "resources": {"requests": size, "limits": dict(size)},
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _pod(pods: Pods, container: Manifest) -> Manifest:
    volumes: list[Manifest] = [{"name": "scratch", "emptyDir": {}}]
    if pods.tls_secret is not None:
        secret = {"secretName": pods.tls_secret, "defaultMode": 0o440}
        volumes.append({"name": "tls", "secret": secret})
    claims = dict.fromkeys(volume.claim for volume in pods.volumes)
    volumes += [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    spec: Manifest = {
        "containers": [container],
        "volumes": volumes,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            # So that it can write to the volumes, and read the key.
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if pods.node_selector:
        spec["nodeSelector"] = dict(pods.node_selector)
    if pods.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in pods.pull_secrets]
    return spec


def _service(cluster: str) -> Manifest:
    return {
        "type": "ClusterIP",
        "selector": {"dask.org/cluster-name": cluster, "dask.org/component": "scheduler"},
        "ports": [
            {
                "name": name,
                "protocol": "TCP",
                "port": port,
                "targetPort": name,
            }
            for name, port in (("tcp-comm", SCHEDULER_PORT), ("http-dashboard", _PAGES_PORT))
        ],
    }
