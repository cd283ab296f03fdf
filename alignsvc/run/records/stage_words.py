"""What stages are called, what their tasks are, and how fast they go, in words for people."""

from __future__ import annotations

from alignsvc.wording import counted

#: What a task of a stage is, one and many: elsewhere a task.
_TASKS = {
    "list_sources": ("exposure", "exposures"),
    "match_sources": ("pair", "pairs"),
    "resample": ("exposure", "exposures"),
    "reject": ("exposure", "exposures"),
    "measure": ("exposure", "exposures"),
    "merge": ("tile", "tiles"),
    "background": ("tile", "tiles"),
    "detect": ("tile", "tiles"),
    "tell": ("tile", "tiles"),
}
#: Stages of no pass that come before the first one; all others make the final mosaic.
_BEFORE = ("list_sources", "match_sources")


def stage_words(stage: str, pass_number: int) -> str:
    """Return what a stage is called; pass 0 is what is not of a pass."""
    name = stage.replace("_", " ")
    if pass_number:
        return f"pass {pass_number} {name}"
    return name if stage in _BEFORE else f"final mosaic {name}"


def task_words(stage: str) -> str:
    """Return what its tasks are: ``exposures``, ``tiles``, ``pairs``, or ``tasks``."""
    return _TASKS.get(stage, ("task", "tasks"))[1]


def count_words(stage: str, n: int) -> str:
    """Return ``1 exposure``, ``3 tiles``."""
    return counted(n, *_TASKS.get(stage, ("task", "tasks")))


def rate_words(stage: str, per_s: float) -> str:
    """Return a rate as people say it: ``3.2 tiles/s``, ``12 exposures/min``, ``4.5 tasks/h``."""
    for unit, length in (("s", 1.0), ("min", 60.0)):
        if per_s * length >= 1.0:
            return f"{_short(per_s * length)} {task_words(stage)}/{unit}"
    return f"{_short(per_s * 3600.0)} {task_words(stage)}/h"


def _short(value: float) -> str:
    """Return two digits of a number, or all of those before the point."""
    return f"{value:.0f}" if value >= 10.0 else f"{value:.1f}"
