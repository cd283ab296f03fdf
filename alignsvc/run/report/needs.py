"""What a run was predicted to need, and what it needed, as JSON values and as lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alignsvc.io.journal import Event, PassStarted, StageFinished
from alignsvc.run.needs.prediction import Prediction, StagePrediction
from alignsvc.run.needs.task_needs import SOURCES_PER_MPIX
from alignsvc.wording import counted

NEEDS_HEAD = (
    "stage",
    "tasks, predicted",
    "found",
    "s a task, predicted",
    "found",
    "MB a worker, predicted",
    "found",
)


@dataclass(frozen=True, slots=True)
class StageNeeds:
    """A stage as it was predicted (None: it was not), and as it was in all passes together.

    Parameters
    ----------
    stage : str
    predicted : StagePrediction or None
    n_predicted : int
        Tasks of so many passes as there were; 0 if none was predicted.
    n_tasks : int
    seconds : float
        Of work, of all.
    peak_bytes : int
        The most that a process occupied; 0 if nobody knows.
    """

    stage: str
    predicted: StagePrediction | None
    n_predicted: int
    n_tasks: int
    seconds: float
    peak_bytes: int

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the page, in the order of `NEEDS_HEAD`."""
        wanted = self.predicted
        return (
            self.stage.replace("_", " "),
            str(self.n_predicted) if wanted is not None else "",
            str(self.n_tasks),
            "" if wanted is None else f"{wanted.seconds:.2f}",
            f"{self.seconds / self.n_tasks:.2f}" if self.n_tasks else "",
            "" if wanted is None else f"{wanted.memory_bytes / 1e6:.0f}",
            f"{self.peak_bytes / 1e6:.0f}" if self.peak_bytes else "",
        )


@dataclass(frozen=True, slots=True)
class DiskNeeds:
    """What a run holds at its end, before it is tidied up: bytes predicted, and found."""

    predicted_bytes: int
    found_bytes: int

    def as_json(self) -> dict[str, int]:
        """Return it as JSON values."""
        return {"predicted_bytes": self.predicted_bytes, "bytes": self.found_bytes}

    def line(self) -> str:
        """Return it in a sentence."""
        return (
            f"disk at the end, before it was tidied up: {self.predicted_bytes / 1e6:.0f} MB "
            f"predicted, {self.found_bytes / 1e6:.0f} found"
        )


def stage_needs(prediction: Prediction, events: Iterable[Event]) -> tuple[StageNeeds, ...]:
    """Return what was predicted for each stage beside what the journal says of it, in turn."""
    events = tuple(events)
    passes = {one.pass_number: one.is_full for one in events if isinstance(one, PassStarted)}
    wanted = {one.stage: one for one in prediction.stages}
    tasks = {
        name: one.counts.of_a_run(len(passes), sum(passes.values())) for name, one in wanted.items()
    }
    found: dict[str, StageNeeds] = {}
    for event in events:
        if isinstance(event, StageFinished):
            one = found.get(event.stage) or StageNeeds(
                event.stage, wanted.get(event.stage), tasks.get(event.stage, 0), 0, 0.0, 0
            )
            found[event.stage] = StageNeeds(
                one.stage,
                one.predicted,
                one.n_predicted,
                one.n_tasks + event.n_ok + event.n_skipped + event.n_failed,
                one.seconds + event.seconds,
                max(one.peak_bytes, event.peak_bytes),
            )
    return tuple(found.values())


def needs_json(rows: Iterable[StageNeeds]) -> Any:
    """Return the comparison as JSON values."""
    return [
        {
            "stage": row.stage,
            "tasks": row.n_tasks,
            "predicted_tasks": row.predicted and row.n_predicted,
            "seconds": row.seconds,
            "predicted_seconds_a_task": row.predicted and row.predicted.seconds,
            "memory_bytes": row.peak_bytes or None,
            "predicted_memory_bytes": row.predicted and row.predicted.memory_bytes,
        }
        for row in rows
    ]


def prediction_json(found: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON values."""
    return {
        "tasks_per_pass": found.n_tasks,
        "tasks_once": found.n_once,
        "disk_bytes": found.disk_bytes,
        "worker_memory_bytes": found.memory_bytes if found.stages else 0,
        "stages": [
            {
                "stage": one.stage,
                "tasks": one.n_tasks,
                "tasks_once": one.counts.once,
                "memory_bytes": one.memory_bytes,
                "seconds_a_task": one.seconds,
                "largest": one.subject,
            }
            for one in found.stages
        ],
        "disk": {
            "contribution_bytes": found.contribution_bytes,
            "mosaic_bytes": found.mosaic_bytes,
            "product_bytes": found.product_bytes,
            "table_bytes": found.table_bytes,
        },
    }


def prediction_lines(found: Prediction) -> list[str]:
    """Return a prediction in sentences."""
    lines = [
        f"about {counted(found.n_tasks, 'task')} a full pass, {found.n_once} once, "
        f"{_size(found.disk_bytes)} of disk, {_size(found.memory_bytes)} of memory a worker"
    ]
    lines += [_stage_line(one) for one in found.stages]
    lines.append(
        f"  times are of one core of 2023, times and memory of fields with {SOURCES_PER_MPIX} "
        "sources a megapixel"
    )
    lines.append(
        f"  disk: contributions {_size(found.contribution_bytes)}, mosaic "
        f"{_size(found.mosaic_bytes)}, what is left for people {_size(found.product_bytes)}, "
        f"tables {_size(found.table_bytes)}"
    )
    return lines


def _stage_line(one: StagePrediction) -> str:
    once = one.counts.once if one.counts.of_a_pass else 0
    more = f"; {once} more once" if once else ""
    tasks = "task " if one.n_tasks == 1 else "tasks"
    return (
        f"  {one.stage:13} {one.n_tasks:6} {tasks} of about {one.seconds:.2g} s, "
        f"{one.memory_bytes / 1e9:.2f} GB (largest: {one.subject}{more})"
    )


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"
