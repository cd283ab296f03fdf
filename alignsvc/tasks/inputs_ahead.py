"""What a task reads of exposures far away, and how much of the next one's a process may hold."""

from __future__ import annotations

from collections.abc import Callable

from alignsvc.domain.task import ReadsExposure, Task
from alignsvc.io.inputs_ahead import FarFiles, Working, far_files
from alignsvc.tasks.memory import bounded_share

#: Of the exposure that comes next, at the most: 48 megapixels of 4 bytes.
MOST_AHEAD_BYTES = 192e6


def files_of(task: Task) -> FarFiles:
    """Return what a task reads of an exposure that lies behind URLs."""
    return far_files(task.exposure_read) if isinstance(task, ReadsExposure) else ()


def nothing_next() -> FarFiles:
    """Return what comes next where nobody knows."""
    return ()


def working_on(task: Task, find_next: Callable[[], FarFiles | None]) -> Working:
    """Return what a process works on, by its task and by what finds the files of the next one."""
    return Working(files_of(task), find_next, bounded_share(MOST_AHEAD_BYTES))
