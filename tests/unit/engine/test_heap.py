"""A process that does tasks keeps the memory that it will need again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignsvc.engine.heap import HEAP_OF_A_WORKER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")

#: Prints the pages that are new to the process for each plane of 2048 x 2048 floats.
_PLANES = """
import resource
import numpy as np

def planes(n):
    for _ in range(n):
        np.ones((2048, 2048), np.float32)

def new_pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def count():
    planes(5)
    before = new_pages()
    planes(15)
    print((new_pages() - before) / 15)
"""
_ON_A_WORKER = """
import threading
thread = threading.Thread(target=count)
thread.start()
thread.join()
"""
_SERIAL = """
import sys
from pathlib import Path
from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import cluster_backend
from alignsvc.io.objects import LocalObjects
cluster_backend("serial", {})(RunContext(LocalObjects(Path(sys.argv[1]))))
count()
"""
#: Of those at least that a plane consists of: 2 MB each where the system can, 4 kB at its ends.
_PAGES_OF_A_PLANE = 400


def new_pages(script: str, folder: Path, heap: dict[str, str]) -> float:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, "-c", _PLANES + script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=bare | heap)
    return float(done.stdout)


def test_planes_on_a_worker_take_the_pages_of_those_before(tmp_path: Path) -> None:
    assert new_pages(_ON_A_WORKER, tmp_path, HEAP_OF_A_WORKER) < 0.1 * _PAGES_OF_A_PLANE


def test_with_a_lower_threshold_each_plane_would_be_new(tmp_path: Path) -> None:
    low = HEAP_OF_A_WORKER | {"MALLOC_MMAP_THRESHOLD_": str(16 << 20)}
    assert new_pages(_ON_A_WORKER, tmp_path, low) > 0.9 * _PAGES_OF_A_PLANE


def test_planes_of_a_serial_run_take_the_pages_of_those_before(tmp_path: Path) -> None:
    assert new_pages(_SERIAL, tmp_path, {}) < 0.1 * _PAGES_OF_A_PLANE
