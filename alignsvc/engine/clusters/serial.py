"""No cluster: every task runs in the driver's own process."""

from __future__ import annotations

from dataclasses import dataclass

from alignsvc.engine.base import RunContext
from alignsvc.engine.clusters import CLUSTERS
from alignsvc.engine.heap import keep_heap
from alignsvc.engine.serial import SerialExecutor


@CLUSTERS.register("serial")
@dataclass(frozen=True, slots=True)
class SerialBackend:
    """One task at a time, here: for debugging, and for machines without room for workers."""

    def __call__(self, context: RunContext) -> SerialExecutor:
        """Return the executor; this process keeps its heap from now on, as workers do."""
        keep_heap()
        return SerialExecutor(context)
