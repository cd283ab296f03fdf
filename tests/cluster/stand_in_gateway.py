"""A stand-in for the server of dask-gateway, which is not installed here.

It speaks the part of the server's HTTP interface that its own client library uses, and starts a
real scheduler and workers with certificates. There is no proxy: clients reach the scheduler itself.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from own_cluster import wait_until

from alignsvc.engine.security import temporary_certificates

NAME = "a1b2c3"
PASSWORD = "correct-horse"


@dataclass
class StandIn:
    """What it was asked for."""

    folder: Path
    port: int = 0
    fails: bool = False
    asked: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    looks: int = 0
    processes: ExitStack = field(default_factory=ExitStack)
    pem: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def proxy_address(self) -> str:
        """Where the scheduler is, for clients: it is started with the stand-in."""
        said = json.loads((self.folder / "scheduler.json").read_text())
        return str(said["address"]).replace("tls://", "gateway://")

    def start_scheduler(self) -> None:
        made = temporary_certificates().get_tls_config_for_role("scheduler")
        self.pem = {"tls_cert": made["cert"], "tls_key": made["key"]}
        (self.folder / "tls.pem").write_text(made["cert"] + made["key"])
        self._start("scheduler", "--port", "0", "--no-dashboard", "--protocol", "tls")
        wait_until((self.folder / "scheduler.json").exists)

    def answer(self, method: str, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(f"{method} {path}")
        if path == "/api/v1/options":
            cores = {"type": "int", "min": 1, "max": 4}
            return {
                "cluster_options": [
                    {"field": "cores", "default": 1, "label": "Cores", "spec": cores}
                ]
            }
        if method == "POST" and path == "/api/v1/clusters/":
            self.options = asked["cluster_options"]
            return {"name": NAME}
        if method == "POST" and path.endswith("/scale"):
            for _ in range(asked["count"]):
                self._start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard")
        if method == "DELETE":
            self.processes.close()
        if method == "GET":
            self.looks += 1
            status = "FAILED" if self.fails else "RUNNING" if self.looks > 2 else "PENDING"
            return {
                "name": NAME,
                "status": status,
                "start_time": time.time() * 1000,
                "stop_time": None,
                "dashboard_route": None,
                "options": self.options,
                **self.pem,
            }
        return {"ok": True}

    def _start(self, role: str, *words: str) -> None:
        pem = str(self.folder / "tls.pem")
        tls = [word for key in ("ca-file", "cert", "key") for word in (f"--tls-{key}", pem)]
        log = self.processes.enter_context((self.folder / f"{role}.log").open("ab"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dask", role, "--host", "127.0.0.1"),
                *("--scheduler-file", str(self.folder / "scheduler.json"), *tls, *words),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
        self.processes.callback(process.wait, 30)
        self.processes.callback(process.terminate)


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            name, _, password = base64.b64decode(given).decode().partition(":")
            is_known = password == PASSWORD and bool(name)
            said: dict[str, Any] = {"error": "who are you?"}
            if is_known:
                path = self.path.partition("?")[0]
                said = stand_in.answer(self.command, path, json.loads(asked or b"{}"))
            body = json.dumps(said).encode()
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

    return Handler


@contextmanager
def stand_in_gateway(folder: Path) -> Iterator[StandIn]:
    """Start it."""
    folder.mkdir()
    stand_in = StandIn(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stand_in))
    stand_in.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        stand_in.start_scheduler()
        yield stand_in
    finally:
        stand_in.processes.close()
        server.shutdown()
        server.server_close()
