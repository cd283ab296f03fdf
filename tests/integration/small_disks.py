"""A disk that is soon full: a tmpfs of its own, where mounting is allowed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a tmpfs of so many MB on a new folder; skip the test where that is not allowed."""
    folder.mkdir(parents=True)
    size = f"size={megabytes}m"
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("there is no mount(8) here: a full disk cannot be had")
    if done.returncode:
        pytest.skip(f"this user may not mount a tmpfs: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave_bytes: int = 0) -> Path:
    """Fill the disk that a folder is on with a file, but for so many bytes; return the file."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
        size = file.tell()
        file.truncate(max(0, size - leave_bytes))
    return filler
