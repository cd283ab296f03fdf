"""A process whose address space is limited, and the runs that it makes.

``python runs_under_a_limit.py FOLDER ALLOWED_MB``: FOLDER holds ``small.yaml`` and ``large.yaml``.
The small run comes first, without a limit, so that all libraries are there and their threads
stand; what the process then has, and ALLOWED_MB more, is all that it gets for the same run once
more and for the large one. Prints JSON.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from alignsvc import api

MB = 1 << 20


def address_space_bytes(name: str) -> int:
    """Return a size of this process: ``VmSize``, address space now, or ``VmPeak``, at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main(folder: Path, allowed_mb: int) -> None:
    """Run without a limit, limit this process, run again."""
    verdicts = {}

    def align(config: str, run: str) -> None:
        overrides = (f"run.directory={folder / run}",)
        result = api.align(folder / config, api.RunOptions(overrides=overrides))
        verdicts[run] = result.verdict.value

    align("small.yaml", "free")
    gc.collect()
    idle, peak = address_space_bytes("VmSize"), address_space_bytes("VmPeak")
    limit = idle + allowed_mb * MB
    if peak > limit:
        raise SystemExit(f"the small run needs {peak / MB:.0f} MB: the limit would mean nothing")
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    align("small.yaml", "limited")
    start = time.process_time()
    align("large.yaml", "large")
    spent = time.process_time() - start
    told = {
        "idle_mb": idle / MB,
        "allowed_mb": allowed_mb,
        "used_mb": (address_space_bytes("VmPeak") - idle) / MB,
        "cpu_s": spent,
        "verdicts": verdicts,
        "can_hold_mb": [n for n in (64, 2 * allowed_mb) if can_hold(n * MB)],
    }
    print(json.dumps(told))


def can_hold(n_bytes: int) -> bool:
    """Whether an array of so many bytes can be had."""
    try:
        return np.empty(n_bytes, np.uint8).nbytes == n_bytes
    except MemoryError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
