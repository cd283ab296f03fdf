"""What a run was predicted to need, and what it needed, as JSON values and as lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alignsvc.io.journal import Event, StageFinished
from alignsvc.run.prediction import Prediction, StagePrediction

NEEDS_HEAD = ("stage", "tasks", "s a task, predicted", "found", "MB a worker, predicted", "found")


@dataclass(frozen=True, slots=True)
class StageNeeds:
    """A stage as it was predicted (None: it was not), and as it was in all passes together.

    Parameters
    ----------
    stage : str
    predicted : StagePrediction or None
    n_tasks : int
    seconds : float
        Of work, of all.
    peak_bytes : int
        The most that a process occupied; 0 if nobody knows.
    """

    stage: str
    predicted: StagePrediction | None
    n_tasks: int
    seconds: float
    peak_bytes: int

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the page, in the order of `NEEDS_HEAD`."""
        wanted = self.predicted
        return (
            self.stage,
            str(self.n_tasks),
            "" if wanted is None else f"{wanted.seconds:.2f}",
            f"{self.seconds / self.n_tasks:.2f}" if self.n_tasks else "",
            "" if wanted is None else f"{wanted.memory_bytes / 1e6:.0f}",
            f"{self.peak_bytes / 1e6:.0f}" if self.peak_bytes else "",
        )


def stage_needs(prediction: Prediction, events: Iterable[Event]) -> tuple[StageNeeds, ...]:
    """Return what was predicted for each stage beside what the journal says of it, in turn."""
    wanted = {one.stage: one for one in prediction.stages}
    found: dict[str, StageNeeds] = {}
    for event in events:
        if isinstance(event, StageFinished):
            one = found.get(event.stage) or StageNeeds(
                event.stage, wanted.get(event.stage), 0, 0.0, 0
            )
            found[event.stage] = StageNeeds(
                one.stage,
                one.predicted,
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
        },
    }


def prediction_lines(found: Prediction) -> list[str]:
    """Return a prediction in sentences."""
    lines = [
        f"about {found.n_tasks} tasks a full pass, {found.n_once} once, "
        f"{found.disk_bytes / 1e9:.2f} GB of disk, "
        f"{found.memory_bytes / 1e9:.2f} GB of memory a worker"
    ]
    lines += [
        f"  {one.stage:12} {one.n_tasks:6} tasks of about {one.seconds:.2g} s, "
        f"{one.memory_bytes / 1e9:.2f} GB (largest: {one.subject})"
        for one in found.stages
    ]
    lines.append(
        f"  disk: contributions {found.contribution_bytes / 1e9:.2f} GB, mosaic "
        f"{found.mosaic_bytes / 1e9:.2f} GB, what is left for people "
        f"{found.product_bytes / 1e9:.2f} GB"
    )
    return lines
