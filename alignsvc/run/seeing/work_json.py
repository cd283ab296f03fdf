"""What tasks and workers did as JSON: columns, bounded, with times from one moment on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from alignsvc.io.task_ends import OTHERS, TaskEnd, TaskSum
from alignsvc.io.worker_samples import WorkerSample
from alignsvc.run.seeing.task_times import ShownTasks, TaskRate, TaskRecords, shown_tasks, task_rate
from alignsvc.run.seeing.worker_samples import SampleRecords, shown_samples

Json: TypeAlias = dict[str, Any]
#: Workers that have a lane of their own.
_MOST_LANES = 40
#: Without a sample for so long nobody knows what was.
_GAP_S = 30.0
_MB = 1e6


def task_columns(found: TaskRecords) -> Json:
    """Return the tasks of a run: the last ones singly, earlier ones in sums.

    Columns `lane` and `kind` are places in `lanes` (of workers; those with the least work share the
    last one) and `kinds` (stage and pass); `began` is in seconds after `start_s`.
    """
    shown = shown_tasks(found)
    lanes = _Lanes(shown)
    # In turn: of every stage the first task was before those of later ones.
    first = sorted(shown.every, key=_begin_of)
    kinds = list(dict.fromkeys((one.pass_number, one.stage) for one in first))
    start_s = _begin_of(first[0]) if first else 0.0
    places = _Places(lanes, {kind: place for place, kind in enumerate(kinds)}, start_s)
    rate = task_rate(found.records, found.records[-1].ended_s) if found.records else None
    return {
        "start_s": start_s,
        "lanes": lanes.names,
        "n_workers": lanes.n_workers,
        "kinds": [{"stage": stage, "pass": number} for number, stage in kinds],
        "single": _single_columns(shown, places),
        "sums": _sum_columns(shown, places),
        "rate": None if rate is None else _rate_json(rate),
        "notes": list(shown.notes),
    }


@dataclass(frozen=True, slots=True)
class _Places:
    """Where tasks stand in the drawing: lanes of workers, kinds of task, the first moment."""

    lanes: _Lanes
    kinds: Mapping[tuple[int, str], int]
    start_s: float


def _single_columns(shown: ShownTasks, places: _Places) -> Json:
    return _columns(
        ("lane", "kind", "subject", "began", "seconds", "end", "reason", "peak_mb"),
        (
            (
                places.lanes.of(one.worker),
                places.kinds[one.pass_number, one.stage],
                one.subject,
                round(one.began_s - places.start_s, 3),
                round(one.seconds, 3),
                "reused" if one.is_reused else one.status.value,
                one.reason,
                round(one.peak_bytes / _MB),
            )
            for one in shown.ends
        ),
    )


def _sum_columns(shown: ShownTasks, places: _Places) -> Json:
    return _columns(
        ("lane", "kind", "began", "width", "tasks", "failed", "skipped", "reused", "work",
         "longest", "subject", "peak_mb"),
        (
            (
                places.lanes.of(one.worker),
                places.kinds[one.pass_number, one.stage],
                round(one.begin_s - places.start_s, 3),
                one.width_s,
                one.n_tasks,
                one.n_failed,
                one.n_skipped,
                one.n_reused,
                round(one.work_s, 1),
                one.longest_s,
                one.longest,
                round(one.peak_bytes / _MB),
            )
            for one in shown.sums
        ),
    )  # fmt: skip


def _rate_json(rate: TaskRate) -> Json:
    return {
        "stage": rate.stage,
        "pass": rate.pass_number,
        "per_second": round(rate.per_second, 3),
        "ended": rate.n_ended,
        "seconds": round(rate.seconds, 1),
    }


def sample_columns(found: SampleRecords) -> Json:
    """Return how workers and driver were; a row of nulls where nobody knows it.

    Column `time` is in seconds after `start_s`, memory in MB; 0 where nobody told.
    """
    shown = shown_samples(found)
    start_s = shown.samples[0].time_s if shown.samples else 0.0
    names = ("time", "driver_mb", "waiting", "known", "busy", "running", "lowest_mb", "median_mb",
             "highest_mb", "limit_mb")  # fmt: skip
    return {
        "start_s": start_s,
        "samples": _columns(names, _sample_rows(shown.samples, start_s)),
        "notes": list(shown.notes),
    }


def _sample_rows(samples: Sequence[WorkerSample], start_s: float) -> Iterable[tuple[Any, ...]]:
    before: WorkerSample | None = None
    for one in samples:
        if before is not None and (
            one.epoch != before.epoch or one.time_s - before.until_s > _GAP_S
        ):
            yield (None,) * 10
        before, then = one, one.workers
        workers: tuple[int | None, ...] = (None,) * 7
        if then is not None:
            occupied = (then.lowest_bytes, then.median_bytes, then.highest_bytes, then.limit_bytes)
            workers = (then.n_known, then.n_busy, then.n_running, *map(_mb, occupied))
        yield (round(one.until_s - start_s, 1), _mb(one.driver_bytes), one.n_waiting, *workers)


def _mb(occupied: int) -> int:
    return round(occupied / _MB)


class _Lanes:
    """Which lane a worker's tasks are drawn in."""

    def __init__(self, shown: ShownTasks) -> None:
        work_s: dict[str, float] = defaultdict(float)
        for one in shown.every:
            work_s[one.worker] += _work_of(one)
        workers = [name for name in work_s if name != OTHERS]
        own = sorted(sorted(workers), key=lambda name: -work_s[name])[:_MOST_LANES]
        self._place = {name: place for place, name in enumerate(sorted(own, key=_in_order))}
        is_shared = len(own) < len(work_s)
        self.n_workers = len(workers)
        self.names = [*self._place, *([OTHERS] if is_shared else [])]

    def of(self, worker: str) -> int:
        """Return its place."""
        return self._place.get(worker, len(self._place))


def _work_of(one: TaskEnd | TaskSum) -> float:
    return one.seconds if isinstance(one, TaskEnd) else one.work_s


def _begin_of(one: TaskEnd | TaskSum) -> float:
    return one.began_s if isinstance(one, TaskEnd) else one.begin_s


def _in_order(name: str) -> tuple[str, int, str]:
    """Return what sorts ``host/10`` after ``host/9``."""
    digits = name[len(name.rstrip("0123456789")) :]
    return name.removesuffix(digits), int(digits or 0), name


def _columns(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, list[Any]]:
    every = list(rows)
    return {name: [row[place] for row in every] for place, name in enumerate(names)}
