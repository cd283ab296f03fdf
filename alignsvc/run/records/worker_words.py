"""How a run's workers are, in a few words."""

from __future__ import annotations

from statistics import median_low

from alignsvc.engine.base import WorkersSeen
from alignsvc.io.worker_samples import WorkerSample, WorkersThen


def workers_then(seen: WorkersSeen, *, is_working: bool) -> WorkersThen:
    """Return what is kept of how workers are; busy and running are none if there is no work."""
    if seen.is_here:
        return WorkersThen(1, int(is_working), int(is_working))
    memory = sorted(seen.memory_bytes) or [0]
    return WorkersThen(
        seen.n_known,
        seen.n_busy if is_working else 0,
        seen.n_running if is_working else 0,
        memory[0],
        median_low(memory),
        memory[-1],
        seen.limit_bytes,
    )


def worker_words(sample: WorkerSample) -> list[str]:
    """Return how many workers there are, what they occupy of what they may, and the driver too."""
    driver = [f"driver {_gigabytes(sample.driver_bytes)}"] if sample.driver_bytes else []
    then = sample.workers
    if then is None or (then.n_known == 1 and not then.highest_bytes):
        return driver  # who works is the driver itself
    parts = [f"workers {then.n_busy} of {then.n_known} busy"]
    if then.highest_bytes:
        low, high = _gigabytes(then.lowest_bytes), _gigabytes(then.highest_bytes)
        limit = f" of {_gigabytes(then.limit_bytes)}" if then.limit_bytes else ""
        parts.append(f"memory {high if low == high else f'{low} to {high}'}{limit} each")
    return parts + driver


def workers_json(sample: WorkerSample | None) -> dict[str, object] | None:
    """Return the same as JSON values; None if nothing is known."""
    if sample is None:
        return None
    then = sample.workers
    return {
        "time_s": sample.until_s,
        "driver_bytes": sample.driver_bytes,
        "known": None if then is None else then.n_known,
        "busy": None if then is None else then.n_busy,
        "running": None if then is None else then.n_running,
        "lowest_bytes": None if then is None else then.lowest_bytes,
        "median_bytes": None if then is None else then.median_bytes,
        "highest_bytes": None if then is None else then.highest_bytes,
        "limit_bytes": None if then is None else then.limit_bytes,
    }


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
