"""The shell around every task: do it once, time it, name its end, leave a receipt."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

from alignsvc.domain.outcome import TaskKey, TaskOutcome, TaskStatus
from alignsvc.domain.task import Task
from alignsvc.errors import (
    AlignError,
    DataError,
    MemoryShortage,
    NothingToMeasure,
    ResourceError,
    RunStoreError,
    TransientError,
)
from alignsvc.io.inputs_ahead import FarFiles, inputs_ahead
from alignsvc.io.objects import ObjectStore
from alignsvc.io.receipts import (
    Receipt,
    ReceiptSearch,
    find_receipt,
    product_is_whole,
    replace_receipt,
    write_receipt,
)
from alignsvc.reasons import FailureKind
from alignsvc.tasks.inputs_ahead import nothing_next, working_on
from alignsvc.tasks.memory import forget_peak, peak_bytes
from alignsvc.tasks.tiles_at_hand import let_go

#: How tasks can fail that may go well next time: these ends leave no receipt.
NOT_FINAL = frozenset(
    {
        FailureKind.INTERNAL,
        FailureKind.MEMORY,
        FailureKind.TIMEOUT,
        FailureKind.WORKER_LOST,
    }
)


@runtime_checkable
class KnowsItsProduct(Protocol):
    """A task whose product is more than one object: it says itself whether all of it is there."""

    def product_is_whole(self, outcome: TaskOutcome) -> bool:
        """Return whether everything that `outcome` stands for is in the store."""
        ...


@dataclass(frozen=True, slots=True)
class WorkTime:
    """When a task was on a process, and which.

    Parameters
    ----------
    began_s, ended_s : float
        Seconds since 1970 by the clock of that machine, receipt and all.
    worker : str
        Its host and name; empty = the process of the driver.
    """

    began_s: float
    ended_s: float
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What comes back from a worker.

    Parameters
    ----------
    outcome : TaskOutcome
    is_reused : bool
        Whether a receipt answered and no work was done. It is kept out of the outcome, so that
        the outcomes of a resumed run are those of an unbroken one.
    peak_bytes : int
        The most memory that the process occupied while it worked, all its libraries included; 0
        if it did not work, or if the system does not tell.
    work : WorkTime or None
        None where no process came to an end with it.
    """

    outcome: TaskOutcome
    is_reused: bool = False
    peak_bytes: int = 0
    work: WorkTime | None = None


def run_task(
    task: Task,
    objects: ObjectStore,
    find_next: Callable[[], FarFiles | None] = nothing_next,
) -> TaskReport:
    """Return how `task` ended, doing the work unless a valid receipt says that it is done.

    The receipt is written after the product, so that it never speaks of what is not there. An
    exposure's bad data end as ``failed(kind)`` or ``skipped(reason)``; so does, as
    ``failed(internal)``, whatever nobody foresaw.

    Parameters
    ----------
    task : Task
    objects : ObjectStore
        Of the run: receipts are looked for and left here.
    find_next : callable
        See `Working`.

    Raises
    ------
    ResourceError
        The disk is full.
    MemoryShortage
        This task needs more memory than it had.
    TransientError
        A second try may go well.
    RunStoreError
        The run directory cannot be used: no exposure is to blame.
    """
    began_s = time.time()
    search = receipt_of(task, objects)
    if search.receipt is not None:
        work = WorkTime(began_s, time.time())
        return TaskReport(search.receipt.outcome, is_reused=True, work=work)
    started = time.perf_counter()
    forget_peak()
    with inputs_ahead().while_working(working_on(task, find_next)):
        outcome = _outcome_of(task)
    outcome = replace(outcome, seconds=time.perf_counter() - started)
    peak = peak_bytes()
    if outcome.reason not in NOT_FINAL:
        if search.refused:
            replace_receipt(objects, Receipt(outcome))
        else:
            write_receipt(objects, Receipt(outcome))
    return TaskReport(outcome, peak_bytes=peak, work=WorkTime(began_s, time.time()))


def receipt_of(task: Task, objects: ObjectStore) -> ReceiptSearch:
    """Return the task's receipt if it counts, with a look at the product that it stands for."""
    if isinstance(task, KnowsItsProduct):
        return find_receipt(objects, task.key, task.product_is_whole)
    return find_receipt(objects, task.key, partial(product_is_whole, objects))


def failed(key: TaskKey, kind: FailureKind, message: str) -> TaskOutcome:
    """Return the outcome of a task that failed."""
    return TaskOutcome(key, TaskStatus.FAILED, kind.value, message)


def _outcome_of(task: Task) -> TaskOutcome:
    try:
        outcome = task()
        if outcome.key != task.key:
            raise AssertionError(f"the outcome is of another task, {outcome.key}")
        return outcome
    except DataError as error:
        return failed(task.key, error.kind, str(error))
    except NothingToMeasure as error:
        return TaskOutcome(task.key, TaskStatus.SKIPPED, error.reason.value, str(error))
    except (ResourceError, TransientError, RunStoreError):
        raise
    except MemoryError as error:
        if not any((let_go(), inputs_ahead().forget())):
            raise MemoryShortage(
                f"{task.key.stage} of {task.key.subject}: out of memory ({error})"
            ) from error
    except Exception as error:  # noqa: BLE001 - the one place where what nobody foresaw ends
        return failed(task.key, FailureKind.INTERNAL, _sentence(error))
    return _outcome_of(task)  # there is room now that nothing is kept


def _sentence(error: Exception) -> str:
    """Return an error's class, text and the place where it arose."""
    text = str(error) if isinstance(error, AlignError) else f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1]
    return f"{text} (in {place.name}, {place.filename.rpartition('/')[2]}:{place.lineno})"
