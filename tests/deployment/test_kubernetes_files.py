"""Manifests: as Kubernetes and the operator want them, and what the code itself would ask for."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from kubernetes_checks import RefusedError, check

from alignsvc.config.load import load_config
from alignsvc.engine.clusters.kubernetes import KubernetesBackend
from alignsvc.engine.driver_places import DriverRun, driver_place
from alignsvc.engine.pods import autoscaler, owned_secret
from alignsvc.engine.worker_environment import ARITHMETIC
from alignsvc.run.seeing import SCHEDULER_PAGE

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {FOLDER / "run.yaml"})


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files say nothing of which kernels of linear algebra this very machine has."""
    for name in os.environ:
        if name.startswith(ARITHMETIC):
            monkeypatch.delenv(name)


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def backend(**changes: object) -> KubernetesBackend:
    settings = load_config(FOLDER / "run.yaml").cluster.settings
    return KubernetesBackend(**{**settings, **changes})


EVERY = [(file.name, manifest) for file in FILES for manifest in read(file.name)]
NAMES = [f"{file}-{manifest['kind']}-{manifest['metadata']['name']}" for file, manifest in EVERY]


@pytest.mark.parametrize(("file", "manifest"), EVERY, ids=NAMES)
def test_every_manifest_is_right(file: str, manifest: dict[str, Any]) -> None:
    check(manifest)


@pytest.mark.parametrize(("file", "manifest"), EVERY, ids=NAMES)
def test_a_broken_copy_is_refused(file: str, manifest: dict[str, Any]) -> None:
    broken = copy.deepcopy(manifest)
    inner = next(key for key in ("spec", "rules", "roleRef", "metadata") if key in broken)
    where = broken[inner][0] if isinstance(broken[inner], list) else broken[inner]
    where["replicsa"] = 3
    with pytest.raises(RefusedError, match="replicsa"):
        check(broken)


def test_a_wrong_value_deep_in_a_pod_is_refused_by_the_operators_schema() -> None:
    (cluster,) = read("cluster.yaml")
    cluster["spec"]["worker"]["spec"]["containers"][0]["ports"] = [{"containerPort": "many"}]
    with pytest.raises(RefusedError, match=r"spec\.worker\.spec\.containers\.0\.ports"):
        check(cluster)


def test_the_driver_of_the_file_is_the_one_that_submit_makes() -> None:
    place = driver_place("kubernetes", backend())
    run = DriverRun("/runs/first", "0000", Path("/runs/first/logs"))
    assert read("driver-job.yaml") == [yaml.safe_load(place.script(run))]


def test_the_cluster_that_stands_is_made_as_those_of_runs_are() -> None:
    wanted = backend(workers=4, tls_secret="alignsvc-tls").manifest("alignsvc", (SCHEDULER_PAGE,))
    wanted["spec"]["idleTimeout"] = 0  # it stands
    assert read("cluster.yaml") == [wanted]


def test_what_a_driver_makes_is_right_and_what_its_account_may_make() -> None:
    cluster = backend().manifest("alignsvc-1-2")
    owner = {**cluster, "metadata": {**cluster["metadata"], "uid": "1"}}
    made = [cluster, autoscaler("alignsvc-1-2", 0, 20), owned_secret("a", owner, {"ca.crt": "x"})]
    (role,) = (one for one in read("rbac.yaml") if one["kind"] == "Role")
    may_make = {
        (group, resource)
        for rule in role["rules"]
        if "create" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    for manifest in made:
        check(manifest)
        group = manifest["apiVersion"].rpartition("/")[0]
        assert (group, f"{manifest['kind'].lower()}s") in may_make
    (account,) = (one for one in read("rbac.yaml") if one["kind"] == "ServiceAccount")
    assert account["metadata"]["name"] == backend().service_account


def pods() -> list[dict[str, Any]]:
    (cluster,) = read("cluster.yaml")
    (job,) = read("driver-job.yaml")
    parts = [cluster["spec"][part]["spec"] for part in ("scheduler", "worker")]
    return [*parts, job["spec"]["template"]["spec"]]


def test_no_pod_is_root_or_may_become_more_than_it_is() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["readOnlyRootFilesystem"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"] == container["resources"]["requests"]


def test_all_pods_see_the_same_files_that_the_volumes_are_for() -> None:
    mounted = [
        {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]} for pod in pods()
    ]
    claims = {one["metadata"]["name"] for one in read("volumes.yaml")}
    seen = [{name: path for name, path in one.items() if name in claims} for one in mounted]
    assert seen[0] == seen[1] == seen[2] == {"alignsvc-data": "/data", "alignsvc-runs": "/runs"}


def test_a_driver_that_was_cancelled_or_has_ended_is_not_started_again() -> None:
    (job,) = read("driver-job.yaml")
    first, second = job["spec"]["podFailurePolicy"]["rules"]
    assert first["action"] == "Ignore"  # drained nodes, before what their signal looks like
    assert second["action"] == "FailJob"
    assert second["onExitCodes"]["values"] == [1, 2, 4, 5, 130]
