"""An ssh server of our own on 127.0.0.1, with its own keys: nothing of the machine's is touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 30.0


@dataclass(frozen=True)
class OwnSshd:
    """Where it listens, and what a client needs."""

    port: int
    key_file: Path
    known_hosts: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What `cluster` says of it."""
        return {
            "backend": "ssh",
            "port": self.port,
            "key_file": str(self.key_file),
            "known_hosts": str(self.known_hosts),
        }


def sshd() -> str | None:
    """Return the server's program, None if it is not installed; it wants its absolute path."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def own_sshd(folder: Path) -> Iterator[OwnSshd]:
    """Start the server; its sessions see this very package."""
    folder.mkdir(mode=0o700)
    host_key, user_key = (_key(folder / name) for name in ("host", "user"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    package = Path(__file__).resolve().parents[2]
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {user_key}.pub\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        f"SetEnv PYTHONPATH={package}\n"
    )
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {Path(f'{host_key}.pub').read_text()}")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # the server's own, for its children
    log = folder / "sshd.log"
    server = subprocess.Popen([str(sshd()), "-D", "-f", str(config), "-E", str(log)])
    try:
        _wait_until_open(port, server, log)
        yield OwnSshd(port, user_key, known)
    finally:
        server.terminate()
        server.wait(30)


def _key(path: Path) -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def _wait_until_open(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + START_S
    while True:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < last, f"no ssh server within {START_S:g} s"
        time.sleep(0.05)
