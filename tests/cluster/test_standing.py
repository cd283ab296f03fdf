"""A scheduler and workers that stand, as the systemd units start them, with certificates."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
from durable_runs import content, make_sky, write_config
from own_cluster import fetched, wait_until

from alignsvc import api
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.engine.distributed import DaskExecutor
from alignsvc.engine.security import temporary_certificates
from alignsvc.errors import ConfigError, TransientError
from alignsvc.io.objects import LocalObjects
from alignsvc.run.driving.service import RunOptions
from alignsvc.run.records import events

pytestmark = pytest.mark.cluster

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"


def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@dataclass
class Standing:
    """What the units start, under a folder in place of the system's."""

    folder: Path
    closing: ExitStack
    port: int = field(default_factory=port)

    @property
    def pem(self) -> str:
        return str(self.folder / "tls.pem")

    @property
    def address(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the file of settings, with what it says in comments about TLS."""
        lines = (UNITS / "alignsvc.env").read_text().replace("# DASK", "DASK").splitlines()
        pairs = (line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
        found = {name: "".join(shlex.split(value)) for name, value in pairs}
        files = {
            name: self.pem for name, value in found.items() if value.startswith("/etc/alignsvc/tls")
        }
        listen = {"ALIGNSVC_LISTEN": self.address, "ALIGNSVC_SCHEDULER": self.address}
        return {**found, **files, **listen}

    def start(self, unit: str) -> None:
        (line,) = (
            line for line in (UNITS / unit).read_text().splitlines() if line.startswith("ExecStart")
        )
        words = line.removeprefix("ExecStart=").replace("/run/alignsvc", str(self.folder))
        words = words.replace("/var/cache/alignsvc", str(self.folder)).replace(":8787", ":0")
        for name, value in {**self.environment, "%H": "here", "%i": "1"}.items():
            words = words.replace(name if name[0] == "%" else f"${{{name}}}", value)
        program, *rest = shlex.split(words)
        assert program == "/opt/alignsvc/bin/dask"
        log = self.closing.enter_context((self.folder / "log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *rest],
            env={**os.environ, **self.environment},
            stdout=log,
            stderr=log,
        )
        self.closing.callback(process.wait, 30)
        self.closing.callback(process.terminate)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("standing")
    made = temporary_certificates().get_tls_config_for_role("scheduler")
    (folder / "tls.pem").write_text(made["cert"] + made["key"])
    with ExitStack() as closing:
        standing = Standing(folder, closing)
        standing.start("alignsvc-scheduler.service")
        wait_until((folder / "scheduler.json").exists)
        standing.start("alignsvc-worker@.service")
        yield standing


def files(standing: Standing) -> dict[str, str]:
    return dict.fromkeys(("tls_ca_file", "tls_cert", "tls_key"), standing.pem)


def test_a_run_on_what_the_units_start_gives_the_same_bits(
    standing: Standing, tmp_path: Path
) -> None:
    sky = make_sky(tmp_path / "sky", count=3)
    wanted = content(api.align(write_config(tmp_path / "serial.yaml", sky)).directory)
    on = {
        "backend": "scheduler",
        "scheduler_file": str(standing.folder / "scheduler.json"),
        "security": files(standing),
    }
    config = write_config(tmp_path / "run.yaml", sky, cluster=on)
    links: list[str] = []

    def hear(event: events.Event) -> None:
        if isinstance(event, events.Note) and event.text.startswith("live page: "):
            links.append(event.text.split()[2])

    assert content(api.align(config, RunOptions(listener=hear)).directory) == wanted
    # The scheduler stands, and shows what it worked for.
    (link,) = links
    told = json.loads(fetched(link.replace("?", "/parts/moment?")))
    assert told["status"]["directory"] == str(tmp_path / "run")
    assert told["status"]["standing"] == "finished"


def test_who_has_no_certificate_of_its_authority_does_not_get_in(
    standing: Standing, tmp_path: Path
) -> None:
    context = RunContext(LocalObjects(tmp_path))
    without = cluster_backend("scheduler", {"address": standing.address})
    with pytest.raises(ConfigError, match="wants certificates"):
        without(context)
    other = temporary_certificates().get_tls_config_for_role("client")
    file = tmp_path / "other.pem"
    file.write_text(other["cert"] + other["key"])
    stranger = {name: str(file) for name in files(standing)}
    backend = cluster_backend(
        "scheduler",
        {"address": standing.address, "security": stranger, "connect_timeout_s": 3.0},
    )
    with pytest.raises(TransientError, match="no answer"):
        backend(context)


def test_a_scheduler_file_that_nobody_writes_is_waited_for_and_named(tmp_path: Path) -> None:
    file = str(tmp_path / "scheduler.json")
    backend = cluster_backend("scheduler", {"scheduler_file": file, "connect_timeout_s": 0.3})
    with pytest.raises(TransientError, match=r"no address in it within 0\.3 s"):
        backend(RunContext(LocalObjects(tmp_path)))


def test_workers_of_ours_on_another_interface_are_encrypted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("192.0.2.1", 9))  # nothing is sent
        own = str(asked.getsockname()[0])
    if own.startswith("127."):
        pytest.skip("NOT TESTED: this machine has no address but the loopback")
    backend = cluster_backend("local", {"workers": 1, "interface": own, "dashboard": True})
    with backend(RunContext(LocalObjects(tmp_path))) as executor:
        assert isinstance(executor, DaskExecutor)
        told = executor._client.scheduler_info()
        assert told["address"].startswith(f"tls://{own}:")
        assert all(worker.startswith(f"tls://{own}:") for worker in told["workers"])
        # Its pages are not encrypted, so that only this machine sees them.
        page = urlsplit(executor.pages.dashboard)
        assert page.hostname == "127.0.0.1"
        socket.create_connection(("127.0.0.1", page.port or 0), timeout=5).close()
        with pytest.raises(OSError):
            socket.create_connection((own, page.port or 0), timeout=5)
