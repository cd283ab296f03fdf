"""What a worker's next task will read: told to dask with the task, looked up on the worker."""

# distributed is typed in parts only.
# mypy: disable-error-code="no-untyped-call,attr-defined"

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

from dask import annotate
from distributed import Worker

from alignsvc.domain.task import Task
from alignsvc.io.inputs_ahead import FarFile, FarFiles
from alignsvc.tasks.inputs_ahead import files_of

#: Annotation of a task: what it reads behind URLs, as plain lists. A scheduler passes it on unread.
_READS = "alignsvc_reads"
#: How long a worker's loop may take to look into its queue.
_ANSWER_S = 10.0


def announcing(task: Task) -> AbstractContextManager[None]:
    """Let dask tell a worker of what a task reads, if that lies far away, before it begins."""
    files = files_of(task)
    told = {_READS: [[file.url, list(file.hdus)] for file in files]} if files else {}
    announced: AbstractContextManager[None] = annotate(**told)
    return announced


def next_in_queue(worker: Worker) -> FarFiles | None:
    """Return what the first task that waits on a worker reads; None if none waits.

    Nothing where tasks run in several threads: what is read for one would be thrown away when
    another begins. Called outside of the worker's loop, which looks, as the queue is its own.
    """
    if worker.state.nthreads > 1:
        return ()
    told: Future[Mapping[str, Any] | None] = Future()

    def look() -> None:
        waiting = worker.state.ready
        told.set_result((waiting.peek().annotations or {}) if waiting else None)

    worker.loop.add_callback(look)
    annotations = told.result(_ANSWER_S)
    if annotations is None:
        return None
    return tuple(FarFile(url, tuple(hdus)) for url, hdus in annotations.get(_READS, ()))
