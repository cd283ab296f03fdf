"""Whole runs on workers that are started by ssh, on this machine through a real server."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import fetched, wait_until
from own_sshd import OwnSshd, own_sshd, sshd

from alignsvc import api
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io.objects import LocalObjects
from alignsvc.run.seeing import SCHEDULER_PAGE

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(sshd() is None, reason="NOT TESTED: no ssh server (openssh-server) here"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSshd]:
    with own_sshd(tmp_path_factory.mktemp("ssh") / "server") as server:
        yield server


def ours() -> list[psutil.Process]:
    """Return what is started by ssh."""
    every = psutil.process_iter(["cmdline"])
    return [one for one in every if "distributed.cli.dask_spec" in (one.info["cmdline"] or [])]


def certificates() -> list[Path]:
    return sorted(Path("/tmp").glob("alignsvc-*/cluster.pem"))


def test_a_run_on_workers_started_by_ssh_gives_the_same_bits(
    server: OwnSshd, tmp_path: Path
) -> None:
    sky = make_sky(tmp_path / "sky", count=3)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    on = {**server.settings, "hosts": ["127.0.0.1"], "workers": 2}
    config = write_config(tmp_path / "ssh.yaml", sky, cluster=on)
    assert content(api.align(config).directory) == wanted
    wait_until(lambda: not ours())  # nothing of it stays, there either


def test_what_is_said_to_other_machines_is_encrypted_and_leaves_no_key_behind(
    server: OwnSshd, tmp_path: Path
) -> None:
    before = certificates()
    settings = {name: value for name, value in server.settings.items() if name != "backend"}
    asked = {**settings, "hosts": ["127.0.0.1"], "security": {"temporary": True}}
    context = RunContext(LocalObjects(tmp_path), preload=(SCHEDULER_PAGE,))
    with cluster_backend("ssh", asked)(context) as executor:
        assert isinstance(executor, DaskExecutor)
        assert executor.workers == 1
        # The page is for whoever is on that machine; dask's own are not shown there.
        assert urlsplit(executor.pages.run).hostname == "127.0.0.1"
        assert b"alignsvc/page.js" in fetched(executor.pages.run)
        assert (executor.pages.dashboard, executor.pages.host) == ("", platform.node())
        told = executor._client.scheduler_info()
        assert told["address"].startswith("tls://")
        assert all(worker.startswith("tls://") for worker in told["workers"])
        (made,) = set(certificates()) - set(before)
        assert made.stat().st_mode & 0o077 == 0
        assert made.parent.stat().st_mode & 0o077 == 0
        # What others see of a process tells where the key is, not the key.
        assert not any("PRIVATE KEY" in word for one in ours() for word in one.cmdline())
    assert certificates() == before
    wait_until(lambda: not ours())  # nothing of it stays, there either


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"known_hosts": "nobody"}, ConfigError, "its key is not in the file of known hosts"),
        ({"key_file": "other"}, ConfigError, "ssh does not let us in"),
        ({"port": 9}, TransientError, "no answer"),
        ({"python": "/nowhere/python"}, ConfigError, "cannot import this package"),
    ],
)
def test_a_machine_that_cannot_take_part_is_named_with_what_to_do(
    server: OwnSshd,
    tmp_path: Path,
    change: dict[str, object],
    error: type[Exception],
    words: str,
) -> None:
    settings = {name: value for name, value in server.settings.items() if name != "backend"}
    (tmp_path / "nobody").write_text("")
    (tmp_path / "other").write_bytes((server.known_hosts.parent / "host").read_bytes())
    (tmp_path / "other").chmod(0o600)
    here = {
        name: str(tmp_path / str(value)) if name in ("known_hosts", "key_file") else value
        for name, value in change.items()
    }
    backend = cluster_backend("ssh", {**settings, "hosts": ["127.0.0.1"], **here})
    with pytest.raises(error, match=rf"127\.0\.0\.1: .*{words}"):
        backend(RunContext(LocalObjects(tmp_path)))
