"""A stand-in for Kubernetes and the operator of dask-kubernetes: no containers, no nodes.

It takes objects over HTTP as the real one does, refuses what their schemas refuse, and runs the
commands of a `DaskCluster`'s containers as processes of this machine, with their environment and
with the secrets that they mount. What it does not show: images, networks, volumes, permissions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from kubernetes_checks import KUBERNETES, RefusedError, check

NAMESPACE = "sky"
#: Of schedulers: only this machine reaches it, and nobody else uses it.
HOST = "127.77.86.1"
#: Like the operator's addition to the environment of each worker.
_OPERATORS = {"DASK_WORKER_NAME": "worker"}


@dataclass
class StandIn:
    """What it was asked for."""

    folder: Path
    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    deleted: list[tuple[str, str]] = field(default_factory=list)
    processes: ExitStack = field(default_factory=ExitStack)
    commands: list[list[str]] = field(default_factory=list)

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        check(manifest)
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        manifest["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": NAMESPACE}
        self.objects[kind, name] = manifest
        if kind == "DaskCluster":
            threading.Thread(target=self._operate, args=(manifest,), daemon=True).start()
        return manifest

    def find(self, plural: str, name: str) -> dict[str, Any] | None:
        kinds = {kind for kind, _ in self.objects if f"{kind.lower()}s" == plural}
        return next(
            (self.objects[kind, name] for kind in kinds if (kind, name) in self.objects), None
        )

    def delete(self, manifest: dict[str, Any]) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        del self.objects[kind, name]
        self.deleted.append((kind, name))
        uid = manifest["metadata"]["uid"]
        for one in list(self.objects.values()):
            owners = one["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == uid for owner in owners):
                self.delete(one)
        if kind == "DaskCluster":
            self.processes.close()

    def _operate(self, cluster: dict[str, Any]) -> None:
        """Start a cluster, once the secrets that it mounts are there."""
        spec = cluster["spec"]
        for part, count in (("scheduler", 1), ("worker", spec["worker"]["replicas"])):
            for _ in range(count):
                self._start(spec[part]["spec"])
        cluster["status"] = {"phase": "Running"}

    def _start(self, pod: dict[str, Any]) -> None:
        (container,) = pod["containers"]
        command = [self._here(pod, word) for word in container["command"]]
        if command[1] == "scheduler":
            command += ["--host", HOST]
        else:
            command += ["--host", "127.0.0.1"]
        variables = {one["name"]: self._here(pod, one["value"]) for one in container["env"]}
        self.commands.append(command)
        log = self.processes.enter_context((self.folder / "pods.log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, **_OPERATORS, **variables},
            stdout=log,
            stderr=log,
            cwd=self.folder,
        )
        self.processes.callback(process.wait, 30)
        self.processes.callback(process.terminate)

    def _here(self, pod: dict[str, Any], text: str) -> str:
        """Return a word of a container as it has to be on this machine."""
        for volume in pod["volumes"]:
            if "secret" in volume:
                (mount,) = (
                    one
                    for one in pod["containers"][0]["volumeMounts"]
                    if one["name"] == volume["name"]
                )
                text = text.replace(mount["mountPath"], str(self._files(volume["secret"])))
        for name, value in _OPERATORS.items():
            text = text.replace(f"$({name})", value)
        if text.startswith("tls://"):
            return f"tls://{HOST}:{text.rpartition(':')[2]}"
        return text

    def _files(self, secret: dict[str, Any]) -> Path:
        name = secret["secretName"]
        while ("Secret", name) not in self.objects:
            threading.Event().wait(0.05)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for key, value in self.objects["Secret", name]["stringData"].items():
            (folder / key).write_text(value)
        return folder


def _handler(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # One connection for each question: kr8s keeps its connections until the process ends.
        protocol_version = "HTTP/1.0"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            manifest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self._answer(201, stand_in.create(manifest))
            except RefusedError as error:
                self._answer(422, {"kind": "Status", "message": str(error), "code": 422})

        def do_GET(self) -> None:
            if self.path.startswith("/version"):
                self._answer(200, {"gitVersion": f"v{KUBERNETES}.0"})
                return
            found = stand_in.find(*self.path.split("?")[0].split("/")[-2:])
            self._answer(*((404, _missing()) if found is None else (200, found)))

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = stand_in.find(*self.path.split("?")[0].split("/")[-2:])
            if found is not None:
                stand_in.delete(found)
            self._answer(*((404, _missing()) if found is None else (200, {"kind": "Status"})))

        def _answer(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _missing() -> dict[str, Any]:
    return {"kind": "Status", "message": "not found", "code": 404}


@contextmanager
def stand_in_kubernetes(folder: Path) -> Iterator[StandIn]:
    """Start it, and write the configuration by which clients find it: ``folder/config``."""
    folder.mkdir()
    stand_in = StandIn(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stand_in))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [
            {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
        ],
        "users": [{"name": "me", "user": {}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": NAMESPACE}}
        ],
    }
    (folder / "config").write_text(yaml.safe_dump(config))
    try:
        yield stand_in
    finally:
        stand_in.processes.close()
        server.shutdown()
        server.server_close()
