"""Stand-ins of dask workers: their tasks only take their time. Many of them in one process.

All that a scheduler and a driver see of them is a worker's own: state machine, heartbeats, what is
asked of them, reports that are fetched. Only the work is replaced, by waiting.

``python scale_workers.py ADDRESS COUNT SECONDS``, the last a JSON object of seconds by stage.
"""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import dask
from distributed import Worker
from distributed.worker_state_machine import ExecuteSuccessEvent

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.engine.worker_environment import DASK_SETTINGS
from alignsvc.tasks.base import TaskReport, WorkTime

#: What each process looks at about itself, here many times over in one process: seldom.
_SELDOM = {
    "distributed.admin.tick.interval": "1 h",
    "distributed.admin.system-monitor.interval": "1 h",
    "distributed.worker.profile.enabled": False,
    # With locks each worker, when it starts, tries those of all others: the square of their number.
    "distributed.worker.use-file-locking": False,
}
#: So many connect at a time.
_AT_ONCE = 50


class StandIn(Worker):  # type: ignore[misc]
    """A worker of one thread whose tasks wait as long as those of their stage take."""

    def __init__(self, address: str, seconds: Mapping[str, float], **settings: Any) -> None:
        super().__init__(address, nthreads=1, dashboard=False, **settings)
        self._takes_s = seconds

    async def execute(self, key: Any, *, stimulus_id: str) -> ExecuteSuccessEvent:
        """Wait, and report what a task of that name would."""
        state = self.state.tasks[key]
        stage, digest = str(key[0]).partition("-")[0], str(key[1])
        state.start_time = began_s = time.time()
        self.active_keys.add(key)
        try:
            await asyncio.sleep(self._takes_s[stage])
        finally:
            self.active_keys.discard(key)
        ended_s = time.time()
        outcome = TaskOutcome(
            TaskKey(stage, digest[:12], digest),
            TaskStatus.OK,
            product=f"tables/{stage}/{digest}.npz",
            checksum=digest,
            seconds=ended_s - began_s,
        )
        report = TaskReport(
            outcome, peak_bytes=400_000_000, work=WorkTime(began_s, ended_s, str(self.name))
        )
        return ExecuteSuccessEvent(
            key=key,
            run_id=state.run_id,
            value=report,
            start=began_s,
            stop=ended_s,
            nbytes=sys.getsizeof(report),
            type=TaskReport,
            stimulus_id=f"stand-in-{ended_s}",
        )


async def stand_in(address: str, count: int, seconds: Mapping[str, float]) -> None:
    """Be so many workers until the scheduler is gone."""
    workers = [
        StandIn(address, seconds, name=f"node{n // 64:03d}/worker{n:05d}", memory_limit=0)
        for n in range(count)
    ]
    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(*workers[first : first + _AT_ONCE])
    print("ready", flush=True)
    await asyncio.gather(*(worker.finished() for worker in workers))


if __name__ == "__main__":
    with dask.config.set({**DASK_SETTINGS, **_SELDOM}):
        asyncio.run(stand_in(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])))
