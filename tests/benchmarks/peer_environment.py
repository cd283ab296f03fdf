"""Peers that want an environment of their own: made once under ``build/peers``."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

FITS = Path(__file__).with_name("fits")
PEERS = Path(__file__).resolve().parents[2] / "build" / "peers"


class MissingPeerError(Exception):
    """A peer cannot be had here; says why."""


def interpreter(name: str) -> Path:
    """Return the Python of a peer, whose pinned requirements are ``fits/NAME.txt``.

    Raises
    ------
    MissingPeerError
        The requirements cannot be installed.
    """
    folder, wanted = PEERS / name, FITS / f"{name}.txt"
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    if installed.exists() and installed.read_text() == wanted.read_text():
        return python
    print(f"installing {name} into {folder}", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-r", str(wanted)], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word from pip"])[-1]
        raise MissingPeerError(f"{name} cannot be installed from {wanted.name}: {last}")
    installed.write_text(wanted.read_text())
    return python


def megabytes(name: str) -> float:
    """Return how much room a peer's environment takes."""
    return sum(f.stat().st_size for f in (PEERS / name).rglob("*") if f.is_file()) / 1e6
