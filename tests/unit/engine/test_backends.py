"""Backends are found by name; their settings are checked before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.config
import pytest

from alignsvc.engine.base import KnowsItsMemory, RunContext, ShownPages
from alignsvc.engine.clusters import CLUSTERS, cluster_backend
from alignsvc.engine.clusters.local import LocalBackend
from alignsvc.engine.serial import SerialExecutor
from alignsvc.engine.worker_environment import DASK_SETTINGS, KEEP_NANNIES
from alignsvc.errors import ConfigError
from alignsvc.io.objects import LocalObjects


def test_by_default_only_this_machine_can_reach_it() -> None:
    assert LocalBackend().interface == "127.0.0.1"


def test_serial_needs_no_cluster(tmp_path: Path) -> None:
    executor = cluster_backend("serial", {})(RunContext(LocalObjects(tmp_path)))
    assert isinstance(executor, SerialExecutor)
    assert (executor.workers, executor.pages) == (1, ShownPages())


def test_every_backend_of_the_contract_is_there() -> None:
    assert set(CLUSTERS.names()) == {
        *("serial", "local", "scheduler"),
        *("slurm", "pbs", "sge", "lsf", "ssh", "kubernetes", "gateway"),
    }


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("scheduler", {}, "wanted either address"),
        ("scheduler", {"scheduler_file": "scheduler.json"}, "wanted an absolute path"),
        ("ssh", {}, "setting hosts is required"),
        ("ssh", {"hosts": "node1"}, "cluster.hosts: found 'node1', wanted a list"),
        ("ssh", {"hosts": ["a"], "workers": 0}, "cluster.workers: found 0"),
        ("kubernetes", {"image": "a", "workers": 0}, "cluster.workers: found 0"),
        ("kubernetes", {"image": "a", "workers": 1, "memory": "4 GiB"}, "cluster.memory: found"),
        ("kubernetes", {"image": "a", "workers": 1, "memory": "500m"}, "less than a byte"),
        ("ssh", {"hosts": ["a"], "memory_limit": "much"}, "cluster.memory_limit: found 'much'"),
        ("kubernetes", {"image": "a", "workers": 1, "volumes": [{"claim": "b"}]}, "volumes: found"),
        ("kubernetes", {"image": "a", "workers": 1, "secrets": ["A b"]}, "wanted a name of Kube"),
        ("kubernetes", {"image": "a", "workers": 1, "environment": {"A": 1}}, "wanted texts"),
        (
            "kubernetes",
            {"image": "a", "workers": 1, "security": {"temporary": True}},
            "pods have no files of this machine",
        ),
        ("gateway", {"address": "gateway.org", "workers": 1}, "wanted https://host"),
        ("gateway", {"address": "http://gateway.org", "workers": 1}, "not encrypted"),
        ("gateway", {"address": "https://g.org", "workers": 1, "auth": "me"}, "wanted basic"),
    ],
)
def test_wrong_settings_are_named_before_anything_starts(
    name: str, settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        cluster_backend(name, settings)


@pytest.mark.parametrize(
    ("name", "settings", "module", "extra"),
    [
        ("ssh", {"hosts": ["127.0.0.1"]}, "asyncssh", "ssh"),
        ("kubernetes", {"image": "a", "workers": 1}, "kr8s", "kubernetes"),
        ("gateway", {"address": "https://g.org", "workers": 1}, "dask_gateway", "gateway"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: dict[str, object],
    module: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    backend = cluster_backend(name, settings)
    with pytest.raises(ConfigError, match=rf"needs the package {module} .*alignsvc\[{extra}\]"):
        backend(RunContext(LocalObjects(tmp_path)))


def test_a_misspelt_backend_or_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'local'"):
        cluster_backend("locall", {})
    with pytest.raises(ConfigError, match=r"did you mean 'workers'"):
        cluster_backend("local", {"worker": 2})


def test_no_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster.workers: found 0"):
        cluster_backend("local", {"workers": 0})


def test_an_interface_of_another_machine_is_refused(tmp_path: Path) -> None:
    backend = cluster_backend("local", {"workers": 1, "interface": "192.0.2.1"})
    with pytest.raises(ConfigError, match=r"cluster.interface: cannot listen on 192.0.2.1"):
        backend(RunContext(LocalObjects(tmp_path)))


def test_dask_knows_every_setting_that_we_make() -> None:
    for name in {**DASK_SETTINGS, **KEEP_NANNIES}:
        dask.config.get(name)  # KeyError: renamed by a later dask


def test_serial_runs_load_no_dask() -> None:
    code = "import sys, alignsvc.engine.serial; print('dask' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("quantity", "size"),
    [("4Gi", 4 << 30), ("512Mi", 512 << 20), ("1.5G", 1_500_000_000), ("800000k", 800_000_000)],
)
def test_a_pod_has_the_memory_that_kubernetes_reads(quantity: str, size: int) -> None:
    settings = {"image": "a", "workers": 1, "memory": quantity}
    backend = cluster_backend("kubernetes", settings)
    assert isinstance(backend, KnowsItsMemory)
    assert backend.worker_memory_bytes == size
