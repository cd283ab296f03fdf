"""What is said of a task that was in trouble, and how it ends by that."""

from __future__ import annotations

from alignsvc.domain.task import Task
from alignsvc.engine.retry import Trouble
from alignsvc.io.objects import ObjectStore
from alignsvc.reasons import FailureKind
from alignsvc.tasks.base import TaskReport, failed, receipt_of

_MORE_MEMORY = (
    "give each worker more memory (cluster.memory_limit or cluster.memory, or fewer "
    "cluster.workers), or make tiles smaller (mosaic.tile_shape)"
)


def text_of(trouble: Trouble, error: BaseException, times: int) -> str:
    """Return the sentence of a trouble that struck a task for the given time."""
    if trouble is Trouble.WORKER_LOST:
        if times == 1:
            return "workers died that it was on; it is tried once more, alone"
        return (
            "its worker died, whichever ran it, alone too: killed, crashed or out of memory; "
            f"{_MORE_MEMORY}, or look into the file"
        )
    if trouble is Trouble.MEMORY:
        if times == 1:
            return f"it is tried once more, alone: {error}"
        return f"it needs more memory than there is, alone too ({error}); {_MORE_MEMORY}"
    if trouble is Trouble.TIMEOUT:
        return f"it {error}, longer than a task may; its worker was restarted"
    if trouble is Trouble.SILENT:
        return f"its worker fell silent: {error}, longer than a task may; it was restarted"
    if trouble is Trouble.FUTURE_LOST:
        return f"the scheduler lost it, {times} times ({error!r})"
    if trouble is Trouble.BLOCKED:
        return f"its worker did not begin it {error}; it was restarted"
    return f"{type(error).__name__}: {error}"


def failed_by(task: Task, objects: ObjectStore, kind: FailureKind, why: str) -> TaskReport:
    """Return that a task failed, unless it ended well at the last moment.

    The receipt decides, as in a resumed run.
    """
    receipt = receipt_of(task, objects).receipt
    return TaskReport(receipt.outcome if receipt else failed(task.key, kind, why))
