"""Runs on the clusters that we ask Kubernetes for, with a stand-in for Kubernetes itself."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from durable_runs import content, make_sky, write_config
from stand_in_kubernetes import HOST, NAMESPACE, StandIn, stand_in_kubernetes

from alignsvc import api
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.driver_places import DriverRun, DriverStanding, DriverState, driver_place

pytestmark = pytest.mark.cluster

SETTINGS: dict[str, Any] = {"image": "registry.example/alignsvc:0.1.0", "workers": 2}


@pytest.fixture
def kubernetes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        """Names of services, as every pod knows them."""
        known = isinstance(host, str) and host.endswith(f"-scheduler.{NAMESPACE}")
        return real(HOST if known else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with stand_in_kubernetes(tmp_path / "kubernetes") as stand_in:
        monkeypatch.setenv("KUBECONFIG", str(stand_in.folder / "config"))
        yield stand_in


def test_a_run_on_pods_gives_the_same_bits_encrypted_and_leaves_nothing(
    kubernetes: StandIn, tmp_path: Path
) -> None:
    sky = make_sky(tmp_path / "sky", count=3)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    config = write_config(
        tmp_path / "pods.yaml", sky, cluster={"backend": "kubernetes", **SETTINGS}
    )
    assert content(api.align(config).directory) == wanted
    assert [command[1] for command in kubernetes.commands] == ["scheduler", "worker", "worker"]
    assert all("--tls-cert" in command for command in kubernetes.commands)
    assert kubernetes.objects == {}
    assert {kind for kind, _ in kubernetes.deleted} == {"DaskCluster", "Secret"}


def test_the_key_of_a_cluster_is_in_its_secret_alone(kubernetes: StandIn, tmp_path: Path) -> None:
    from alignsvc.engine.base import RunContext
    from alignsvc.io.objects import LocalObjects

    backend = cluster_backend("kubernetes", {**SETTINGS, "workers": 1})
    with backend(RunContext(LocalObjects(tmp_path / "run"))):
        held = {
            kind for (kind, _), one in kubernetes.objects.items() if "PRIVATE" in json.dumps(one)
        }
        assert held == {"Secret"}


def test_a_driver_is_a_job_that_is_seen_until_it_ends(kubernetes: StandIn, tmp_path: Path) -> None:
    place = driver_place("kubernetes", cluster_backend("kubernetes", SETTINGS))
    job = place.start(DriverRun("/runs/first", "run-1", tmp_path))
    made = kubernetes.objects["Job", job.id]
    (driver,) = made["spec"]["template"]["spec"]["containers"]
    assert driver["command"] == ["alignsvc", "resume", "/runs/first"]
    assert place.state_of(job) == DriverState(DriverStanding.WAITS, "no pod yet")
    made["status"] = {"active": 1, "ready": 0}
    assert place.state_of(job) == DriverState(DriverStanding.WAITS, "its pod is not ready")
    made["status"] = {"active": 1, "ready": 1}
    assert place.state_of(job) == DriverState(DriverStanding.RUNS, "its pod runs")
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    made["status"] = {"conditions": [failed]}
    assert place.state_of(job) == DriverState(DriverStanding.GONE, "Failed (BackoffLimitExceeded)")
    place.remove(job)
    assert place.state_of(job) == DriverState(DriverStanding.GONE)
    place.remove(job)  # nothing is left to do
