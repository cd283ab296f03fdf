"""Backends are found by name; their settings are checked before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.config
import pytest

from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import CLUSTERS, CONTRACT, cluster_backend
from alignsvc.engine.clusters.local import DASK_SETTINGS, KEEP_NANNIES, LocalBackend
from alignsvc.engine.serial import SerialExecutor
from alignsvc.errors import ConfigError, NotYet
from alignsvc.io.objects import LocalObjects


def test_by_default_only_this_machine_can_reach_it() -> None:
    assert LocalBackend().interface == "127.0.0.1"


def test_serial_needs_no_cluster(tmp_path: Path) -> None:
    executor = cluster_backend("serial", {})(RunContext(LocalObjects(tmp_path)))
    assert isinstance(executor, SerialExecutor)
    assert (executor.workers, executor.dashboard_link) == (1, "")


@pytest.mark.parametrize("name", sorted(set(CONTRACT) - set(CLUSTERS.names())))
def test_backends_that_are_still_to_come_say_so(name: str) -> None:
    with pytest.raises(NotYet, match=f"cluster.backend: {name} is not in this version"):
        cluster_backend(name, {"queue": "debug"})


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
